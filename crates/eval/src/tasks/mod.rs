//! Benchmarks: a task is a file, a score comes with all that determined it.
//!
//! A `Task` says where its rows are (`DataPlaces` searches folders and wheels), what the model
//! is shown and how its answer counts. `Task::run` puts it to any `LanguageModel` and gives
//! `Score`s with standard errors and one `Record` an example. See the crate's README for the
//! tasks that come with it and for how to write another.

mod benchmark;

pub use benchmark::*;
