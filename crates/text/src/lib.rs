#![doc = include_str!("../README.md")]

pub mod duplicates;
mod hash_table;
mod language;
pub mod minhash;
pub mod rouge;

pub use language::{language, plain_language};
