//! What can go wrong, in words a user can act on.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensorError};

/// An error of this crate. Every variant names the tensor or file concerned.
#[derive(Debug, thiserror::Error)]
pub enum QuantError {
    /// The block size is not one of bitsandbytes'.
    #[error("block_size {found} is not supported: expected a power of two from 32 to 4096")]
    BlockSize {
        /// What the configuration or file says.
        found: usize,
    },
    /// Shape and number of values disagree.
    #[error("tensor `{tensor}`: shape {shape:?} does not describe {found} values")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// The stated shape.
        shape: Vec<usize>,
        /// The number of values given.
        found: usize,
    },
    /// A weight is NaN or infinite.
    #[error(
        "tensor `{tensor}`: value {value} at flat index {index}, position {position:?}: expected a finite number"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
        /// NaN or an infinity.
        value: f32,
        /// Index into the flat row-major values.
        index: usize,
        /// The same as one index per dimension.
        position: Vec<usize>,
    },
    /// A weight that 8-bit blocks cannot hold.
    #[error(
        "tensor `{tensor}`: value {value} in row {row}, column {column}: 8-bit blocks hold finite numbers \
         up to about 8 million"
    )]
    Int8Range {
        /// Name of the tensor.
        tensor: String,
        /// Row of the value.
        row: usize,
        /// Column of the value, or of the first in its block.
        column: usize,
        /// The value, or the largest in its block.
        value: f32,
    },
    /// The weights are finite, but so large that double quantisation's sums are not.
    #[error(
        "tensor `{tensor}`: its scales are too large for double quantisation: block {block} would become {value}; \
         expected smaller weights, or double_quant off"
    )]
    NestedOverflow {
        /// Name of the tensor.
        tensor: String,
        /// The first block whose scale is lost.
        block: usize,
        /// What its scale would be: NaN or an infinity.
        value: f32,
    },
    /// A linear layer needs two dimensions.
    #[error("a linear layer needs a weight [out_features, in_features], found shape {shape:?}")]
    NotMatrix {
        /// The shape found.
        shape: Vec<usize>,
    },
    /// A bias does not fit its weight.
    #[error("bias has {found} values, the weight has {expected} output features")]
    Bias {
        /// Output features of the weight.
        expected: usize,
        /// Length of the bias.
        found: usize,
    },
    /// Not a whole safetensors file.
    #[error("{file}: not a complete safetensors file (truncated or damaged): {source}")]
    SafeTensors {
        /// The file.
        file: PathBuf,
        /// What the parser found.
        source: SafeTensorError,
    },
    /// A part of a bitsandbytes weight is absent.
    #[error(
        "{file}: tensor `{part}` is missing: `{weight}` is stored in bitsandbytes' 4-bit format and needs it"
    )]
    MissingPart {
        /// The file.
        file: PathBuf,
        /// The weight concerned.
        weight: String,
        /// The full name of the absent tensor.
        part: String,
    },
    /// A part of a bitsandbytes weight has the wrong type or size.
    #[error(
        "{file}: tensor `{part}` is {found_type:?} with {found} elements, expected {expected_type:?} with {expected}"
    )]
    Part {
        /// The file.
        file: PathBuf,
        /// The full name of the tensor.
        part: String,
        /// Its element type.
        found_type: Dtype,
        /// Its number of elements.
        found: usize,
        /// The element type it should have.
        expected_type: Dtype,
        /// The number of elements it should have.
        expected: usize,
    },
    /// The codes of a bitsandbytes weight are too few or too many for its shape.
    #[error(
        "{file}: tensor `{weight}` holds {found} bytes of 4-bit codes (as {stored_type:?}), expected {expected}"
    )]
    PackedBytes {
        /// The file.
        file: PathBuf,
        /// The weight concerned.
        weight: String,
        /// The element type that its bytes are stored as.
        stored_type: Dtype,
        /// Bytes found.
        found: usize,
        /// Bytes that the shape asks for.
        expected: usize,
    },
    /// A part of a bitsandbytes weight holds NaN or an infinity.
    #[error("{file}: tensor `{part}` holds {value} at index {index}, expected finite numbers")]
    PartNotFinite {
        /// The file.
        file: PathBuf,
        /// The full name of the tensor.
        part: String,
        /// The first such value's flat index.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A code book this crate does not know.
    #[error("{file}: `{weight}` has quant_type \"{found}\", expected \"nf4\", \"fp4\" or \"int4\"")]
    QuantType {
        /// The file.
        file: PathBuf,
        /// The weight concerned.
        weight: String,
        /// What the file says.
        found: String,
    },
    /// The JSON description of a weight cannot be used.
    #[error("{file}: quant_state of `{weight}`: {reason}")]
    QuantState {
        /// The file.
        file: PathBuf,
        /// The weight concerned.
        weight: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A code book stored in the file is not the one its type promises.
    #[error("{file}: tensor `{part}` differs from the {expected} table at code {code}")]
    QuantMap {
        /// The file.
        file: PathBuf,
        /// The full name of the tensor.
        part: String,
        /// The table it should equal.
        expected: &'static str,
        /// The first code that differs.
        code: usize,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    File(#[from] camelid_files::FileError),
}
