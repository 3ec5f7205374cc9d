//! Scores of what exists already: completions that someone's model wrote, judgments that someone's
//! judge gave.
//!
//! Every file may be compressed, and JSON lines, an array or a table. A row that cannot be used is
//! kept as an [`Unreadable`] that names file and place; nothing is dropped in silence, and a file of
//! which nothing can be used is an error.

mod judgments;
mod numbers;
mod programs;
mod reviews;
mod samples;

use serde::Serialize;

pub use judgments::{JudgmentScores, judgments};
pub use numbers::{NumberScores, numbers};
pub use programs::{ProblemScore, ProgramScores, ProgramSuite, programs};
pub use reviews::{ReviewFile, ReviewScores, reviews};
pub use samples::Unreadable;

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

/// Lines on rows that were left out, for the end of a table.
fn left_out(unreadable: &[Unreadable]) -> String {
    if unreadable.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{} rows left out:\n", unreadable.len());
    for row in unreadable.iter().take(5) {
        text += &format!("  {row}\n");
    }
    if unreadable.len() > 5 {
        text += &format!("  … and {} more\n", unreadable.len() - 5);
    }
    text
}

/// That something was left to score.
fn check(scored: usize, unreadable: &[Unreadable]) -> Result<(), ScoreError> {
    match (scored, unreadable.first()) {
        (0, Some(first)) => Err(ScoreError::Nothing { rows: unreadable.len(), first: first.to_string() }),
        (0, None) => Err(ScoreError::Empty),
        _ => Ok(()),
    }
}
