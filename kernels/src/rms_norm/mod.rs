//! `y = x / sqrt(mean(x²) + eps) · weight`, over the last dimension.
//!
//! Root Mean Square Layer Normalization (Zhang and Sennrich, 2019), as LLaMA uses it.

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod op;
pub mod reference;

pub use op::{RmsNormGrad, RmsNormOp, rms_norm};
