#![doc = include_str!("../README.md")]

mod cache;
pub mod digest;
mod error;
mod input;
pub mod json;
pub mod program;
pub mod records;
mod rows;
mod whole;

pub use cache::cache_dir;
pub use error::FileError;
pub use input::{Input, Packing, is_lfs_pointer, name, stem};
pub use records::{BadRecord, Place, Record, Records};
pub use rows::RowWriter;
pub use whole::{WholeFile, write_whole};
