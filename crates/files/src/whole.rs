//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{FileError, Unfinished};

/// Writes a file under a temporary name beside `path`, makes it durable and readable, renames it.
///
/// # Errors
/// [`FileError::Io`] when its folder is not there, is full or must not be written to. What stood at
/// `path` before is then untouched, and nothing stays beside it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    WholeFile::of(path, bytes)?.finish()
}

/// The same for a secret: the file is never readable for anyone but its owner.
///
/// # Errors
/// As [`write_whole`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    WholeFile::of(path, bytes)?.finish_as(false)
}

/// Removes a file durably, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_whole(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(path)).map_err(FileError::io(path, "remove")),
    }
}

/// A file in the making: a writer whose content appears at its path on [`WholeFile::finish`], and
/// leaves nothing behind when it is dropped before.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    writer: BufWriter<Temporary>,
}

/// A file under a temporary name. Its errors do not tell that name, which is gone by the time they are read.
#[derive(Debug)]
struct Temporary {
    file: NamedTempFile,
    unfinished: Unfinished,
}

impl WholeFile {
    /// Begins a file beside `path`, in its folder, so that the rename stays on one file system.
    ///
    /// # Errors
    /// [`FileError::Io`] when nothing can be written to the folder.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let file = NamedTempFile::new_in(folder_of(path)).map_err(FileError::io(path, "write"))?;
        let unfinished = Unfinished::new(file.path());
        let writer = BufWriter::with_capacity(1 << 16, Temporary { file, unfinished });
        Ok(Self { path: path.to_owned(), writer })
    }

    fn of(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let mut file = Self::create(path)?;
        file.write_all(bytes).map_err(FileError::io(path, "write"))?;
        Ok(file)
    }

    /// The file as it is being written, for writes at places of their own; nothing of
    /// [`Write`] may be under way then.
    pub fn as_file(&self) -> &File {
        self.writer.get_ref().file.as_file()
    }

    /// Where it lies until it is finished, for libraries that write to a path.
    pub fn temporary_path(&self) -> &Path {
        self.writer.get_ref().file.path()
    }

    /// Makes what is written so far durable, so that a full disk shows before the file gets its
    /// name.
    ///
    /// # Errors
    /// [`FileError::Io`] when the disk is full.
    pub fn sync(&mut self) -> Result<(), FileError> {
        let synced = self.writer.flush().and_then(|()| self.as_file().sync_all());
        synced.map_err(FileError::io(&self.path, "write"))
    }

    /// Makes the content durable and gives it its name, replacing what stood there.
    ///
    /// # Errors
    /// [`FileError::Io`] when the disk is full or the path is a folder.
    pub fn finish(self) -> Result<(), FileError> {
        self.finish_as(true)
    }

    fn finish_as(self, readable: bool) -> Result<(), FileError> {
        let Self { path, writer } = self;
        let finish = || {
            let written = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            let Temporary { file, unfinished: _until_it_has_its_name } = written;
            // A temporary file is its owner's alone.
            if readable {
                make_readable(file.as_file())?;
            }
            file.as_file().sync_all()?;
            file.persist(&path)?;
            sync_folder(&path)
        };
        finish().map_err(FileError::io(&path, "write"))
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

impl Seek for Temporary {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.file.as_file_mut().seek(position)
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

/// A rename or removal of `path` is durable once its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path)).and_then(|folder| folder.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A result is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> io::Result<()> {
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
        remove_whole(&path).unwrap();
        remove_whole(&path).unwrap();
        assert!(!path.exists());
        write_whole(&path, b"two").unwrap();
        let error = write_whole(&folder.path().join("none/report.json"), b"x").unwrap_err();
        assert!(error.to_string().contains("none/report.json"), "{error}");
        // A folder cannot be replaced by a file.
        assert!(write_whole(folder.path(), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn a_secret_is_its_owners_alone_and_stays_so() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        let mut file = WholeFile::of(&path, b"secret").unwrap();
        file.sync().unwrap();
        assert_eq!(file.as_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        file.finish_as(false).unwrap();
        assert_eq!(mode(), 0o600);
        write_whole(&path, b"none").unwrap();
        assert_eq!(mode(), 0o644);
        write_private(&path, b"secret").unwrap();
        assert_eq!(mode(), 0o600);
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
