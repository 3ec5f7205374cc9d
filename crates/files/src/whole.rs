//! Files that appear whole or not at all.

use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::FileError;

/// Writes a file under a temporary name beside `path`, makes it durable and readable, renames it.
///
/// # Errors
/// [`FileError::Io`] when its folder is not there, is full or must not be written to. What stood at
/// `path` before is then untouched, and nothing stays beside it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes).map_err(FileError::io(path, "write"))?;
    file.finish()
}

/// A file in the making: a writer whose content appears at its path on [`WholeFile::finish`], and
/// leaves nothing behind when it is dropped before.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl WholeFile {
    /// Begins a file beside `path`, in its folder, so that the rename stays on one file system.
    ///
    /// # Errors
    /// [`FileError::Io`] when nothing can be written to the folder.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = NamedTempFile::new_in(folder).map_err(FileError::io(path, "write"))?;
        Ok(Self { path: path.to_owned(), writer: BufWriter::with_capacity(1 << 16, file) })
    }

    /// Makes the content durable and gives it its name, replacing what stood there.
    ///
    /// # Errors
    /// [`FileError::Io`] when the disk is full or the path is a folder.
    pub fn finish(self) -> Result<(), FileError> {
        let Self { path, writer } = self;
        let finish = || {
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            make_readable(file.as_file())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        finish().map_err(FileError::io(&path, "write"))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for WholeFile {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.writer.seek(position)
    }
}

/// Temporary files are private by default; a result is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &std::fs::File) -> io::Result<()> {
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

    #[test]
    fn a_file_that_is_not_finished_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(&[0; 100_000]).unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
