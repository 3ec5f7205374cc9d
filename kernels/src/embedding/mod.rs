//! Rows of a table, looked up by id.

mod cpu;
#[cfg(feature = "cube")]
mod cube;
mod op;

pub use op::{EmbeddingGrad, EmbeddingOp, embedding};

/// The row of an id.
///
/// # Panics
/// If there is none.
pub(crate) fn row_index(id: i64, vocab: usize) -> usize {
    usize::try_from(id)
        .ok()
        .filter(|&id| id < vocab)
        .unwrap_or_else(|| panic!("embedding: id {id} is not in 0..{vocab}"))
}
