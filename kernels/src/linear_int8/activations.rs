//! The rows of `x` rounded to 8 bits.

use rayon::prelude::*;

use super::spec::{INT8_BLOCK, OFFSET};
use crate::lanes::vectorised;

/// Values above which rows are rounded on all threads.
const PARALLEL_FROM: usize = 1 << 15;

/// Rows in blocks of 32 signed bytes, the last one of a row filled up with zeros.
pub(super) struct Activations {
    /// Rows.
    pub m: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// `[m, 32 · blocks]`, each in −127..=127.
    pub codes: Vec<i8>,
    /// Of each block `[m, blocks]` what the kernels need.
    pub scales: Vec<f32>,
    /// What an integer sum starts at: it takes the offset of the stored weights back.
    pub starts: Vec<i32>,
    /// The sum of the block's values, for weights with minima.
    pub sums: Vec<f32>,
}

impl Activations {
    /// Rounds `x[m, inn]`.
    ///
    /// A block's scale is its largest magnitude over 127; codes are rounded to nearest, ties to
    /// even. A block with a value that is not finite gets a scale that is no number, and so does
    /// every result that it is part of.
    pub fn new(x: &[f32], m: usize, inn: usize) -> Self {
        let blocks = inn.div_ceil(INT8_BLOCK);
        let mut rows = Self {
            m,
            blocks,
            codes: vec![0; m * blocks * INT8_BLOCK],
            scales: vec![0.0; m * blocks],
            starts: vec![0; m * blocks],
            sums: vec![0.0; m * blocks],
        };
        if inn == 0 || m == 0 {
            return rows;
        }
        let each = (
            x.par_chunks(inn),
            rows.codes.par_chunks_mut(blocks * INT8_BLOCK),
            rows.scales.par_chunks_mut(blocks),
            rows.starts.par_chunks_mut(blocks),
            rows.sums.par_chunks_mut(blocks),
        );
        if x.len() >= PARALLEL_FROM {
            each.into_par_iter().with_min_len(8).for_each(|(x, codes, scales, starts, sums)| {
                round_row(x, codes, scales, starts, sums);
            });
        } else {
            let (blocks32, x) = (blocks * INT8_BLOCK, x.chunks(inn));
            for (i, x) in x.enumerate() {
                let range = i * blocks..(i + 1) * blocks;
                round_row(
                    x,
                    &mut rows.codes[i * blocks32..(i + 1) * blocks32],
                    &mut rows.scales[range.clone()],
                    &mut rows.starts[range.clone()],
                    &mut rows.sums[range],
                );
            }
        }
        rows
    }
}

fn round_row(x: &[f32], codes: &mut [i8], scales: &mut [f32], starts: &mut [i32], sums: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let stats = scales.iter_mut().zip(starts).zip(sums);
            let ((codes, _), (whole, rest)) =
                (codes.as_chunks_mut::<INT8_BLOCK>(), x.as_chunks::<INT8_BLOCK>());
            let mut last = [0f32; INT8_BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            // Without a rest there is one block too many, and no codes for it.
            let blocks = whole.iter().chain([&last]);
            for ((x, codes), ((scale, start), sum)) in blocks.zip(codes).zip(stats) {
                *scale = round_block(x, codes);
                let total: i32 = codes.iter().map(|&code| i32::from(code)).sum();
                *start = -i32::from(OFFSET) * total;
                *sum = *scale * total as f32;
            }
        },
    );
}

/// Rounds a block and returns its scale.
#[inline(always)]
fn round_block(block: &[f32; INT8_BLOCK], codes: &mut [i8; INT8_BLOCK]) -> f32 {
    // Magnitudes order like the integers of their bits, what is not finite above all.
    let largest = block.iter().fold(0u32, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    let factor = 127.0 / largest;
    if !largest.is_finite() || !factor.is_finite() {
        // Not numbers, or all of them too small to matter (below 4e-37).
        *codes = [0; INT8_BLOCK];
        return if largest.is_finite() { 0.0 } else { f32::NAN };
    }
    // 1.5·2²³: adding it rounds to nearest even and leaves the integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    for (code, value) in codes.iter_mut().zip(block) {
        *code = (value * factor + ROUND).to_bits() as i8;
    }
    largest / 127.0
}
