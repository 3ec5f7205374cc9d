//! What can go wrong, each with the file, line or name that tells where.

use std::path::{Path, PathBuf};

use camelid_files::FileError;

use crate::format::{DataFormat, UnknownFormat};
use crate::nano::NanoError;
use crate::report::LoadReport;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened, read, decompressed, written or moved.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Parquet file is damaged or holds a type that cannot be used.
    #[error("{}: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A table (Parquet, CSV, TSV) lacks a column.
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
        report: Box<LoadReport>,
    },
    /// No row is of the format that was named, and the file looks like another.
    #[error("{what}: no row is `{format}`; the file looks like `{looks_like}`: {report}")]
    OtherFormat {
        /// The file.
        what: String,
        /// The format that was named.
        format: DataFormat,
        /// The format that its rows look like.
        looks_like: DataFormat,
        /// What was read and why it was dropped.
        report: Box<LoadReport>,
    },
    /// The rows of a file are of no known format.
    #[error("{}: the rows are of no known format: {found}; a format is one of {}", path.display(), DataFormat::names())]
    UnknownShape {
        /// The file.
        path: PathBuf,
        /// The fields of its first rows, or why there are none.
        found: String,
    },
    /// A name that is no format.
    #[error(transparent)]
    UnknownFormat(#[from] UnknownFormat),
    /// A dial of the nano world is out of range.
    #[error(transparent)]
    Nano(#[from] NanoError),
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
    /// A Python package that carries a file cannot be had.
    #[error("the Python package {package}: {message}")]
    Package {
        /// Name and version.
        package: String,
        /// What was wanted, and why it is not there.
        message: String,
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
    /// The tokenizer refuses a text, or could not be written as JSON for the cache key.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

impl DataError {
    /// For `map_err`: the file and the attempted action of an I/O error.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let wrap = FileError::io(path, action);
        move |cause| Self::File(wrap(cause))
    }
}
