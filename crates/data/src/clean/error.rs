//! Why a cleaning ends without a result.

use std::path::PathBuf;

use camelid_files::{FileError, Place};

use crate::DataError;

/// Why [`super::clean`] ends without a result. Nothing is left half-written then.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The input cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written: a full disk, for instance.
    #[error(transparent)]
    File(#[from] FileError),
    /// A row that cannot be used, where none may be skipped.
    #[error("{}: {place}: {message}", path.display())]
    BadRow {
        /// The input.
        path: PathBuf,
        /// Where the row stands.
        place: Place,
        /// Its id, and what is wrong with it.
        message: String,
    },
    /// It was asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
}
