//! The vocabulary head and its cross entropy in one, without the batch's logits.
//!
//! Supervised rows go through the head in chunks whose logits fit a small buffer.
//! When gradients are wanted they are computed in the forward pass, while the
//! chunk's logits are at hand, and the backward pass only scales them.

mod cpu;
mod op;
pub mod reference;

pub use op::{CrossEntropyGrads, CrossEntropyOp, CrossEntropyWanted, linear_cross_entropy};

/// Logits that the CPU implementation holds at a time: 32 MiB of f32, one buffer
/// for the whole call. Every chunk streams the whole head through the cache, so
/// smaller chunks are slower: at 49,152 words, 8 MiB took nearly twice as long.
pub const LOGIT_CHUNK_VALUES: usize = 1 << 23;
