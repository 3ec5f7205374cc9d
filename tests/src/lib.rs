//! What the tests of several crates share: where golden files lie, a disk that is soon full.
//!
//! This crate also depends on every third-party crate with all its features; its `Cargo.toml` says
//! why. It depends on no crate of Camelid, so that each of them may use it; the suites in
//! `tests/tests` are what crosses crates.

mod oracles;
mod small_disk;

pub use oracles::{oracles, workspace};
pub use small_disk::SmallDisk;

/// The program of the workspace's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
