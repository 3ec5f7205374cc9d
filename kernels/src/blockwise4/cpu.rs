//! The fast path: loops that the compiler turns into vector code, in parallel
//! over runs of whole blocks.

use rayon::prelude::*;

use super::reference::{BNB_CPU_FLOOR, quantize_block};
use super::{Code4, Decision, Packed4View, Rounding};

/// Values per parallel task, rounded up to whole blocks. A constant, so that the
/// split (and any result) is the same on every machine.
const TASK: usize = 1 << 14;

/// Values that stay in registers and L1 while a block is coded.
const LANES: usize = 32;

pub(crate) fn quantize(
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    packed: &mut [u8],
    absmax: &mut [f32],
) {
    let decision = Decision::new(code, rounding);
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    values.par_chunks(run).zip(packed.par_chunks_mut(run / 2)).zip(absmax.par_chunks_mut(blocks)).for_each(
        |((values, packed), absmax)| quantize_run(&decision, block_size, rounding, values, packed, absmax),
    );
}

fn quantize_run(
    decision: &Decision,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    packed: &mut [u8],
    absmax: &mut [f32],
) {
    let blocks = values.chunks(block_size).zip(packed.chunks_mut(block_size / 2)).zip(absmax);
    for ((block, packed), absmax) in blocks {
        let full = block.len() == block_size;
        let largest = largest_magnitude(block);
        match multiplier(full, largest) {
            Some(scale) => {
                quantize_scaled(decision, scale, block, packed);
                *absmax = largest;
            }
            // Degenerate and partial blocks: rare, so the plain loop serves them.
            None => {
                let mut codes = Vec::with_capacity(block.len());
                *absmax = quantize_block(decision, rounding, full, block, &mut codes);
                super::pack(&codes, decision.code(0.0), packed);
            }
        }
    }
}

/// What to multiply an ordinary block's values with: the same under both rules.
/// `None` where they have special cases (all zero, non-finite, reciprocal
/// overflow, partial block).
fn multiplier(full: bool, absmax: f32) -> Option<f32> {
    let ordinary = full && absmax >= BNB_CPU_FLOOR && absmax.is_finite();
    ordinary.then(|| 1.0 / absmax)
}

/// Magnitudes of floats order like the integers of their bits, NaN above all: an
/// integer maximum vectorises and lets NaN through.
fn largest_magnitude(block: &[f32]) -> f32 {
    let bits = block.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff));
    f32::from_bits(bits)
}

/// Codes a full block by counting the thresholds below each value.
///
/// No value exceeds `absmax` and rounding is monotonic, so clamping to ±1 could
/// only touch results that are beyond the outermost threshold anyway.
fn quantize_scaled(decision: &Decision, scale: f32, block: &[f32], packed: &mut [u8]) {
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
            *byte = high << 4 | low;
        }
    }
}

pub(crate) fn dequantize(view: &Packed4View<'_>, out: &mut [f32]) {
    let run = TASK.div_ceil(view.block_size) * view.block_size;
    out.par_chunks_mut(run).enumerate().for_each(|(i, out)| dequantize_range(view, i * run, out));
}

pub(crate) fn dequantize_range(view: &Packed4View<'_>, start: usize, out: &mut [f32]) {
    let table = view.code.table();
    let mut done = 0;
    while done < out.len() {
        let first = start + done;
        let block = first / view.block_size;
        let count = (view.block_size - first % view.block_size).min(out.len() - done);
        let scale = view.absmax.get(block);
        // Scaling the sixteen codes once gives the same products as scaling
        // every element.
        let scaled = table.map(|code| code * scale);
        dequantize_within_block(&scaled, view.packed, first, &mut out[done..done + count]);
        done += count;
    }
}

fn dequantize_within_block(scaled: &[f32; 16], packed: &[u8], first: usize, out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    // A range that starts at a low nibble takes that one alone.
    let lead = first % 2;
    if lead == 1 {
        out[0] = scaled[usize::from(packed[first / 2] & 15)];
    }
    let out = &mut out[lead..];
    let bytes = &packed[first.div_ceil(2)..][..out.len().div_ceil(2)];
    let mut pairs = out.chunks_exact_mut(2);
    for (pair, &byte) in pairs.by_ref().zip(bytes) {
        pair[0] = scaled[usize::from(byte >> 4)];
        pair[1] = scaled[usize::from(byte & 15)];
    }
    if let ([last], Some(byte)) = (pairs.into_remainder(), bytes.last()) {
        *last = scaled[usize::from(byte >> 4)];
    }
}
