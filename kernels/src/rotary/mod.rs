//! Rotary position embedding in Hugging Face's "rotate half" form.
//!
//! RoFormer (Su et al., 2021); element `i` of the first half of a head is paired
//! with element `i` of the second half, not with its neighbour.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub use op::{RotaryOp, rotary};
