//! `silu(gate) · up`, the gated activation of LLaMA's feed-forward block.
//!
//! GLU Variants Improve Transformer (Shazeer, 2020).

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub use op::{SwigluGrad, SwigluOp, swiglu};
