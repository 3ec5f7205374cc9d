//! What can go wrong, each with the file, line or name that tells where.

use std::path::{Path, PathBuf};

use crate::LoadReport;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened, read, written or moved.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, e.g. `"open"`.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A line of a JSON-lines file is not JSON or lacks a field.
    #[error("{}, line {line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, the first is 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A whole-file JSON document is damaged, cut off or of another shape.
    #[error("{}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// The compressed stream of a `.gz` file is damaged or cut off.
    #[error("{}: damaged or cut-off gzip data after line {line}: {source}", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Number of lines that were read whole.
        line: usize,
        /// The decompressor's answer.
        source: std::io::Error,
    },
    /// A Parquet file is damaged or holds a type that cannot be used.
    #[error("{}: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A Parquet file lacks a column.
    #[error("{}: no column \"{column}\"; the file has: {present}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that is needed.
        column: String,
        /// The columns there are, separated by commas.
        present: String,
    },
    /// Nothing usable was found.
    #[error("{what}: empty data set: {report}")]
    Empty {
        /// File or step that gave nothing.
        what: String,
        /// What was read and why it was dropped.
        report: LoadReport,
    },
    /// An option has a value that makes no sense.
    #[error("{0}")]
    Option(String),
    /// The catalogue has no source of this name.
    #[error("no source \"{name}\" in the catalogue{hint}; it has: {known}")]
    UnknownSource {
        /// The name asked for.
        name: String,
        /// `"; did you mean …?"`, or nothing.
        hint: String,
        /// All names, separated by commas.
        known: String,
    },
    /// The catalogue itself does not parse.
    #[error("catalogue: {0}")]
    Catalogue(String),
    /// The file is not here and the network may not be used.
    #[error(
        "{name}: not found offline; looked at {looked}. Drop --offline to fetch it, or point CAMELID_MIRROR at a folder that has {wanted}"
    )]
    Offline {
        /// Name of the source.
        name: String,
        /// Path of the wanted file below a mirror folder.
        wanted: String,
        /// The places looked at.
        looked: String,
    },
    /// Size or SHA-256 of a file differ from what the catalogue (or an earlier
    /// fetch) says; the file is not used.
    #[error("{}: {kind} is {found}, expected {expected}; the file is not used{aside}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// `"size"` or `"SHA-256"`.
        kind: &'static str,
        /// What the file has.
        found: String,
        /// What it should have.
        expected: String,
        /// Where the bad file was moved, as the end of the sentence.
        aside: String,
    },
    /// The server answered with something else than the file.
    #[error("{url}: {message}")]
    Http {
        /// Address.
        url: String,
        /// Status or network error.
        message: String,
    },
    /// The connection broke or stalled more often than allowed.
    #[error("{url}: gave up after {attempts} attempts without progress, {received} bytes are kept in {} and the next fetch goes on from there: {message}", partial.display())]
    Interrupted {
        /// Address.
        url: String,
        /// Attempts made without a new byte.
        attempts: usize,
        /// Bytes kept.
        received: u64,
        /// The partial file.
        partial: PathBuf,
        /// The last failure.
        message: String,
    },
    /// A conversation could not be rendered, tokenised or masked.
    #[error(transparent)]
    Chat(#[from] camelid_chat::ChatError),
    /// The tokenizer could not be written as JSON for the cache key.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

impl DataError {
    /// Wraps an I/O error with its file and the attempted action.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| DataError::Io { path, action, source }
    }
}
