//! Asking models many questions and never paying for one twice.
//!
//! A [`ChatRequest`] holds everything that determines its reply; the SHA-256 of its canonical
//! JSON is its [`key`](ChatRequest::key). A [`RequestStore`] keeps each [`Reply`] under its key
//! from the moment it arrives, and a [`Runner`] asks only for what the store lacks: several
//! requests at a time, at most so many a minute, within a spending limit. It gives up on a server
//! that fails request after request.

mod batch;
mod context;
mod error;
mod estimate;
mod ledger;
mod request;
mod runner;
mod settings;
mod store;

pub use context::Progress;
pub use error::{Filtered, NotAsked, RequestError, RunError, StoreError};
pub use estimate::{Estimate, Prices};
pub use request::{ChatRequest, Reply};
pub use runner::Runner;
pub use settings::RunSettings;
pub use store::{DamagedRow, RequestStore, StoreReport};
