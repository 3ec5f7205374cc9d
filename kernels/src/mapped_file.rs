//! A file's bytes as the storage of tensors, without a copy.
//!
//! Tensors made from a mapping hold nothing in memory by themselves: their pages come from the
//! file when they are read, and can be let go at any time, since the file brings them back. Who
//! decides about that is the caller, by [`MappedFile::read_ahead`] and [`MappedFile::release`].

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use memmap2::{Mmap, MmapOptions};

use crate::mapped_pages::MappedPages;

/// Bytes read at a time ahead of use.
const READ_BYTES: usize = 1 << 20;

/// A read-only mapping of a whole file.
///
/// While it exists nobody may shorten or change the file: as with every mapping, what tensors
/// read then is undefined, and beyond a new end the process is killed. [`MappedFile::read_ahead`]
/// finds both a short file and a failing disk before anything is computed from them.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    map: Arc<Mmap>,
    whole: bytes::Bytes,
}

/// Keeps the mapping alive as long as a tensor reads from it.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl MappedFile {
    /// Maps the file; nothing is read yet.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only and private to this process; that the file stays as it
        // is while mapped is the documented duty of the caller, which no code can enforce.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().map(&file)? };
        let map = Arc::new(map);
        let whole = bytes::Bytes::from_owner(Owner(map.clone()));
        Ok(Self { path: path.to_owned(), file, map, whole })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// A one-dimensional tensor's data over bytes `range` of the file, without a copy; `None`
    /// where they begin at an address that is no multiple of the element's size.
    ///
    /// # Panics
    /// When `range` is not inside the file, or is not a whole number of elements.
    pub fn tensor_data(&self, range: Range<usize>, dtype: DType) -> Option<TensorData> {
        let size = dtype.size();
        let count = range.len() / size;
        assert_eq!(range.len(), count * size, "bytes of whole {dtype:?} elements");
        if !(self.map.as_ptr() as usize + range.start).is_multiple_of(size) {
            return None;
        }
        let bytes = Bytes::from_shared(self.whole.slice(range), AllocationProperty::File);
        Some(TensorData::from_bytes(bytes, [count], dtype))
    }

    /// Brings bytes `range` into the system's page cache, where the mapping finds them, and
    /// returns when they are there. `go_on` is asked now and then; when it says no, so is the rest.
    ///
    /// They are read, not merely asked for: an error of the disk is then an error here, while one
    /// met through the mapping kills the process.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::UnexpectedEof`] when the file became shorter.
    pub fn read_ahead(&self, range: Range<usize>, go_on: impl Fn() -> bool) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES.min(range.len())];
        for start in range.clone().step_by(READ_BYTES) {
            if !go_on() {
                return Ok(());
            }
            let count = READ_BYTES.min(range.end - start);
            self.file.read_exact_at(&mut buffer[..count], start as u64)?;
        }
        Ok(())
    }

    /// Lets go of the pages of bytes `range`, those of the page cache too. What reads them later
    /// gets them from the file again. On Windows they stay until the system wants their memory.
    ///
    /// # Errors
    /// The system's error; the pages then stay.
    pub fn release(&self, range: Range<usize>) -> io::Result<()> {
        self.file.release(&self.map, range)
    }

    /// Bytes of the mapping that are in this process's memory now, by `/proc/self/smaps`.
    ///
    /// # Errors
    /// Where the system has no such file, or does not list the mapping in it.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let text = std::fs::read_to_string("/proc/self/smaps")?;
        let first = self.map.as_ptr() as u64;
        resident_in(&text, first..first + self.map.len() as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "/proc/self/smaps does not list the mapping")
        })
    }
}

/// Sums `Rss` of the areas that overlap `addresses`; `None` when there is none.
fn resident_in(smaps: &str, addresses: Range<u64>) -> Option<u64> {
    let mut found = None;
    let mut inside = false;
    for line in smaps.lines() {
        if let Some(area) = area(line) {
            inside = area.start < addresses.end && addresses.start < area.end;
            if inside {
                found.get_or_insert(0);
            }
        } else if let (true, Some(rest)) = (inside, line.strip_prefix("Rss:")) {
            let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
            *found.get_or_insert(0) += kib << 10;
        }
    }
    found
}

/// The addresses of an area's first line, as in `7f00-7f10 r--s …`.
fn area(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let hex = |digits| u64::from_str_radix(digits, 16).ok();
    Some(hex(start)?..hex(end)?)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, Tensor};

    use super::*;

    const LEN: usize = 3 << 20;

    fn written() -> (tempfile::TempDir, MappedFile, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes");
        let bytes: Vec<u8> = (0..LEN).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        let map = MappedFile::open(&path).unwrap();
        (dir, map, bytes)
    }

    #[test]
    fn tensors_read_the_file_and_outlive_the_mappings_owner() {
        let (_dir, map, bytes) = written();
        let data = map.tensor_data(5000..LEN - 7, DType::U8).unwrap();
        let tensor = Tensor::<1, Int>::from_data(data, (&Device::flex(), DType::U8));
        drop(map);
        assert!(tensor.into_data().as_bytes() == &bytes[5000..LEN - 7]);
    }

    #[test]
    fn elements_must_lie_at_multiples_of_their_size() {
        let (_dir, map, bytes) = written();
        assert!(map.tensor_data(2..10, DType::F32).is_none());
        let data = map.tensor_data(4..12, DType::F32).unwrap();
        assert_eq!(data.as_bytes(), &bytes[4..12]);
    }

    #[test]
    fn released_pages_come_back_with_the_same_bytes() {
        let (_dir, map, bytes) = written();
        let data = map.tensor_data(0..LEN, DType::U8).unwrap();
        assert!(data.as_bytes() == bytes);
        if cfg!(target_os = "linux") {
            assert!(map.resident_bytes().unwrap() >= LEN as u64);
            map.release(0..LEN).unwrap();
            assert_eq!(map.resident_bytes().unwrap(), 0);
        }
        map.read_ahead(0..LEN, || true).unwrap();
        assert!(data.as_bytes() == bytes);
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_of_reading_ahead() {
        let (dir, map, _) = written();
        std::fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join("bytes"))
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        map.read_ahead(0..1 << 20, || true).unwrap();
        let error = map.read_ahead(0..LEN, || true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn areas_are_found_by_address() {
        let smaps = "1000-2000 r--p 0 fe:00 1 /a\nSize: 4 kB\nRss:  4 kB\n\
                     2000-9000 r--s 0 fe:00 1 /b\nRss:  12 kB\nPss: 1 kB\nVmFlags: rd\n";
        assert_eq!(resident_in(smaps, 0x2000..0x9000), Some(12 << 10));
        assert_eq!(resident_in(smaps, 0x1fff..0x2001), Some(16 << 10));
        assert_eq!(resident_in(smaps, 0x9000..0xa000), None);
    }
}
