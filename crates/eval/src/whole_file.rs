//! Files that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, ParquetWriter};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refuses.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A frame cannot be encoded.
    #[error("cannot write {path} as Parquet: {message}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// Writes a file under a temporary name beside `path`, makes it durable and readable, renames it.
///
/// # Errors
/// [`WriteError::Io`] when its folder is not there, is full or must not be written to.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        make_readable(file.as_file())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// Writes a frame as a Parquet file, whole or not at all.
///
/// # Errors
/// As [`write_whole`]; [`WriteError::Parquet`] when polars cannot encode the frame.
pub fn write_parquet(path: &Path, frame: &mut DataFrame) -> Result<(), WriteError> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .finish(frame)
        .map_err(|error| WriteError::Parquet { path: path.to_owned(), message: error.to_string() })?;
    write_whole(path, &bytes)
}

/// Temporary files are private by default; a result is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let error = write_whole(&folder.path().join("none/report.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("none/report.json"), "{error}");
        // A folder cannot be replaced by a file.
        assert!(write_whole(folder.path(), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
