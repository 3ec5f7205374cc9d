#![doc = include_str!("../README.md")]
// What only operations on tensors use.
#![cfg_attr(not(feature = "burn"), allow(dead_code))]

#[cfg(feature = "burn")]
pub mod adamw;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(feature = "burn")]
mod arena;
mod blocks;
pub mod blockwise4;
pub mod blockwise8;
#[cfg(feature = "burn")]
pub mod causal_attention;
#[cfg(feature = "cube")]
pub mod cube;
#[cfg(feature = "burn")]
mod device;
#[cfg(feature = "burn")]
pub mod embedding;
#[cfg(feature = "burn")]
mod flex_slices;
mod fresh;
mod isa;
mod lanes;
#[cfg(feature = "burn")]
pub mod linear;
#[cfg(feature = "burn")]
pub mod linear4bit;
#[cfg(feature = "burn")]
pub mod linear_cross_entropy;
#[cfg(feature = "burn")]
pub mod linear_int8;
#[cfg(feature = "burn")]
pub mod lora_update;
#[cfg(feature = "burn")]
mod mapped_file;
#[cfg(feature = "burn")]
mod mapped_pages;
#[cfg(feature = "burn")]
pub mod paged_attention;
pub mod probe;
mod processor;
#[cfg(feature = "burn")]
mod product;
#[cfg(feature = "burn")]
mod product_rates;
#[cfg(feature = "burn")]
pub mod rms_norm;
#[cfg(feature = "burn")]
pub mod rotary;
#[cfg(feature = "burn")]
pub mod swiglu;
#[cfg(feature = "burn")]
mod values;
#[cfg(feature = "burn")]
pub mod vjp_seed;
#[cfg(feature = "burn")]
mod weight_rows;

pub use blockwise4::{NestedSpec, Packed4Spec};
#[cfg(feature = "burn")]
pub use causal_attention::{CuSeqlens, causal_attention, causal_attention_varlen};
#[cfg(feature = "burn")]
pub use device::{DEVICE_VARIABLE, DeviceName, UnknownDevice, device, device_from_environment, device_label};
#[cfg(feature = "burn")]
pub use embedding::embedding;
pub use isa::{ISA_VARIABLE, Isa, IsaError};
#[cfg(feature = "burn")]
pub use linear::{linear, linear_with};
#[cfg(feature = "burn")]
pub use linear_cross_entropy::{
    LOGIT_CHUNK_VALUES, LOGIT_TILE_VALUES, linear_cross_entropy, linear_cross_entropy_with,
};
#[cfg(feature = "burn")]
pub use linear_int8::{
    INT8_BLOCK, Int8Codes, Int8Packer, Int8Spec, embedding_int8, linear_int8, signed_table,
};
#[cfg(feature = "burn")]
pub use linear4bit::{linear4bit, linear4bit_with};
#[cfg(feature = "burn")]
pub use lora_update::{Dropout, lora_update, lora_update_with};
#[cfg(feature = "burn")]
pub use mapped_file::MappedFile;
pub use processor::processor_name;
#[cfg(feature = "burn")]
pub use product::ComputeType;
#[cfg(feature = "burn")]
pub use product_rates::ProductRates;
#[cfg(feature = "burn")]
pub use rms_norm::rms_norm;
#[cfg(feature = "burn")]
pub use rotary::rotary;
#[cfg(feature = "burn")]
pub use swiglu::swiglu;
#[cfg(feature = "burn")]
pub use values::release_idle_buffers;
#[cfg(feature = "burn")]
pub use vjp_seed::vjp_seed;

/// Label of positions that carry no loss.
pub const IGNORE_INDEX: i64 = -100;
