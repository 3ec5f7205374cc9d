//! The fast path: a kernel per instruction set, in parallel over runs of whole blocks.

use std::mem::MaybeUninit;

use half::{bf16, f16};
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::reference::{BNB_CPU_FLOOR, quantize_block};
use super::view::Scales;
use super::{Code4, Decision, Float, Packed4View, Rounding};
use crate::isa::Isa;

/// Values per parallel task, rounded up to whole blocks. A constant, so that the
/// split (and any result) is the same on every machine.
const TASK: usize = 1 << 14;

/// The longest block.
pub(super) const LONGEST: usize = 4096;

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
                Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 => {
                    // SAFETY: an available instruction set from AVX2 up has AVX2.
                    unsafe { avx2::quantize_run(&task, values, packed, absmax) }
                }
                _ => task.quantize(values, packed, absmax, |scale, block, packed| {
                    quantize_scaled(&decision, scale, block, packed);
                }),
            }
        },
    );
}

/// What the blocks of a run have in common.
pub(super) struct Run<'a> {
    pub decision: &'a Decision,
    pub block_size: usize,
    pub rounding: Rounding,
}

impl Run<'_> {
    /// Walks over the blocks; `scaled` codes the ordinary ones, whose scale is the
    /// reciprocal given to it, into half as many bytes.
    #[inline(always)]
    pub fn quantize<T: Float>(
        &self,
        values: &[T],
        packed: &mut [MaybeUninit<u8>],
        absmax: &mut [MaybeUninit<f32>],
        scaled: impl Fn(f32, &[f32], &mut [MaybeUninit<u8>]),
    ) {
        let mut buffer = [0f32; LONGEST];
        let blocks = values.chunks(self.block_size).zip(packed.chunks_mut(self.block_size / 2)).zip(absmax);
        for ((block, packed), absmax) in blocks {
            let full = block.len() == self.block_size;
            let block = T::widened(block, &mut buffer[..block.len()]);
            let largest = largest_magnitude(block);
            absmax.write(match multiplier(full, largest) {
                Some(scale) => {
                    scaled(scale, block, packed);
                    largest
                }
                None => self.quantize_rare(full, block, packed),
            });
        }
    }

    /// Degenerate and partial blocks: rare, so the plain loop serves them.
    #[cold]
    fn quantize_rare(&self, full: bool, block: &[f32], packed: &mut [MaybeUninit<u8>]) -> f32 {
        let mut codes = Vec::with_capacity(block.len());
        let absmax = quantize_block(self.decision, self.rounding, full, block, &mut codes);
        let pad = self.decision.code(0.0);
        for (byte, pair) in packed.iter_mut().zip(codes.chunks(2)) {
            byte.write(pair[0] << 4 | pair.get(1).copied().unwrap_or(pad));
        }
        absmax
    }
}

/// What to multiply an ordinary block's values with: the same under both rules.
/// `None` where they have special cases (all zero, non-finite, reciprocal
/// overflow, partial block).
#[inline(always)]
fn multiplier(full: bool, absmax: f32) -> Option<f32> {
    let ordinary = full && absmax >= BNB_CPU_FLOOR && absmax.is_finite();
    ordinary.then(|| 1.0 / absmax)
}

/// Magnitudes of floats order like the integers of their bits, NaN above all: an
/// integer maximum vectorises and lets NaN through.
#[inline(always)]
fn largest_magnitude(block: &[f32]) -> f32 {
    // Two sets of lanes, so that one maximum need not wait for the one before.
    let mut lanes = [0u32; 16];
    let (chunks, rest) = block.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane).max(value.to_bits() & 0x7fff_ffff);
        }
    }
    let rest = rest.iter().fold(0, |largest, value| u32::max(largest, value.to_bits() & 0x7fff_ffff));
    f32::from_bits(lanes.iter().fold(rest, |largest, &lane| largest.max(lane)))
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
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 => {
            // SAFETY: an available instruction set from AVX2 up has AVX2.
            unsafe { avx2::dequantize_f32(view, start, out) }
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
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 => {
            // SAFETY: an available instruction set from AVX2 up has AVX2.
            unsafe { avx2::dequantize_bf16(view, start, out) }
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
        Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 if is_x86_feature_detected!("f16c") => {
            // SAFETY: an available instruction set from AVX2 up has AVX2, and F16C was asked for.
            unsafe { avx2::dequantize_f16(view, start, out) }
        }
        _ => for_each_block(view, start, out.len(), |scale, first, range| {
            let book = view.code.table().map(|code| f16::from_f32(code * scale));
            decode(&book, view.packed, first, &mut out[range]);
        }),
    }
}

/// Calls `f(scale, first element, place in the output)` for each block that the
/// elements `start..start + len` meet.
///
/// Scaling the sixteen codes of a block once gives the same products as scaling every element.
#[inline(always)]
pub(super) fn for_each_block(
    view: &Packed4View<'_>,
    start: usize,
    len: usize,
    mut f: impl FnMut(f32, usize, std::ops::Range<usize>),
) {
    let scales = Scales::new(&view.absmax);
    let mut block = start / view.block_size;
    let mut end = ((block + 1) * view.block_size - start).min(len);
    let mut done = 0;
    while done < len {
        f(scales.get(block), start + done, done..end);
        done = end;
        end = (end + view.block_size).min(len);
        block += 1;
    }
}

/// Looks up elements that share a scale, the first of them `first`.
pub(super) fn decode<T: Copy>(book: &[T; 16], packed: &[u8], first: usize, out: &mut [MaybeUninit<T>]) {
    if out.is_empty() {
        return;
    }
    // A range that starts at a low nibble takes that one alone.
    let lead = first % 2;
    if lead == 1 {
        out[0].write(book[usize::from(packed[first / 2] & 15)]);
    }
    let out = &mut out[lead..];
    let bytes = &packed[first.div_ceil(2)..][..out.len().div_ceil(2)];
    let mut pairs = out.chunks_exact_mut(2);
    for (pair, &byte) in pairs.by_ref().zip(bytes) {
        pair[0].write(book[usize::from(byte >> 4)]);
        pair[1].write(book[usize::from(byte & 15)]);
    }
    if let ([last], Some(byte)) = (pairs.into_remainder(), bytes.last()) {
        last.write(book[usize::from(byte >> 4)]);
    }
}
