//! camelid-kernels

pub mod blockwise4;
pub mod blockwise8;
mod composed;
pub mod lora_linear;

pub use blockwise4::{NestedSpec, Packed4Spec};
pub use composed::{
    causal_attention, embedding, linear, linear_cross_entropy, lora_linear, rms_norm, rotary, swiglu, vjp_seed,
};
pub use lora_linear::Dropout;

/// Label of positions that carry no loss.
pub const IGNORE_INDEX: i64 = -100;
