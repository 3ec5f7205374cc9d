//! `y = x·Wᵀ` by products of 8-bit integers, for inference.
//!
//! `W` lies in blocks of 32 values along its rows: a scale, perhaps a minimum, and 8-bit or 4-bit
//! codes. Each row of `x` is cut into the same blocks and rounded to 8 bits as it comes. Within a
//! block products and sums are integers, which are exact; the blocks of a row are then added up in
//! f32 in their order. A row's result therefore has the same bits on every instruction set, with any
//! number of threads and in any company of other rows.
//!
//! The scheme is that of ggml's `Q8_0`, `Q4_0`, `Q4_1` and `IQ4_NL` types, whose blocks fit as they
//! are; 4-bit code books such as NF4 are looked up in a table of 16 signed bytes.

mod activations;
#[cfg(target_arch = "x86_64")]
mod amx;
mod cpu;
#[cfg(target_arch = "aarch64")]
mod neon;
mod op;
mod pack;
mod portable;
mod product;
pub mod reference;
mod spec;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod unit;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use op::{EmbeddingInt8Op, LinearInt8Grad, LinearInt8Op, embedding_int8, linear_int8};
pub use pack::{Int8Packer, signed_table};
pub use spec::{INT8_BLOCK, Int8Codes, Int8Spec};
