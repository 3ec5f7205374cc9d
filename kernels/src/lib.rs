#![doc = include_str!("../README.md")]

pub mod adamw;
mod blocks;
pub mod blockwise4;
pub mod blockwise8;
pub mod causal_attention;
#[cfg(feature = "cube")]
pub mod cube;
mod device;
pub mod embedding;
mod flex_slices;
mod fresh;
mod isa;
mod lanes;
pub mod linear;
pub mod linear4bit;
pub mod linear_cross_entropy;
pub mod linear_int8;
pub mod lora_update;
mod mapped_file;
pub mod paged_attention;
pub mod probe;
mod processor;
mod product;
pub mod rms_norm;
pub mod rotary;
pub mod swiglu;
mod values;
pub mod vjp_seed;
mod weight_rows;

pub use blockwise4::{NestedSpec, Packed4Spec};
pub use causal_attention::{CuSeqlens, causal_attention, causal_attention_varlen};
pub use device::{DEVICE_VARIABLE, DeviceName, UnknownDevice, device, device_from_environment, device_label};
pub use embedding::embedding;
pub use isa::{ISA_VARIABLE, Isa, IsaError};
pub use linear::{linear, linear_with};
pub use linear_cross_entropy::{
    LOGIT_CHUNK_VALUES, LOGIT_TILE_VALUES, linear_cross_entropy, linear_cross_entropy_with,
};
pub use linear_int8::{
    INT8_BLOCK, Int8Codes, Int8Packer, Int8Spec, embedding_int8, linear_int8, signed_table,
};
pub use linear4bit::{linear4bit, linear4bit_with};
pub use lora_update::{Dropout, lora_update, lora_update_with};
pub use mapped_file::MappedFile;
pub use processor::processor_name;
pub use product::ComputeType;
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use swiglu::swiglu;
pub use values::release_idle_buffers;
pub use vjp_seed::vjp_seed;

/// Label of positions that carry no loss.
pub const IGNORE_INDEX: i64 = -100;
