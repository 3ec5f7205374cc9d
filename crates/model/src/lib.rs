#![doc = include_str!("../README.md")]

pub mod config;
mod error;
pub mod rope;

pub use config::{LlamaConfig, RopeScaling};
pub use error::ModelError;
