//! Files and folders that appear whole or not at all.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::TrainError;

/// Writes a file under a temporary name beside `path`, makes it durable, renames it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let failed = TrainError::file(path, "write");
    let dir = parent(path);
    let mut temporary = tempfile::NamedTempFile::new_in(dir).map_err(&failed)?;
    temporary.write_all(bytes).map_err(&failed)?;
    make_readable(temporary.as_file()).map_err(&failed)?;
    temporary.as_file().sync_all().map_err(&failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync_dir(dir)
}

/// Temporary files are private by default; what a run leaves are ordinary files.
pub(crate) fn make_readable(file: &File) -> std::io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))
}

/// Makes a folder's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), TrainError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(TrainError::file(dir, "sync"))
}

/// The folder a file lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}
