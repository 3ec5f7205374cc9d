//! The fast path: binary search instead of counting, in parallel over blocks.

use rayon::prelude::*;

use super::Map8;
use super::reference::{by_table, largest_magnitude, nearest};
use crate::blockwise4::Rounding;

/// Values per parallel task, rounded up to whole blocks.
const TASK: usize = 1 << 14;

pub(super) fn quantize(
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    values
        .par_chunks(run)
        .zip(codes.par_chunks_mut(run))
        .zip(absmax.par_chunks_mut(blocks))
        .for_each(|((values, codes), absmax)| quantize_run(map, block_size, rounding, values, codes, absmax));
}

fn quantize_run(
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    for ((block, codes), absmax) in values.chunks(block_size).zip(codes.chunks_mut(block_size)).zip(absmax) {
        *absmax = largest_magnitude(block);
        let reciprocal = 1.0 / *absmax;
        match rounding {
            Rounding::Cuda if *absmax > 0.0 && reciprocal.is_finite() => {
                let midpoints = &map.tables().midpoints;
                for (&value, code) in block.iter().zip(codes) {
                    *code = count_below(midpoints, (value * reciprocal).clamp(-1.0, 1.0));
                }
            }
            Rounding::Cuda => {
                for (&value, code) in block.iter().zip(codes) {
                    *code = nearest(map, value, *absmax);
                }
            }
            Rounding::BnbCpu => {
                for (&value, code) in block.iter().zip(codes) {
                    *code = by_table(map, value, *absmax);
                }
            }
        }
    }
}

/// How many midpoints lie strictly below `value`: eight branch-free halvings.
fn count_below(midpoints: &[f32; 255], value: f32) -> u8 {
    let mut below = 0usize;
    let mut half = 128;
    while half > 0 {
        // `below + half - 1` stays under 255: the steps sum to at most 255.
        below += if midpoints[below + half - 1] < value { half } else { 0 };
        half /= 2;
    }
    below as u8
}

pub(super) fn dequantize(map: Map8, block_size: usize, codes: &[u8], absmax: &[f32], out: &mut [f32]) {
    let table = map.table();
    let blocks = TASK.div_ceil(block_size);
    let run = blocks * block_size;
    out.par_chunks_mut(run).zip(codes.par_chunks(run)).zip(absmax.par_chunks(blocks)).for_each(
        |((out, codes), absmax)| {
            for ((out, codes), absmax) in out.chunks_mut(block_size).zip(codes.chunks(block_size)).zip(absmax)
            {
                for (out, &code) in out.iter_mut().zip(codes) {
                    *out = table[usize::from(code)] * absmax;
                }
            }
        },
    );
}
