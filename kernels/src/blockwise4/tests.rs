//! The fast path against the plain one, and the laws of the format.

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::blockwise8::Map8;

const CODES: [Code4; 3] = [Code4::Nf4, Code4::Fp4, Code4::Int4];
const ROUNDINGS: [Rounding; 2] = [Rounding::Cuda, Rounding::BnbCpu];

struct Packed {
    code: Code4,
    block_size: usize,
    packed: Vec<u8>,
    absmax: Vec<f32>,
    len: usize,
}

impl Packed {
    fn new(code: Code4, block_size: usize, rounding: Rounding, values: &[f32]) -> Self {
        let mut packed = vec![0; packed_len(values.len())];
        let mut absmax = vec![0.0; block_count(values.len(), block_size)];
        quantize(code, block_size, rounding, values, &mut packed, &mut absmax);
        Packed { code, block_size, packed, absmax, len: values.len() }
    }

    fn view(&self) -> Packed4View<'_> {
        Packed4View {
            code: self.code,
            block_size: self.block_size,
            packed: &self.packed,
            absmax: AbsmaxView::Plain(&self.absmax),
            len: self.len,
        }
    }

    fn values(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len];
        dequantize(&self.view(), &mut out);
        out
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Equal to the bit, but for the payload of NaN.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}

/// What the kernels of one instruction set make of `values`.
fn quantized_by<T: Float>(
    isa: Isa,
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[T],
) -> (Vec<u8>, Vec<f32>) {
    let mut packed = vec![0xa5; packed_len(values.len())];
    let mut absmax = vec![-1.0; block_count(values.len(), block_size)];
    let (bytes, scales) = (overwritten(&mut packed), overwritten(&mut absmax));
    cpu::quantize(isa, code, block_size, rounding, values, bytes, scales);
    (packed, absmax)
}

/// Values of a few kinds that rounding may stumble over, a kind for the whole run.
fn extremes() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        Just(0.0f32),
        Just(-0.0),
        Just(f32::MIN_POSITIVE),
        Just(f32::from_bits(1)),
        Just(-1e-38),
        Just(f32::MAX),
        Just(f32::INFINITY),
        Just(f32::NAN),
        -1f32..1.0,
    ];
    let alike = (value.clone(), 1usize..500).prop_map(|(value, len)| vec![value; len]);
    let alternating = (value.clone(), value.clone(), 1usize..500)
        .prop_map(|(a, b, len)| (0..len).map(|i| if i % 2 == 0 { a } else { b }).collect());
    prop_oneof![alike, alternating, prop::collection::vec(value, 1..500)]
}

/// Multiples of a block's scale that lie on the thresholds, and next to them.
fn near_thresholds(code: Code4, rounding: Rounding) -> Vec<f32> {
    let thresholds = Decision::new(code, rounding).thresholds;
    let near = |t: f32| [t.next_down().next_down(), t.next_down(), t, t.next_up(), t.next_up().next_up()];
    let mut values: Vec<f32> = thresholds.into_iter().flat_map(near).filter(|v| v.abs() <= 1.0).collect();
    // A scale of 1 in every block leaves the values as they are.
    let blocks = values.len().div_ceil(31);
    (0..blocks).for_each(|block| values.insert(32 * block, 1.0));
    values.resize(32 * blocks, 0.0);
    values
}

fn code() -> impl Strategy<Value = Code4> {
    prop::sample::select(CODES.to_vec())
}

fn rounding() -> impl Strategy<Value = Rounding> {
    prop::sample::select(ROUNDINGS.to_vec())
}

fn block_size() -> impl Strategy<Value = usize> {
    prop::sample::select(BLOCK_SIZES.to_vec())
}

/// Weight-like values over many magnitudes, zeros included.
fn ordinary() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1f32..1.0,
        2 => (-20i32..20, -1f32..1.0).prop_map(|(exponent, v)| v * 10f32.powi(exponent)),
        1 => Just(0.0),
        1 => Just(-0.0),
    ]
}

