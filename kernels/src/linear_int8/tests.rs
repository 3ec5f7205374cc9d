//! Every instruction set against the portable form, and that against the plain one in f64.

use half::f16;
use proptest::prelude::*;

use super::pack::{Int8Packer, signed_table};
use super::product::project_by;
use super::reference;
use super::spec::{INT8_BLOCK, Int8Codes, Int8Spec};
use super::unit::Unit;
use crate::blockwise4::Code4;

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// In −1..1.
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }

    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value() * (1.0 + 8.0 * self.value().powi(8))).collect()
    }
}

const IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

fn codes(kind: usize) -> Int8Codes {
    match kind {
        0 => Int8Codes::Bytes,
        1 => Int8Codes::Nibbles { table: std::array::from_fn(|i| i as i8 - 8), minima: false },
        2 => Int8Codes::Nibbles { table: std::array::from_fn(|i| i as i8), minima: true },
        3 => Int8Codes::Nibbles { table: IQ4_NL, minima: false },
        _ => Int8Codes::Nibbles { table: IQ4_NL.map(|v| v.saturating_sub(1)), minima: true },
    }
}

/// A matrix of any codes.
fn packed(spec: Int8Spec, numbers: &mut Numbers) -> Vec<u8> {
    let mut packer = Int8Packer::new(spec);
    let most = if spec.codes == Int8Codes::Bytes { 256 } else { 16 };
    for row in 0..spec.out_features {
        for block in 0..spec.blocks() {
            let mut codes = [0u8; INT8_BLOCK];
            for code in codes.iter_mut().take(spec.in_features - block * INT8_BLOCK) {
                *code = (numbers.next() % most) as u8;
            }
            let (scale, minimum) = (0.01 * numbers.value(), 0.1 * numbers.value());
            packer.block(row, block, f16::from_f32(scale), f16::from_f32(minimum), &codes);
        }
    }
    packer.finish().as_bytes().to_vec()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn units() -> impl Iterator<Item = Unit> {
    Unit::ALL.iter().copied().filter(|unit| unit.is_available())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_unit_gives_the_bits_of_the_portable_one_and_these_are_right(
        m in 0usize..30, out in 1usize..100, inn in 1usize..200, kind in 0usize..5, seed in 0u64..1000,
    ) {
        let mut numbers = Numbers(seed);
        let spec = Int8Spec { codes: codes(kind), out_features: out, in_features: inn };
        let (weight, x) = (packed(spec, &mut numbers), numbers.values(m * inn));
        let portable = project_by(Unit::Portable, &weight, &spec, &x, m);
        for unit in units() {
            let y = project_by(unit, &weight, &spec, &x, m);
            prop_assert_eq!(bits(&y), bits(&portable), "{:?}", unit);
        }
        let want = reference::linear_int8(&x, &weight, &spec);
        let size = want.iter().fold(1f64, |size, y| size.max(y.abs()));
        for (y, want) in portable.iter().zip(want) {
            prop_assert!((f64::from(*y) - want).abs() < 1e-5 * size, "{} for {}", y, want);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_company(
        m in 2usize..70, out in 1usize..100, blocks in 1usize..8, kind in 0usize..5, seed in 0u64..1000,
    ) {
        let mut numbers = Numbers(seed);
        let inn = blocks * INT8_BLOCK;
        let spec = Int8Spec { codes: codes(kind), out_features: out, in_features: inn };
        let (weight, x) = (packed(spec, &mut numbers), numbers.values(m * inn));
        for unit in units() {
            let together = project_by(unit, &weight, &spec, &x, m);
            for (x, y) in x.chunks(inn).zip(together.chunks(out)) {
                prop_assert_eq!(bits(&project_by(unit, &weight, &spec, x, 1)), bits(y), "{:?}", unit);
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let mut numbers = Numbers(7);
    let spec = Int8Spec { codes: codes(2), out_features: 700, in_features: 320 };
    let (weight, x) = (packed(spec, &mut numbers), numbers.values(33 * 320));
    let run = |threads: usize, m: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| bits(&project_by(Unit::active(m), &weight, &spec, &x[..m * 320], m)))
    };
    for m in [1, 5, 33] {
        assert_eq!(run(1, m), run(2, m));
        assert_eq!(run(1, m), run(5, m));
    }
}

#[test]
fn the_largest_codes_overflow_nothing() {
    for weight in [-128i8, -127, 127] {
        let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 33, in_features: 64 };
        let mut packer = Int8Packer::new(spec);
        for (row, block) in (0..33).flat_map(|row| [(row, 0), (row, 1)]) {
            packer.block(row, block, f16::ONE, f16::ZERO, &[weight.cast_unsigned(); INT8_BLOCK]);
        }
        let weight_bytes = packer.finish();
        for x in [127f32, -127.0] {
            for unit in units() {
                let y = project_by(unit, weight_bytes.as_bytes(), &spec, &[x; 64], 1);
                assert!(
                    y.iter().all(|&y| y == 64.0 * x * f32::from(weight)),
                    "{unit:?}: {} for {weight}",
                    y[0]
                );
            }
        }
    }
}

#[test]
fn values_that_are_no_numbers_come_through_and_tiny_ones_are_zero() {
    let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 40, in_features: 96 };
    let weight = packed(spec, &mut Numbers(3));
    for unit in units() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![1f32; 2 * 96];
            x[40] = bad;
            let y = project_by(unit, &weight, &spec, &x, 2);
            assert!(y[..40].iter().all(|y| y.is_nan()), "{unit:?}");
            assert!(y[40..].iter().all(|y| y.is_finite()), "{unit:?}");
        }
        let y = project_by(unit, &weight, &spec, &[1e-40; 96], 1);
        assert!(y.iter().all(|&y| y == 0.0), "{unit:?}");
    }
}

#[test]
fn what_was_packed_comes_back() {
    let mut numbers = Numbers(5);
    let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 35, in_features: 70 };
    let values = numbers.values(35 * 70);
    let mut packer = Int8Packer::new(spec);
    for (row, values) in values.chunks(70).enumerate() {
        packer.quantize_row(row, values).expect("finite values");
    }
    let packed = packer.finish();
    for (row, values) in values.chunks(70).enumerate() {
        let mut back = vec![0f32; 70];
        reference::dequantize_row(packed.as_bytes(), &spec, row, &mut back);
        for (block, back) in values.chunks(INT8_BLOCK).zip(back.chunks(INT8_BLOCK)) {
            let step = block.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
            assert!(block.iter().zip(back).all(|(v, b)| (v - b).abs() <= 0.51 * step));
        }
    }
}

#[test]
fn a_row_that_cannot_be_packed_names_its_column() {
    let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 1, in_features: 40 };
    let mut values = [0.5f32; 40];
    for bad in [f32::NAN, f32::INFINITY, 1e8] {
        values[37] = bad;
        assert_eq!(Int8Packer::new(spec).quantize_row(0, &values), Err(37));
    }
}

#[test]
fn code_books_lie_within_half_a_step() {
    for (code, tolerance) in [(Code4::Nf4, 0.5), (Code4::Fp4, 0.5), (Code4::Int4, 1e-3)] {
        let table = code.table();
        let (bytes, steps) = signed_table(table);
        assert!(steps >= 64.0, "{code:?}: {steps} steps");
        for (value, byte) in table.iter().zip(bytes) {
            assert!((value * steps - f32::from(byte)).abs() <= tolerance + 1e-3, "{code:?}: {value}");
        }
    }
}
