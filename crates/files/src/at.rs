//! Bytes at a place of a file, whatever the system calls that.

use std::fs::File;
use std::io;

/// Reads and writes at a place of a file, without an order between threads. The file's own position
/// may move (it does on Windows): whoever reads or writes here does so only here.
///
/// ```
/// use camelid_files::FileAt;
///
/// let file = tempfile::tempfile()?;
/// file.write_all_at(b"moments", 100)?;
/// let mut bytes = [0; 3];
/// file.read_exact_at(&mut bytes, 102)?;
/// assert_eq!(&bytes, b"men");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait FileAt {
    /// Fills `bytes` from byte `at` on.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::UnexpectedEof`] where the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` from byte `at` on.
    ///
    /// # Errors
    /// The system's error; how much was written is then unknown.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Reserves `count` bytes from byte `at` on the disk, so that a full one shows before anything is
    /// written. `false` where the system or the file system has no such thing.
    ///
    /// # Errors
    /// The system's error; part of it may have been reserved.
    fn reserve_at(&self, at: u64, count: u64) -> io::Result<bool>;
}

#[cfg(unix)]
impl FileAt for File {
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, at)
    }

    fn reserve_at(&self, at: u64, count: u64) -> io::Result<bool> {
        use rustix::io::Errno;

        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), at, count) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(windows)]
impl FileAt for File {
    fn read_exact_at(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, bytes, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    bytes = &mut bytes[count..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_write(self, bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reserve_at(&self, _at: u64, _count: u64) -> io::Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_where_they_were_put_and_a_short_file_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        if file.reserve_at(0, 4096).unwrap() {
            assert_eq!(file.metadata().unwrap().len(), 4096);
        }
        file.write_all_at(&[1, 2, 3, 4], 5000).unwrap();
        file.write_all_at(&[9], 5001).unwrap();
        let mut bytes = [7; 5];
        file.read_exact_at(&mut bytes, 4999).unwrap();
        assert_eq!(bytes, [0, 1, 9, 3, 4]);
        let error = file.read_exact_at(&mut bytes, 5000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
