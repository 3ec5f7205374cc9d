//! Why a file could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be read or written; the message names the file and holds its cause, which
/// is therefore no `source` that a caller would print a second time.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refuses.
    #[error("{}: cannot {action}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: "open", "read", "write".
        action: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
    /// Compressed data that are damaged or cut off.
    #[error("{}: damaged {packing} data: {cause}", .path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// "gzip" or "zstd".
        packing: &'static str,
        /// What the decoder met.
        cause: io::Error,
    },
    /// A Git LFS pointer stands where the file should be.
    #[error("{}: a Git LFS pointer, not the file itself; `git lfs pull` fetches it", .path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The content is not what was asked for.
    #[error("{}: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is there and what was expected.
        message: String,
    },
}

impl FileError {
    /// For `map_err`: the path and the action of an input/output error.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { path: path.to_owned(), action, cause }
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}
