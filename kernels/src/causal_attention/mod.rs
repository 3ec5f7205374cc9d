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

/// `[positions, d]`, `stride` apart, to `[d, width]` times `factor`; positions from
/// `positions` to `width` are zeros.
#[inline(always)]
fn transpose(values: &[f32], positions: usize, stride: usize, factor: f32, width: usize, out: &mut [f32]) {
    const BLOCK: usize = 16;
    for first in (0..positions).step_by(BLOCK) {
        let block = BLOCK.min(positions - first);
        for (c, out) in out.chunks_exact_mut(width).enumerate() {
            for (j, out) in out[first..first + block].iter_mut().enumerate() {
                *out = values[(first + j) * stride + c] * factor;
            }
        }
    }
    for out in out.chunks_exact_mut(width) {
        out[positions..].fill(0.0);
    }
}
