//! The fast path: a kernel per instruction set, in parallel over runs of whole blocks.

use std::mem::MaybeUninit;

use half::{bf16, f16};
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::walk::{Run, decode, for_each_block};
use super::{Code4, Decision, Float, Packed4View, Rounding};
use crate::isa::Isa;

/// Values per parallel task, rounded up to whole blocks. A constant, so that the
/// split (and any result) is the same on every machine.
const TASK: usize = 1 << 14;

/// Values that stay in registers and L1 while a block is coded.
const LANES: usize = 32;

/// Quantises into memory that need not be initialised; afterwards all of it is.
pub(super) fn quantize<T: Float>(
    isa: Isa,
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[T],
    packed: &mut [MaybeUninit<u8>],
    absmax: &mut [MaybeUninit<f32>],
) {
    let decision = Decision::new(code, rounding);
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    values.par_chunks(run).zip(packed.par_chunks_mut(run / 2)).zip(absmax.par_chunks_mut(blocks)).for_each(
        |((values, packed), absmax)| {
            let task = Run { decision: &decision, block_size, rounding };
            match isa {
                // AVX-512 would save little: at this width the loop waits for memory.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
                    // SAFETY: an available instruction set from AVX2 up has AVX2.
                    unsafe { avx2::quantize_run(&task, values, packed, absmax) }
                }
                #[cfg(target_arch = "aarch64")]
                #[allow(unsafe_code)]
                Isa::Neon => {
                    // SAFETY: every 64-bit Arm processor has NEON.
                    unsafe { neon::quantize_run(&task, values, packed, absmax) }
                }
                _ => task.quantize(values, packed, absmax, |scale, block, packed| {
                    quantize_scaled(&decision, scale, block, packed);
                }),
            }
        },
    );
}

/// Codes a full block by counting the thresholds below each value.
///
/// No value exceeds `absmax` and rounding is monotonic, so clamping to ±1 could
/// only touch results that are beyond the outermost threshold anyway.
fn quantize_scaled(decision: &Decision, scale: f32, block: &[f32], packed: &mut [MaybeUninit<u8>]) {
    for (values, packed) in block.chunks_exact(LANES).zip(packed.chunks_exact_mut(LANES / 2)) {
        let mut normalised = [0f32; LANES];
        for (normalised, value) in normalised.iter_mut().zip(values) {
            *normalised = value * scale;
        }
        let mut buckets = [0i32; LANES];
        for threshold in decision.thresholds {
            for (bucket, &value) in buckets.iter_mut().zip(&normalised) {
                *bucket += i32::from(value > threshold);
            }
        }
        for (byte, pair) in packed.iter_mut().zip(buckets.chunks_exact(2)) {
            let high = decision.order[(pair[0] & 15) as usize];
            let low = decision.order[(pair[1] & 15) as usize];
            byte.write(high << 4 | low);
        }
    }
}

/// Dequantises in parallel into memory that need not be initialised; afterwards all of it is.
pub(super) fn dequantize<T: Float>(isa: Isa, view: &Packed4View<'_>, out: &mut [MaybeUninit<T>]) {
    let run = TASK.div_ceil(view.block_size) * view.block_size;
    out.par_chunks_mut(run).enumerate().for_each(|(i, out)| T::dequantize_range(isa, view, i * run, out));
}

pub(super) fn dequantize_range_f32(
    isa: Isa,
    view: &Packed4View<'_>,
    start: usize,
    out: &mut [MaybeUninit<f32>],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
            // SAFETY: an available instruction set from AVX2 up has AVX2.
            unsafe { avx2::dequantize_f32(view, start, out) }
        }
        #[cfg(target_arch = "aarch64")]
        #[allow(unsafe_code)]
        Isa::Neon => {
            // SAFETY: every 64-bit Arm processor has NEON.
            unsafe { neon::dequantize_f32(view, start, out) }
        }
        _ => for_each_block(view, start, out.len(), |scale, first, range| {
            decode(&view.code.table().map(|code| code * scale), view.packed, first, &mut out[range]);
        }),
    }
}

pub(super) fn dequantize_range_bf16(
    isa: Isa,
    view: &Packed4View<'_>,
    start: usize,
    out: &mut [MaybeUninit<bf16>],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
            // SAFETY: an available instruction set from AVX2 up has AVX2.
            unsafe { avx2::dequantize_bf16(view, start, out) }
        }
        #[cfg(target_arch = "aarch64")]
        #[allow(unsafe_code)]
        Isa::Neon => {
            // SAFETY: every 64-bit Arm processor has NEON.
            unsafe { neon::dequantize_bf16(view, start, out) }
        }
        _ => for_each_block(view, start, out.len(), |scale, first, range| {
            let book = view.code.table().map(|code| bf16::from_f32(code * scale));
            decode(&book, view.packed, first, &mut out[range]);
        }),
    }
}

pub(super) fn dequantize_range_f16(
    isa: Isa,
    view: &Packed4View<'_>,
    start: usize,
    out: &mut [MaybeUninit<f16>],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx if is_x86_feature_detected!("f16c") => {
            // SAFETY: an available instruction set from AVX2 up has AVX2, and F16C was asked for.
            unsafe { avx2::dequantize_f16(view, start, out) }
        }
        #[cfg(target_arch = "aarch64")]
        #[allow(unsafe_code)]
        Isa::Neon => {
            // SAFETY: every 64-bit Arm processor has NEON.
            unsafe { neon::dequantize_f16(view, start, out) }
        }
        _ => for_each_block(view, start, out.len(), |scale, first, range| {
            let book = view.code.table().map(|code| f16::from_f32(code * scale));
            decode(&book, view.packed, first, &mut out[range]);
        }),
    }
}
