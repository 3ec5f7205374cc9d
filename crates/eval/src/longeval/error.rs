//! Why a test could not be made, read, asked or scored.

use std::path::PathBuf;

use camelid_chat::requests::{RequestError, RunError};
use camelid_files::FileError;

/// An error of [`longeval`](crate::longeval).
#[derive(Debug, thiserror::Error)]
pub enum LongEvalError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a file is not what it should be.
    #[error("{}, {place}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        place: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A setting is out of its range.
    #[error("`{setting}` is {found}; expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The value given.
        found: String,
        /// The values allowed.
        expected: String,
    },
    /// A model gave no answer to a case.
    #[error("case {case} of {file}: {source}")]
    NoAnswer {
        /// The case's place in its file, from 0.
        case: usize,
        /// The test file's name.
        file: String,
        /// Why.
        source: RequestError,
    },
    /// The run ended early.
    #[error(transparent)]
    Run(#[from] RunError),
}
