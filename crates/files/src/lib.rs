#![doc = include_str!("../README.md")]

mod cache;
pub mod digest;
mod error;
mod input;
pub mod json;
mod packed;
pub mod program;
pub mod records;
mod rows;
mod utf16;
mod whole;

pub use cache::cache_dir;
pub use error::FileError;
pub use input::{Input, Packing, is_lfs_pointer, name, stem};
pub use packed::PackedFile;
pub use records::{BadRecord, Place, RawRecord, Record, Records};
pub use rows::{RowWriter, array_item};
pub use whole::{WholeFile, remove_whole, write_whole};
