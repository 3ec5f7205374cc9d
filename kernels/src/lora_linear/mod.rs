//! LoRA's low-rank update, added into the output of a base linear.
mod dropout;

pub use dropout::Dropout;
