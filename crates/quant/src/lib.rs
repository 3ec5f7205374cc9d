#![doc = include_str!("../README.md")]

pub mod bnb;
mod config;
mod error;
mod finite;
#[cfg(feature = "burn")]
mod int8;
#[cfg(feature = "burn")]
mod linear;
mod mean;
mod pieces;
mod quality;
mod source;
mod tensor;

pub use camelid_kernels::blockwise4::{Code4, Float, Rounding};
pub use camelid_kernels::blockwise8::Table8;
#[cfg(feature = "burn")]
pub use camelid_kernels::{ComputeType, INT8_BLOCK, Int8Codes, Int8Packer, Int8Spec};
pub use camelid_kernels::{NestedSpec, Packed4Spec};
pub use config::{Format, NESTED_BLOCK_SIZE, QuantConfig};
pub use error::QuantError;
pub use finite::OnNonFinite;
#[cfg(feature = "burn")]
pub use int8::{Int8Linear, Int8Matrix};
#[cfg(feature = "burn")]
pub use linear::{BaseLinear, DenseLinear, PackedParts, QuantLinear};
pub use mean::torch_mean;
pub use pieces::PIECE_VALUES;
pub use quality::{QuantizationError, quantization_error};
pub use source::{SourceType, Values};
pub use tensor::{Absmax, QuantizeOptions, QuantizedTensor};
