//! `base + scale·(drop(x)·Aᵀ)·Bᵀ`: LoRA's low-rank update, added into the output
//! of a base linear.
//!
//! LoRA (Hu et al., 2021), section 4.1. `x`, `A` and `B` are all the backward pass
//! keeps: the low-rank product and the dropout mask are computed again.

mod cpu;
#[cfg(feature = "cube")]
mod cube;
mod dropout;
mod op;
pub mod reference;

pub use dropout::Dropout;
#[cfg(feature = "cube")]
pub(crate) use dropout::Mask;
pub use op::{LoraUpdateGrad, LoraUpdateOp, lora_update, lora_update_with};
