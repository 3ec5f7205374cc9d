//! The fast path: a kernel per instruction set, in parallel over runs of whole blocks.

use rayon::prelude::*;

use super::Map8;
#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::reference::{largest_magnitude, nearest};
use super::search;
use crate::blocks::Rounding;
use crate::isa::Isa;
use crate::lanes::vectorised_for;

/// Values per parallel task, rounded up to whole blocks.
const TASK: usize = 1 << 14;

/// Values whose steps through bitsandbytes' table are computed at a time.
const LANES: usize = 32;

pub(super) fn quantize(
    isa: Isa,
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    values.par_chunks(run).zip(codes.par_chunks_mut(run)).zip(absmax.par_chunks_mut(blocks)).for_each(
        |((values, codes), absmax)| {
            quantize_run(isa, map, block_size, rounding, values, codes, absmax);
        },
    );
}

/// As [`super::quantize`], on this thread.
pub(crate) fn quantize_run(
    isa: Isa,
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    let tables = map.tables();
    for ((block, codes), absmax) in values.chunks(block_size).zip(codes.chunks_mut(block_size)).zip(absmax) {
        *absmax = match isa {
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            // SAFETY: an available instruction set from AVX2 up has AVX2.
            Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => unsafe { avx2::largest_magnitude(block) },
            #[cfg(target_arch = "aarch64")]
            #[allow(unsafe_code)]
            // SAFETY: every 64-bit Arm processor has NEON.
            Isa::Neon => unsafe { neon::largest_magnitude(block) },
            _ => largest_magnitude(block),
        };
        let reciprocal = 1.0 / *absmax;
        match rounding {
            Rounding::Cuda if *absmax > 0.0 && reciprocal.is_finite() => match isa {
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
                    // SAFETY: as above.
                    unsafe { avx2::quantize_scaled(tables, reciprocal, block, codes) }
                }
                #[cfg(target_arch = "aarch64")]
                #[allow(unsafe_code)]
                Isa::Neon => {
                    // SAFETY: as above.
                    unsafe { neon::quantize_scaled(tables, reciprocal, block, codes) }
                }
                _ => search::quantize_scaled(tables, reciprocal, block, codes),
            },
            Rounding::Cuda => {
                for (&value, code) in block.iter().zip(codes) {
                    *code = nearest(map, value, *absmax);
                }
            }
            Rounding::BnbCpu if *absmax == 0.0 => codes.fill(0),
            Rounding::BnbCpu => by_table(isa, &tables.bnb_cpu, reciprocal, block, codes),
        }
    }
}

/// bitsandbytes' CPU rule: the steps of some values first, which vectorises, then their codes.
fn by_table(isa: Isa, table: &[u8], reciprocal: f32, values: &[f32], codes: &mut [u8]) {
    let table: &[u8; 65_536] = table.try_into().expect("a code for each step");
    let mut steps = [0u16; LANES];
    for (values, codes) in values.chunks(LANES).zip(codes.chunks_mut(LANES)) {
        vectorised_for(
            isa,
            #[inline(always)]
            || {
                for (step, &value) in steps.iter_mut().zip(values) {
                    let normalised = (value * reciprocal).clamp(-1.0, 1.0);
                    let half = (normalised + 1.0) * 0.5;
                    // One rounding, as of a fused multiply-add: the sum is exact in f64. A NaN
                    // casts to step 0.
                    *step = (f64::from(half) * 65_535.0 + 0.5) as f32 as i32 as u16;
                }
            },
        );
        for (code, step) in codes.iter_mut().zip(steps) {
            *code = table[usize::from(step)];
        }
    }
}

pub(super) fn dequantize(
    isa: Isa,
    map: Map8,
    block_size: usize,
    codes: &[u8],
    absmax: &[f32],
    out: &mut [f32],
) {
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    out.par_chunks_mut(run)
        .zip(codes.par_chunks(run))
        .zip(absmax.par_chunks(blocks))
        .for_each(|((out, codes), absmax)| dequantize_run(isa, map, block_size, codes, absmax, out));
}

/// As [`super::dequantize`], on this thread.
pub(crate) fn dequantize_run(
    isa: Isa,
    map: Map8,
    block_size: usize,
    codes: &[u8],
    absmax: &[f32],
    out: &mut [f32],
) {
    let table = map.table();
    for ((out, codes), &absmax) in out.chunks_mut(block_size).zip(codes.chunks(block_size)).zip(absmax) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
                // SAFETY: an available instruction set from AVX2 up has AVX2.
                unsafe { avx2::dequantize_scaled(table, absmax, codes, out) }
            }
            _ => {
                for (out, &code) in out.iter_mut().zip(codes) {
                    *out = table[usize::from(code)] * absmax;
                }
            }
        }
    }
}
