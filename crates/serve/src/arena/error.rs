//! What can go wrong with an arena, apart from what a visitor sends.

use std::path::PathBuf;

/// Why an arena cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// SQLite cannot do it: a full disk, a damaged file, a lock that is not given up.
    #[error("{path}: cannot {action}")]
    Store {
        /// The database.
        path: PathBuf,
        /// What was to be done.
        action: &'static str,
        /// Why it cannot be.
        #[source]
        cause: rusqlite::Error,
    },
    /// The database belongs to another program.
    #[error(
        "{path}: a SQLite database, but not an arena's; expected a new file or one that `camelid arena` made"
    )]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The database was made by a newer version of this program.
    #[error("{path}: has version {found} of the arena's tables; this program knows up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] camelid_files::FileError),
    /// A line of a log is not what it should be.
    #[error("{path}, line {line}: `{field}` is {found}; expected {expected}")]
    Line {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The field, as a path: `states[0].messages[2]`.
        field: String,
        /// What it holds.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A file is not what its place or option says.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Votes cannot be rated or read.
    #[error(transparent)]
    Ratings(#[from] camelid_ratings::RatingsError),
    /// A plot cannot be drawn.
    #[error("cannot draw a plot: {0}")]
    Plot(String),
    /// A page cannot be rendered.
    #[error("cannot render a page")]
    Page(#[from] minijinja::Error),
    /// A setting that cannot be.
    #[error("{0}")]
    Setting(String),
    /// The random numbers of the operating system are not to be had.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
}
