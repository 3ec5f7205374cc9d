#![doc = include_str!("../README.md")]

mod at;
mod cache;
pub mod digest;
mod error;
mod input;
pub mod json;
mod packed;
pub mod program;
mod python_json;
pub mod records;
mod unfinished;
mod utf16;
mod whole;

pub use at::FileAt;
pub use cache::cache_dir;
pub use error::FileError;
pub use input::{Input, Packing, is_lfs_pointer, name, stem};
pub use packed::PackedFile;
pub use python_json::array_item;
pub use records::{BadRecord, Place, RawRecord, Record, Records};
pub use unfinished::{Unfinished, remove_unfinished};
pub use whole::{WholeFile, remove_whole, write_private, write_whole};
