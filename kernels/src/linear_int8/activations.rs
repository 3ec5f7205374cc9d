//! The rows of `x` rounded to 8 bits.

use rayon::prelude::*;

use super::spec::{INT8_BLOCK, OFFSET};
use super::task::{BlockStats, Codes};
use crate::lanes::vectorised;
use crate::product::Buffer;

/// Values above which rows are rounded on all threads.
const PARALLEL_FROM: usize = 1 << 15;

/// Rows that a thread rounds at a time.
const ROWS_EACH: usize = 8;

/// Words of a block's codes, and of its statistics.
const CODES_WORDS: usize = size_of::<Codes>() / size_of::<f32>();
const STATS_WORDS: usize = size_of::<BlockStats>() / size_of::<f32>();

/// Rows in blocks of 32 signed bytes, the last one of a row filled up with zeros.
pub(super) struct Activations {
    /// Rows.
    pub m: usize,
    /// Blocks of a row.
    pub blocks: usize,
    /// The codes of all blocks, then their statistics.
    buffer: Buffer,
}

impl Activations {
    /// Rounds `x[m, inn]`.
    ///
    /// A block's scale is its largest magnitude over 127; codes are rounded to nearest, ties to
    /// even. A block with a value that is not finite gets a scale that is no number, and so does
    /// every result that it is part of.
    pub fn new(x: &[f32], m: usize, inn: usize) -> Self {
        let blocks = inn.div_ceil(INT8_BLOCK);
        let mut buffer = Buffer::take(m * blocks * (CODES_WORDS + STATS_WORDS));
        if inn > 0 && m > 0 {
            let (codes, stats) = buffer.split_at_mut(m * blocks * CODES_WORDS);
            let (codes, stats) = (bytemuck::cast_slice_mut(codes), bytemuck::cast_slice_mut(stats));
            if x.len() >= PARALLEL_FROM {
                let each = (
                    x.par_chunks(ROWS_EACH * inn),
                    codes.par_chunks_mut(ROWS_EACH * blocks),
                    stats.par_chunks_mut(ROWS_EACH * blocks),
                );
                each.into_par_iter().for_each(|(x, codes, stats)| round_rows(x, inn, codes, stats));
            } else {
                round_rows(x, inn, codes, stats);
            }
        }
        Self { m, blocks, buffer }
    }

    /// The codes `[m, blocks]`, each in −127..=127.
    pub fn codes(&self) -> &[Codes] {
        bytemuck::cast_slice(&self.buffer[..self.m * self.blocks * CODES_WORDS])
    }

    /// What the kernels need of each block, `[m, blocks]`.
    pub fn stats(&self) -> &[BlockStats] {
        bytemuck::cast_slice(&self.buffer[self.m * self.blocks * CODES_WORDS..])
    }
}

fn round_rows(x: &[f32], inn: usize, codes: &mut [Codes], stats: &mut [BlockStats]) {
    let blocks = inn.div_ceil(INT8_BLOCK);
    vectorised(
        #[inline(always)]
        || {
            let rows = x.chunks_exact(inn).zip(codes.chunks_exact_mut(blocks));
            for ((x, codes), stats) in rows.zip(stats.chunks_exact_mut(blocks)) {
                let (whole, rest) = x.as_chunks::<INT8_BLOCK>();
                let mut last = [0f32; INT8_BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                // Without a rest there is one block too many, and no codes for it.
                for ((x, codes), stats) in whole.iter().chain([&last]).zip(codes).zip(stats) {
                    let scale = round_block(x, codes);
                    let total: i32 = codes.iter().map(|&code| i32::from(code)).sum();
                    let start = -i32::from(OFFSET) * total;
                    *stats = BlockStats { scale, start, sum: scale * total as f32 };
                }
            }
        },
    );
}

/// Rounds a block and returns its scale.
#[inline(always)]
fn round_block(block: &[f32; INT8_BLOCK], codes: &mut Codes) -> f32 {
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