/// Any bits at all: subnormals, infinities, NaN.
fn anything() -> impl Strategy<Value = f32> {
    prop_oneof![4 => ordinary(), 1 => any::<u32>().prop_map(f32::from_bits)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn unpack_inverts_pack(codes in prop::collection::vec(0u8..16, 0..300), pad in 0u8..16) {
        let mut packed = vec![0; packed_len(codes.len())];
        pack(&codes, pad, &mut packed);
        let mut back = vec![255; codes.len()];
        unpack(&packed, &mut back);
        prop_assert_eq!(back, codes);
    }

    #[test]
    fn fast_quantisation_equals_the_reference(
        values in prop::collection::vec(anything(), 0..700),
        code in code(), rounding in rounding(), block_size in block_size(),
    ) {
        let fast = Packed::new(code, block_size, rounding, &values);
        let mut packed = vec![0; fast.packed.len()];
        let mut absmax = vec![0.0; fast.absmax.len()];
        reference::quantize(code, block_size, rounding, &values, &mut packed, &mut absmax);
        prop_assert_eq!(&fast.packed, &packed);
        for (fast, plain) in fast.absmax.iter().zip(&absmax) {
            prop_assert!(fast.to_bits() == plain.to_bits() || fast.is_nan() && plain.is_nan());
        }
    }

    #[test]
    fn every_instruction_set_quantises_as_the_reference(
        values in prop_oneof![prop::collection::vec(anything(), 0..700), extremes()],
        code in code(), rounding in rounding(), block_size in block_size(),
    ) {
        let mut packed = vec![0; packed_len(values.len())];
        let mut absmax = vec![0.0; block_count(values.len(), block_size)];
        reference::quantize(code, block_size, rounding, &values, &mut packed, &mut absmax);
        for isa in Isa::available() {
            let fast = quantized_by(isa, code, block_size, rounding, &values);
            prop_assert_eq!(&fast.0, &packed, "{}", isa);
            prop_assert!(same(&fast.1, &absmax), "{}: {:?} {:?}", isa, fast.1, absmax);
        }
        prop_assert_eq!(&quantized(code, block_size, rounding, &values).0, &packed);
    }

    #[test]
    fn halves_quantise_as_their_widened_values(
        values in prop::collection::vec(-4f32..4.0, 0..700),
        code in code(), rounding in rounding(), block_size in block_size(),
    ) {
        let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
        let brains: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
        let wide_halves: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
        let wide_brains: Vec<f32> = brains.iter().map(|v| v.to_f32()).collect();
        for isa in Isa::available() {
            prop_assert_eq!(
                quantized_by(isa, code, block_size, rounding, &halves),
                quantized_by(isa, code, block_size, rounding, &wide_halves)
            );
            prop_assert_eq!(
                quantized_by(isa, code, block_size, rounding, &brains),
                quantized_by(isa, code, block_size, rounding, &wide_brains)
            );
        }
    }

    #[test]
    fn every_instruction_set_dequantises_as_the_reference(
        packed in prop::collection::vec(any::<u8>(), 1..400), odd: bool,
        scales in prop::collection::vec(anything(), 13), nested: bool,
        code in code(), block_size in block_size(), from in 0f64..1.0, to in 0f64..1.0,
    ) {
        let len = 2 * packed.len() - usize::from(odd);
        let absmax = match nested {
            false => AbsmaxView::Plain(&scales),
            true => AbsmaxView::Nested { codes: &packed, absmax: &scales, offset: 0.25, block_size: 32, table: Map8::DynamicSigned.into() },
        };
        let len = len.min(absmax.len().min(400) * block_size);
        let view = Packed4View { code, block_size, packed: &packed, absmax, len };
        let (from, to) = (from.min(to), from.max(to));
        let range = (from * len as f64) as usize..(to * len as f64) as usize;
        let mut plain = vec![0.0; range.len()];
        reference::dequantize_range(&view, range.start, &mut plain);
        for isa in Isa::available() {
            let mut fast = vec![-7.0; range.len()];
            cpu::dequantize_range_f32(isa, &view, range.start, overwritten(&mut fast));
            prop_assert!(same(&fast, &plain), "{}", isa);
            let mut fast = vec![bf16::NAN; range.len()];
            cpu::dequantize_range_bf16(isa, &view, range.start, overwritten(&mut fast));
            let rounded = |v: &f32| bf16::from_f32(*v).to_bits();
            prop_assert!(fast.iter().map(|v| v.to_bits()).eq(plain.iter().map(rounded)), "{}", isa);
            let mut fast = vec![f16::NAN; range.len()];
            cpu::dequantize_range_f16(isa, &view, range.start, overwritten(&mut fast));
            let rounded = |v: &f32| f16::from_f32(*v).to_bits();
            prop_assert!(fast.iter().map(|v| v.to_bits()).eq(plain.iter().map(rounded)), "{}", isa);
        }
    }

    #[test]
    fn any_range_dequantises_as_the_reference(
        values in prop::collection::vec(ordinary(), 1..700),
        code in code(), block_size in block_size(), from in 0f64..1.0, to in 0f64..1.0,
    ) {
        let packed = Packed::new(code, block_size, Rounding::Cuda, &values);
        let (from, to) = (from.min(to), from.max(to));
        let start = (from * values.len() as f64) as usize;
        let end = (to * values.len() as f64) as usize;
        let mut fast = vec![0.0; end - start];
        let mut plain = fast.clone();
        packed.view().dequantize_range(start, &mut fast);
        reference::dequantize_range(&packed.view(), start, &mut plain);
        prop_assert_eq!(bits(&fast), bits(&plain));
        prop_assert_eq!(bits(&fast), bits(&packed.values()[start..end]));
    }

    #[test]
    fn error_is_at_most_half_the_widest_gap(
        values in prop::collection::vec(ordinary(), 1..700),
        code in code(), rounding in rounding(), block_size in block_size(),
    ) {
        let packed = Packed::new(code, block_size, rounding, &values);
        let half_gap = f64::from(code.widest_gap()) / 2.0;
        for (i, (value, restored)) in values.iter().zip(packed.values()).enumerate() {
            let absmax = f64::from(packed.absmax[i / block_size]);
            let error = (f64::from(*value) - f64::from(restored)).abs();
            // The thresholds are f32 literals: a few units in the last place of slack.
            prop_assert!(error <= absmax * (half_gap + 1e-6), "{value} became {restored}, absmax {absmax}");
        }
    }

    #[test]
    fn quantising_again_changes_nothing(
        values in prop::collection::vec(ordinary(), 1..700),
        code in code(), rounding in rounding(), block_size in block_size(),
    ) {
        let once = Packed::new(code, block_size, rounding, &values);
        let twice = Packed::new(code, block_size, rounding, &once.values());
        prop_assert_eq!(bits(&twice.absmax), bits(&once.absmax));
        // FP4's two zeros may swap in the codes; the values may not move.
        for (again, first) in twice.values().iter().zip(once.values()) {
            prop_assert_eq!(*again, first);
        }
    }

    #[test]
    fn blocks_do_not_see_each_other(
        first in prop::collection::vec(ordinary(), 64),
        second in prop::collection::vec(ordinary(), 1..64),
        code in code(), rounding in rounding(),
    ) {
        let both = Packed::new(code, 64, rounding, &[first.clone(), second.clone()].concat());
        let alone = [Packed::new(code, 64, rounding, &first), Packed::new(code, 64, rounding, &second)];
        prop_assert_eq!(&both.packed[..32], &alone[0].packed[..]);
        prop_assert_eq!(&both.packed[32..], &alone[1].packed[..]);
        prop_assert_eq!(bits(&both.absmax), bits(&[alone[0].absmax[0], alone[1].absmax[0]]));
    }
}

#[test]
fn parallel_runs_equal_the_reference_on_a_large_tensor() {
    let values: Vec<f32> =
        (0..100_003u32).map(|i| ((i.wrapping_mul(2_654_435_761)) as f32 / 4e9 - 0.5) * 0.1).collect();
    for code in CODES {
        for rounding in ROUNDINGS {
            let fast = Packed::new(code, 64, rounding, &values);
            let mut packed = vec![0; fast.packed.len()];
            let mut absmax = vec![0.0; fast.absmax.len()];
            reference::quantize(code, 64, rounding, &values, &mut packed, &mut absmax);
            assert_eq!(fast.packed, packed);
            assert_eq!(bits(&fast.absmax), bits(&absmax));
            let mut plain = vec![0.0; values.len()];
            reference::dequantize_range(&fast.view(), 0, &mut plain);
            assert_eq!(bits(&fast.values()), bits(&plain));
        }
    }
}

#[test]
fn values_on_and_beside_every_threshold_go_where_the_reference_sends_them() {
    for code in CODES {
        for rounding in ROUNDINGS {
            let values = near_thresholds(code, rounding);
            let mut packed = vec![0; packed_len(values.len())];
            let mut absmax = vec![0.0; block_count(values.len(), 32)];
            reference::quantize(code, 32, rounding, &values, &mut packed, &mut absmax);
            assert!(absmax.iter().all(|&scale| scale == 1.0));
            for isa in Isa::available() {
                assert_eq!(quantized_by(isa, code, 32, rounding, &values).0, packed, "{isa} {code:?}");
            }
        }
    }
}

#[test]
fn an_all_zero_block_decodes_to_zero() {
    for code in CODES {
        for rounding in ROUNDINGS {
            let packed = Packed::new(code, 32, rounding, &[0.0; 37]);
            assert!(packed.values().iter().all(|&v| v == 0.0), "{code:?} {rounding:?}");
        }
    }
}

#[test]
fn widest_gaps_are_those_of_the_tables() {
    assert!((Code4::Nf4.widest_gap() - 0.303_807_2).abs() < 1e-6);
    assert!((Code4::Fp4.widest_gap() - 1.0 / 3.0).abs() < 1e-6);
    assert!((Code4::Int4.widest_gap() - 1.0 / 7.0).abs() < 1e-6);
}

#[test]
fn nested_scales_decode_with_the_signed_dynamic_map() {
    let view = AbsmaxView::Nested {
        codes: &[127, 255, 0],
        absmax: &[2.0, 4.0],
        offset: 0.5,
        block_size: 2,
        table: Map8::DynamicSigned.into(),
    };
    assert_eq!(view.get(0), 0.5);
    assert_eq!(view.get(1), 2.5);
    assert!((view.get(2) - (0.5 - 4.0 * 0.992_968_74)).abs() < 1e-6);
}

#[test]
#[should_panic(expected = "block size 48")]
fn a_block_size_outside_the_list_is_refused() {
    quantize(Code4::Nf4, 48, Rounding::Cuda, &[0.0; 48], &mut [0; 24], &mut [0.0]);
}
