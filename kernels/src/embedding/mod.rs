//! Rows of a table, looked up by id.

mod cpu;
mod op;

pub use op::{EmbeddingGrad, EmbeddingOp, embedding};
