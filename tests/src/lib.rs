//! What the tests of several crates share: golden files, servers that misbehave as they are told, a
//! browser, a disk that is soon full, small models, tokenizers and GGUF files.
//!
//! This crate also depends on every third-party crate with all its features; its `Cargo.toml` says
//! why. It depends on no crate of Camelid, so that each of them may use it; the suites in
//! `tests/tests` are what crosses crates.

mod browser;
mod byte_tokenizer;
pub mod chat_server;
pub mod file_server;
pub mod gguf;
mod http;
mod made_up;
mod oracles;
mod packages;
pub mod pages;
mod small_disk;
mod tiny_llama;
mod zip;

pub use browser::Browser;
pub use byte_tokenizer::{byte_tokenizer, byte_tokenizer_with_bos};
pub use made_up::MadeUp;
pub use oracles::{llama_tokenizer, oracles, workspace};
pub use packages::packages;
pub use small_disk::SmallDisk;
pub use tiny_llama::tiny_llama;
pub use zip::zip;

/// The programs of the book, compiled and run.
#[cfg(doctest)]
pub mod book {
    #[doc = include_str!("../../docs/own-data.md")]
    pub struct OwnData;
    #[doc = include_str!("../../docs/quantise-merge-export.md")]
    pub struct QuantiseMergeExport;
    #[doc = include_str!("../../docs/benchmarks.md")]
    pub struct Benchmarks;
}
