//! 8-bit quantisation written out plainly: what the fast path is held to.

use super::Map8;
use crate::blocks::Rounding;

/// Quantises block by block; see [`super::quantize`].
pub fn quantize(
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    super::check_lengths(block_size, values.len(), codes.len(), absmax.len());
    for ((block, codes), absmax) in values.chunks(block_size).zip(codes.chunks_mut(block_size)).zip(absmax) {
        *absmax = largest_magnitude(block);
        for (&value, code) in block.iter().zip(codes) {
            *code = match rounding {
                Rounding::Cuda => nearest(map, value, *absmax),
                Rounding::BnbCpu => by_table(map, value, *absmax),
            };
        }
    }
}

/// Ignores NaN, as bitsandbytes' comparison does.
pub(super) fn largest_magnitude(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |largest, value| if value.abs() > largest { value.abs() } else { largest })
}

/// The exactly nearest code; a tie goes to the lower.
pub(super) fn nearest(map: Map8, value: f32, absmax: f32) -> u8 {
    let reciprocal = 1.0 / absmax;
    let normalised = match absmax {
        0.0 => 0.0,
        // The reciprocal of a tiny scale overflows: divide instead.
        _ if reciprocal.is_infinite() => value / absmax,
        _ => value * reciprocal,
    };
    let midpoints = &map.tables().midpoints;
    midpoints.iter().filter(|&&midpoint| midpoint < normalised.clamp(-1.0, 1.0)).count() as u8
}

/// bitsandbytes' CPU build: the nearest of 65,536 steps over `[-1, 1]`, then the
/// code nearest to that step.
pub(super) fn by_table(map: Map8, value: f32, absmax: f32) -> u8 {
    if absmax == 0.0 {
        return 0;
    }
    let normalised = (value * (1.0 / absmax)).clamp(-1.0, 1.0);
    let half = (normalised + 1.0) * 0.5;
    // One rounding: a fused multiply-add. A NaN casts to step 0.
    let step = (f64::from(half) * 65_535.0 + 0.5) as f32 as usize;
    map.tables().bnb_cpu[step.min(65_535)]
}

/// Dequantises element by element; see [`super::dequantize`].
pub fn dequantize(map: Map8, block_size: usize, codes: &[u8], absmax: &[f32], out: &mut [f32]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = map.table()[usize::from(codes[i])] * absmax[i / block_size];
    }
}
