#![doc = include_str!("../README.md")]

pub mod digest;
mod error;
mod input;
mod whole;

pub use error::FileError;
pub use input::{Input, Packing, name, stem};
pub use whole::{WholeFile, write_whole};
