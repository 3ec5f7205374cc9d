//! The vocabulary head and its cross entropy in one, without the batch's logits.
//!
//! When gradients are wanted they are computed in the forward pass, while some logits
//! are at hand, and the backward pass only scales them. With a frozen head the logits
//! of all rows are taken a few words at a time; with a trained one, those of a few rows
//! over all words.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub use op::{
    CrossEntropyGrads, CrossEntropyOp, CrossEntropyWanted, linear_cross_entropy, linear_cross_entropy_with,
};

use crate::IGNORE_INDEX;

/// Logits that the CPU implementation holds at a time when the head is trained: 32 MiB of
/// f32, one buffer for the whole call. Every chunk streams the whole head through the
/// cache, so smaller chunks are slower: at 49,152 words, 8 MiB took nearly twice as long.
pub const LOGIT_CHUNK_VALUES: usize = 1 << 23;

/// The same with a frozen head: 4 MiB of f32, which stay in the last-level cache.
pub const LOGIT_TILE_VALUES: usize = 1 << 20;

/// A row that carries loss.
struct Row {
    /// Its index in `hidden`.
    index: usize,
    label: usize,
}

/// The rows whose label is not [`IGNORE_INDEX`].
///
/// # Panics
/// If another label is not one of the vocabulary.
fn supervised(labels: &[i64], vocab: usize) -> Vec<Row> {
    let row = |(index, &label): (usize, &i64)| {
        let label = usize::try_from(label).ok().filter(|&label| label < vocab).unwrap_or_else(|| {
            panic!("linear_cross_entropy: label {label} of row {index} is not in 0..{vocab}");
        });
        Row { index, label }
    };
    labels.iter().enumerate().filter(|&(_, &label)| label != IGNORE_INDEX).map(row).collect()
}
