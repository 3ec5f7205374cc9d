//! `y = x·Wᵀ` with `W` packed to 4 bits.
//!
//! The weight is dequantised a panel at a time, forward and backward, so nothing
//! dense of its shape is ever held; the backward pass keeps only handles
//! to the packed tensors. Despite its name the operation takes every 4-bit code
//! (NF4, FP4, INT4), with or without double quantisation.
//!
//! QLoRA (Dettmers et al., 2023), section 3, equation 5.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub use op::{Linear4bitGrad, Linear4bitOp, linear4bit, linear4bit_with};
