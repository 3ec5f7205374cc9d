//! Benchmarks: a task is a file, a score comes with all that determined it.
//!
//! A [`Task`] says where its rows are ([`DataPlaces`] searches folders and wheels), what the model
//! is shown and how its answer counts. [`Task::run`] puts it to any
//! [`LanguageModel`](crate::LanguageModel) and gives [`Score`]s with standard errors and one
//! [`Record`] an example. See the crate's README for the tasks that come with it and for how to
//! write another.

mod ask;
mod definition;
mod error;
mod example;
mod facts;
mod journal;
mod options;
mod record;
mod report;
mod rows;
mod run;
mod sample;
mod score;
mod template;

pub use definition::{
    Data, Definition, ExpressionAnswer, Files, GeneratedAnswer, MultipleChoice, NumberAnswer, Perplexity,
    ProgramAnswer, Prompt, Shots, Task,
};
pub use error::TaskError;
pub use facts::ModelFacts;
pub use options::{ProgramOptions, RunOptions};
pub use record::{Record, to_frame};
pub use report::TaskReport;
pub use rows::{DataFile, DataPlaces, Row, read};
pub use run::TaskRun;
pub use score::{GroupScore, Score, group_mean, mean, ratio};
