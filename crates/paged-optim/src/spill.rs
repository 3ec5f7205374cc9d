//! The file that pages wait in.

use std::fs::File;
use std::path::PathBuf;

use camelid_files::FileAt;

use crate::OptimError;
use crate::page::{PageData, PageLayout};

/// An unnamed file in the spill directory, removed by the system when nobody has it open any more.
/// Each page gets a place of its own, reserved on the disk before anything is written, so that a
/// full disk shows when nothing can be lost yet.
#[derive(Debug)]
pub struct SpillFile {
    dir: PathBuf,
    file: Option<File>,
    reserved: u64,
}

impl SpillFile {
    /// A file in `dir` that is made when space is first reserved.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, file: None, reserved: 0 }
    }

    /// Reserves `bytes` more bytes; returns where they begin.
    ///
    /// # Errors
    /// [`OptimError::SpillFull`]; what was reserved before stays.
    pub fn reserve(&mut self, bytes: u64) -> Result<u64, OptimError> {
        let start = self.reserved;
        let full = |source| OptimError::SpillFull { dir: self.dir.clone(), bytes, source };
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.dir).map_err(full)?,
        };
        let outcome = allocate(&file, start, bytes);
        if outcome.is_err() {
            // Give a partial reservation back, so that a later attempt finds the same room.
            let _ = file.set_len(start);
        }
        self.file = Some(file);
        outcome.map_err(full)?;
        self.reserved = start + bytes;
        Ok(start)
    }

    /// Writes a page to its place.
    pub(crate) fn write(&self, at: u64, page: &PageData) -> Result<(), OptimError> {
        let mut offset = at;
        for section in page.sections() {
            self.write_bytes(offset, section)?;
            offset += section.len() as u64;
        }
        Ok(())
    }

    /// Writes bytes to a place that was reserved.
    ///
    /// # Errors
    /// [`OptimError::SpillIo`].
    pub fn write_bytes(&self, at: u64, bytes: &[u8]) -> Result<(), OptimError> {
        let written = self.file().and_then(|file| file.write_all_at(bytes, at));
        written.map_err(|source| self.failed("write", source))
    }

    /// Reads bytes back.
    ///
    /// # Errors
    /// [`OptimError::SpillIo`].
    pub fn read_bytes(&self, at: u64, bytes: &mut [u8]) -> Result<(), OptimError> {
        let read = self.file().and_then(|file| file.read_exact_at(bytes, at));
        read.map_err(|source| self.failed("read", source))
    }

    /// Reads a page back.
    pub(crate) fn read(&self, at: u64, layout: PageLayout) -> Result<PageData, OptimError> {
        let mut page = layout.zeros();
        let mut offset = at;
        for section in page.sections_mut() {
            self.read_bytes(offset, section)?;
            offset += section.len() as u64;
        }
        Ok(page)
    }

    fn file(&self) -> std::io::Result<&File> {
        self.file.as_ref().ok_or_else(|| std::io::Error::other("no space was reserved"))
    }

    fn failed(&self, what: &'static str, source: std::io::Error) -> OptimError {
        OptimError::SpillIo { dir: self.dir.clone(), what, source }
    }
}

/// Reserves real space. Where the file system cannot, zeros are written: slower, as safe.
fn allocate(file: &File, start: u64, bytes: u64) -> std::io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    if file.reserve_at(start, bytes)? {
        return Ok(());
    }
    let zeros = vec![0; bytes.min(1 << 20) as usize];
    let mut at = start;
    while at < start + bytes {
        let n = (start + bytes - at).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..n], at)?;
        at += n as u64;
    }
    Ok(())
}
