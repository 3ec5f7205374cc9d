//! Causal self-attention with grouped queries, in tiles.
//!
//! FlashAttention-2 (Dao, 2023): an online softmax over tiles of keys; the forward
//! pass keeps the logarithm of each row's softmax denominator, and the backward
//! pass computes the scores again. No score matrix is ever held.

mod backward;
mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod forward;
mod op;
mod product;
pub mod reference;
mod sequences;
mod single;

pub use op::{AttentionGrad, AttentionInputs, AttentionOp, causal_attention, causal_attention_varlen};
pub use sequences::CuSeqlens;

use crate::lanes::LANES;

/// Queries per tile: a whole number of every block of rows that products use.
const QUERY_TILE: usize = 48;
/// Keys per tile.
const KEY_TILE: usize = 256;

/// Heads of one call.
#[derive(Clone, Copy, Debug)]
struct Heads {
    queries: usize,
    /// Heads of keys and values; divides `queries`.
    keys: usize,
    /// Elements of a head.
    d: usize,
}

impl Heads {
    /// Queries' heads per head of keys and values.
    fn group(&self) -> usize {
        self.queries / self.keys
    }

    /// Elements of one position's queries.
    fn query_row(&self) -> usize {
        self.queries * self.d
    }

    /// Elements of one position's keys, and of its values.
    fn key_row(&self) -> usize {
        self.keys * self.d
    }
}

/// `[positions, d]`, `stride` apart, times `factor`, to the panels of its transpose: for every
/// [`LANES`] positions `[d, LANES]`, with zeros after the last position.
#[inline(always)]
fn transposed_panels(
    values: &[f32],
    positions: usize,
    stride: usize,
    d: usize,
    factor: f32,
    out: &mut [f32],
) {
    for (out, first) in out.chunks_exact_mut(d * LANES).zip((0..positions).step_by(LANES)) {
        let block = LANES.min(positions - first);
        for (c, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            for (j, out) in out[..block].iter_mut().enumerate() {
                *out = values[(first + j) * stride + c] * factor;
            }
            out[block..].fill(0.0);
        }
    }
}

/// `[positions, d]`, `stride` apart, to panels: for every [`LANES`] elements of `d`
/// `[positions, LANES]`. What lies beyond `d` in the last panel is left as it was.
#[inline(always)]
fn panels(values: &[f32], positions: usize, stride: usize, d: usize, out: &mut [f32]) {
    for (out, first) in out.chunks_exact_mut((positions * LANES).max(1)).zip((0..d).step_by(LANES)) {
        let width = LANES.min(d - first);
        for (i, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let row = &values[i * stride + first..][..width];
            if width == LANES {
                out.copy_from_slice(row);
            } else {
                out[..width].copy_from_slice(row);
            }
        }
    }
}
