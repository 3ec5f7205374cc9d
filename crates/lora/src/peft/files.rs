//! Files that appear whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::LoraError;

/// Writes `bytes` beside `path`, flushes them to disk and renames.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LoraError> {
    let io = |source| LoraError::Io { path: path.to_path_buf(), source };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    make_readable(file.as_file()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    // The rename itself is durable once the directory is.
    File::open(dir).and_then(|d| d.sync_all()).map_err(io)
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
