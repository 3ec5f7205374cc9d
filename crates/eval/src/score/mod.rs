//! Scores of what exists already: completions that someone's model wrote, judgments that someone's
//! judge gave.
//!
//! Every file may be compressed, and JSON lines, an array or a table. A row that cannot be used is
//! kept as a [`Remark`] that names file and place; nothing is dropped in silence, and a file of
//! which nothing can be used is an error.

mod answers;
mod judgments;
mod programs;
mod reviews;
mod samples;

use serde::Serialize;

pub use answers::{AnswerOptions, AnswerScores, AnswerSuite, answers};
pub use judgments::{JudgmentScores, judgments, read_judgments};
pub use programs::{ProblemScore, ProgramScores, ProgramSuite, SampleForm, SampleOptions, programs};
pub use reviews::{ReviewFile, ReviewScores, reviews};
pub use samples::{Remark, Remarks};

use crate::tasks::TaskError;

/// Why nothing could be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] camelid_files::FileError),
    /// The problems cannot be read, or programs not be run.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Programs cannot be run.
    #[error(transparent)]
    Sandbox(#[from] camelid_sandbox::SandboxError),
    /// Not one row of the files can be used.
    #[error("not one of {rows} rows can be scored; the first is {first}")]
    Nothing {
        /// Rows there are.
        rows: usize,
        /// What is wrong with the first of them.
        first: String,
    },
    /// The files hold no row.
    #[error("the files hold no row")]
    Empty,
    /// A setting does not fit.
    #[error("{0}")]
    Setting(String),
}

/// A score as text, and by serde as JSON.
pub trait ScoreReport: Serialize {
    /// Tables for a terminal.
    fn text(&self) -> String;
}
