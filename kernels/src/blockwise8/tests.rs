//! The fast path against the plain one, and the laws of the dynamic maps.

use proptest::prelude::*;

use super::*;

const MAPS: [Map8; 2] = [Map8::DynamicSigned, Map8::DynamicUnsigned];

fn run(map: Map8, block_size: usize, rounding: Rounding, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut codes = vec![0; values.len()];
    let mut absmax = vec![0.0; block_count(values.len(), block_size)];
    quantize(map, block_size, rounding, values, &mut codes, &mut absmax);
    (codes, absmax)
}

fn anything() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -1f32..1.0, 1 => Just(0.0), 1 => any::<u32>().prop_map(f32::from_bits)]
}

/// Values of all the map's decades and beyond, some of them not finite.
fn small() -> impl Strategy<Value = f32> {
    prop_oneof![8 => (-9i32..1, -1f32..1.0).prop_map(|(e, v)| v * 10f32.powi(e)), 1 => anything()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_instruction_set_quantises_as_the_reference(
        values in prop::collection::vec(small(), 0..700),
        map in prop::sample::select(MAPS.to_vec()),
        rounding in prop::sample::select(vec![Rounding::Cuda, Rounding::BnbCpu]),
        block_size in prop::sample::select(vec![1usize, 32, 100, 256, 2048]),
    ) {
        let mut plain = (vec![0; values.len()], vec![0.0; block_count(values.len(), block_size)]);
        reference::quantize(map, block_size, rounding, &values, &mut plain.0, &mut plain.1);
        for isa in Isa::available() {
            let mut fast = (vec![99; values.len()], vec![-1.0; plain.1.len()]);
            cpu::quantize(isa, map, block_size, rounding, &values, &mut fast.0, &mut fast.1);
            prop_assert_eq!(&fast, &plain, "{}", isa);
        }
    }

    #[test]
    fn fast_quantisation_equals_the_reference(
        values in prop::collection::vec(anything(), 0..700),
        map in prop::sample::select(MAPS.to_vec()),
        rounding in prop::sample::select(vec![Rounding::Cuda, Rounding::BnbCpu]),
        block_size in prop::sample::select(vec![1usize, 7, 64, 256, 2048]),
    ) {
        let (codes, absmax) = run(map, block_size, rounding, &values);
        let mut plain = (vec![0; codes.len()], vec![0.0; absmax.len()]);
        reference::quantize(map, block_size, rounding, &values, &mut plain.0, &mut plain.1);
        prop_assert_eq!(&codes, &plain.0);
        prop_assert_eq!(&absmax, &plain.1);
        let (mut fast, mut slow) = (vec![0f32; codes.len()], vec![0f32; codes.len()]);
        dequantize(map, block_size, &codes, &absmax, &mut fast);
        reference::dequantize(map, block_size, &codes, &absmax, &mut slow);
        prop_assert!(fast.iter().zip(&slow).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
    }

    #[test]
    fn codes_are_the_nearest(values in prop::collection::vec(-3f32..3.0, 1..300)) {
        let map = Map8::DynamicSigned;
        let (codes, absmax) = run(map, 256, Rounding::Cuda, &values);
        for (i, &value) in values.iter().enumerate() {
            let distance = |code: usize| (f64::from(map.table()[code]) * f64::from(absmax[i / 256]) - f64::from(value)).abs();
            let best = (0..256).map(distance).fold(f64::INFINITY, f64::min);
            prop_assert!(distance(usize::from(codes[i])) <= best + 1e-6);
        }
    }
}

/// Where the linear rule of the vector kernels hands over to the search, and around the ends of
/// its pieces: every midpoint with its neighbours, both signs, and a dense sample between.
#[test]
fn values_on_and_around_every_midpoint_get_the_reference_code() {
    for map in MAPS {
        let table = map.table();
        let midpoints: Vec<f32> = table.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
        let ulps = |value: f32| {
            (-40..=40).map(move |ulp: i32| f32::from_bits(value.to_bits().wrapping_add_signed(ulp)))
        };
        let near = midpoints.iter().copied().filter(|m| *m != 0.0).flat_map(ulps);
        let between = (0..60_000u32).map(|i| (i as f32 / 60_000.0).powi(9));
        let mut values: Vec<f32> = near.chain(between).flat_map(|v| [v, -v]).collect();
        values.extend([0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::from_bits(1)]);
        let plain: Vec<u8> = values.iter().map(|&v| reference::nearest(map, v, 1.0)).collect();
        // One block whose scale is 1.
        values.insert(0, 1.0);
        for isa in Isa::available() {
            let (mut codes, mut absmax) = (vec![0; values.len()], [0.0]);
            cpu::quantize(isa, map, values.len(), Rounding::Cuda, &values, &mut codes, &mut absmax);
            assert_eq!(absmax, [1.0]);
            assert_eq!(codes[1..], plain, "{isa} {map:?}");
        }
    }
}

#[test]
fn maps_ascend_and_hold_zero_and_one() {
    for (map, zero) in [(Map8::DynamicSigned, 127), (Map8::DynamicUnsigned, 0)] {
        assert!(map.table().windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(map.table()[zero], 0.0);
        assert_eq!(map.table()[255], 1.0);
    }
}

#[test]
fn a_zero_block_stays_zero() {
    for map in MAPS {
        for rounding in [Rounding::Cuda, Rounding::BnbCpu] {
            let (codes, absmax) = run(map, 256, rounding, &[0.0; 300]);
            let mut out = [1f32; 300];
            dequantize(map, 256, &codes, &absmax, &mut out);
            assert!(out.iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn a_nan_is_coded_0_and_an_infinity_spoils_its_block() {
    for rounding in [Rounding::Cuda, Rounding::BnbCpu] {
        let mut values = [0.5f32; 12];
        values[1] = f32::NAN;
        values[6] = f32::INFINITY;
        let (codes, absmax) = run(Map8::DynamicSigned, 4, rounding, &values);
        assert_eq!(codes[..4], [255, 0, 255, 255]);
        assert_eq!(absmax, [0.5, f32::INFINITY, 0.5]);
        let mut out = [0f32; 12];
        dequantize(Map8::DynamicSigned, 4, &codes, &absmax, &mut out);
        assert!(out[..4].iter().all(|v| v.is_finite()) && out[8..] == [0.5; 4]);
        assert!(out[4..8].iter().all(|v| !v.is_finite()), "{out:?}");
    }
}
