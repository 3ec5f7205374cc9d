//! `y = x·Wᵀ + b` with a dense weight of 32 or 16 bits.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub(crate) use cpu::with_weight;
pub use op::{LinearGrad, LinearOp, linear, linear_with};
