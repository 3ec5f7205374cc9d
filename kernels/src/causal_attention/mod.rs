//! Causal self-attention with grouped queries, in tiles.
//!
//! FlashAttention-2 (Dao, 2023): an online softmax over tiles of keys; the forward
//! pass keeps the logarithm of each row's softmax denominator, and the backward
//! pass computes the scores again. No score matrix is ever held.

mod backward;
mod cpu;
mod forward;
mod op;
pub mod reference;

pub use op::{AttentionGrad, AttentionInputs, AttentionOp, causal_attention};

/// Sizes of one call.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    /// Query positions.
    t: usize,
    /// Key positions, at least `t`; query `i` sees keys `0..=s - t + i`.
    s: usize,
    heads: usize,
    kv_heads: usize,
    /// Elements of a head.
    d: usize,
}

impl Sizes {
    /// Queries' heads per head of keys and values.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Number of keys that query `i` sees.
    fn visible(&self, i: usize) -> usize {
        self.s - self.t + i + 1
    }
}

/// Queries per tile.
const QUERY_TILE: usize = 64;
/// Keys per tile.
const KEY_TILE: usize = 256;
