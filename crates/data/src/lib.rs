#![doc = include_str!("../README.md")]

pub mod alpaca;
mod batch;
pub mod catalogue;
mod digest;
mod error;
pub mod guanaco;
mod hold_out;
pub mod nano;
pub mod oasst;
pub mod packing;
mod parquet_file;
mod report;
mod sampler;
pub mod sharegpt;
mod text_file;
pub mod tokens;

pub use batch::Batch;
pub use error::DataError;
pub use hold_out::{HeldOut, hold_out};
pub use report::{Dropped, LoadReport, Loaded};
pub use sampler::{Position, Sampler, SamplerKind};
pub use tokens::{Example, TokenizeOptions, TokenizedSet, Truncation};
