//! What a mapping asks of the system beside mapping.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::Mmap;

/// A mapped file's pages.
pub(crate) trait MappedPages {
    /// Fills `bytes` from byte `at` of the file on.
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Lets go of the pages of bytes `range` of the mapping, and of what else the system keeps of them.
    /// Where it takes no such advice, they stay until it wants their memory.
    fn release(&self, map: &Mmap, range: Range<usize>) -> io::Result<()>;
}

#[cfg(unix)]
impl MappedPages for File {
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, at)
    }

    fn release(&self, map: &Mmap, range: Range<usize>) -> io::Result<()> {
        let page = rustix::param::page_size();
        let start = range.start / page * page;
        let end = range.end.next_multiple_of(page);
        let mapped_end = end.min(map.len());
        if start >= mapped_end {
            return Ok(());
        }
        // SAFETY: the mapping is shared with the file and never written, so dropped pages come
        // back with the same contents; no reference can tell.
        #[allow(unsafe_code)]
        unsafe {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            map.unchecked_advise_range(advice, start, mapped_end - start)?;
        }
        #[cfg(target_os = "linux")]
        {
            let len = std::num::NonZeroU64::new((end - start) as u64);
            rustix::fs::fadvise(self, start as u64, len, rustix::fs::Advice::DontNeed)?;
        }
        Ok(())
    }
}

#[cfg(windows)]
impl MappedPages for File {
    fn read_exact_at(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, bytes, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    bytes = &mut bytes[count..];
                    at += count as u64;
                }
            }
        }
        Ok(())
    }

    fn release(&self, _map: &Mmap, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }
}
