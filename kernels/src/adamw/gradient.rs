//! Passes that only read a gradient.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::lanes::vectorised_for;

/// Values whose squares one task adds up: a fixed length, so that the sum does not depend on the
/// number of threads.
const RUN: usize = 1 << 14;
/// Partial sums of a run, in a fixed order: four vectors of AVX2, two of AVX-512.
const LANES: usize = 16;

/// Sum of the squares of `values`, in f64 (the squares are exact).
///
/// The sum is finite exactly when all values are: up to 10²³⁰ squares of f32 values fit.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    sum_of_squares_for(Isa::active(), values)
}

pub(super) fn sum_of_squares_for(isa: Isa, values: &[f32]) -> f64 {
    let of_run = |run: &[f32]| {
        vectorised_for(
            isa,
            #[inline(always)]
            || {
                let mut lanes = [0f64; LANES];
                let (chunks, rest) = run.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, &value) in lanes.iter_mut().zip(chunk) {
                        *lane += f64::from(value) * f64::from(value);
                    }
                }
                for (lane, &value) in lanes.iter_mut().zip(rest) {
                    *lane += f64::from(value) * f64::from(value);
                }
                lanes.iter().sum::<f64>()
            },
        )
    };
    let runs: Vec<f64> = values.par_chunks(RUN).map(of_run).collect();
    runs.iter().sum()
}

/// The index of the first value that is NaN or infinite.
pub fn first_non_finite(values: &[f32]) -> Option<usize> {
    let infinity = f32::INFINITY.to_bits();
    let of_run = |(i, run): (usize, &[f32])| {
        // An integer maximum of magnitudes vectorises, and NaN is above infinity.
        let largest = vectorised_for(
            Isa::active(),
            #[inline(always)]
            || run.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff)),
        );
        let index = (largest >= infinity).then(|| run.iter().position(|value| !value.is_finite()));
        index.flatten().map(|index| i * RUN + index)
    };
    values.par_chunks(RUN).enumerate().find_map_first(of_run)
}
