use std::path::PathBuf;

use camelid_chat::requests::{RequestError, RunError, StoreError};
use camelid_files::FileError;

/// What ends an evolution, or keeps it from beginning.
#[derive(Debug, thiserror::Error)]
pub enum EvolveError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of prompts is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Prompts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting is out of its range.
    #[error("`{setting}` is {found}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// There is nothing to evolve.
    #[error("there are no seeds to evolve")]
    NoSeeds,
    /// Request after request brought no new instruction.
    #[error(
        "the last {requests} requests brought no new instruction: {made} of {wanted} are made; the lineage says what ended the others"
    )]
    NothingNew {
        /// Requests in a row.
        requests: usize,
        /// Instructions made.
        made: usize,
        /// Instructions wanted.
        wanted: usize,
    },
    /// A lineage has no row to train on.
    #[error("no row of the lineage lives in this mix")]
    NothingLives,
    /// A line of a stored lineage does not say what it should.
    #[error("{path}: line {line}: {problem}", path = path.display())]
    Lineage {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Requests came to nothing for reasons that pass; what was answered is kept.
    #[error(
        "round {round}: {failed} of {total} requests to {task} failed; what was answered is kept, run again to go on"
    )]
    Unanswered {
        /// The round, from 1; 0 for the seeds' own answers.
        round: usize,
        /// What was asked for: `evolve`, `compare`, `answer` or `rate`.
        task: &'static str,
        /// Requests without a reply.
        failed: usize,
        /// Requests in all.
        total: usize,
        /// The first of them.
        #[source]
        first: RequestError,
    },
    /// A batch of requests ended early.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Stored replies cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
