//! The GGUF container: metadata, tensor table and block formats, versions 2 and 3.
//!
//! Follows the specification in the ggml repository (`docs/gguf.md`): little-endian
//! header, typed key–value metadata, a table of tensors, then aligned tensor data.
//! Nothing here knows about language models; [`crate::weights`] gives names and
//! metadata their LLaMA meaning.
//!
//! A file is written whole or not at all, one tensor at a time, as version 3.
//!
//! A file is read with ordinary positioned reads, one tensor at a time and one
//! piece of a tensor at a time, so that a reader holds the values it was asked for
//! and little else. Every count and length in the file is checked against the
//! file's own size before anything is allocated for it: a damaged file is a
//! [`GgufError`], never a panic and never a huge allocation.

mod cursor;
mod dequantize;
mod error;
mod few_bits;
mod file;
mod five_bits;
mod int8;
mod quantize;
mod scales;
mod split;
mod tables;
mod tensor_type;
mod typed;
mod value;
mod writer;

pub use dequantize::dequantize;
pub use error::GgufError;
pub use file::{GgufFile, TensorInfo};
pub(crate) use int8::{int8_block, int8_codes};
pub use quantize::{QuantizeError, quantize};
pub(crate) use split::is_later_part;
pub use tensor_type::TensorType;
pub use value::Value;
pub use writer::{GgufWriter, MetaValue, PlannedTensor};
