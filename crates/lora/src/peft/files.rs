//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::LoraError;

/// A file finished on disk that lacks only its name; dropped, it leaves nothing.
pub(super) struct Staged {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes `bytes` beside `path` and flushes them to disk.
    pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<Self, LoraError> {
        let io = |source| LoraError::Io { path: path.to_path_buf(), source };
        let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(io)?;
        file.write_all(bytes).map_err(io)?;
        make_readable(file.as_file()).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// Gives the file its name, in place of what had it.
    pub(super) fn publish(self) -> Result<(), LoraError> {
        let Self { file, path } = self;
        file.persist(&path).map_err(|e| LoraError::Io { path: path.clone(), source: e.error })?;
        sync_folder(&path)
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), LoraError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(LoraError::Io { path: path.to_path_buf(), source })
        }
        _ => sync_folder(path),
    }
}

/// A rename or removal is durable once its directory is.
fn sync_folder(path: &Path) -> Result<(), LoraError> {
    File::open(folder_of(path))
        .and_then(|dir| dir.sync_all())
        .map_err(|source| LoraError::Io { path: path.to_path_buf(), source })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Temporary files are private by default; a saved adapter is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}
