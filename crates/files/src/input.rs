//! A file, or standard input, read whatever it is compressed with.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::{FileError, utf16};

/// How a file is compressed, told from its first bytes and never from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// One or several gzip members (RFC 1952).
    Gzip,
    /// Zstandard frames (RFC 8878).
    Zstd,
}

impl Packing {
    /// What the first bytes of a file say.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What the ending of a file's name promises.
    pub fn named(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// An open file: decompressed as it is read, UTF-16 with a byte-order mark turned into UTF-8, the
/// mark left out. `-` is standard input.
pub struct Input {
    path: PathBuf,
    packing: Packing,
    start: Vec<u8>,
    reader: Box<dyn BufRead + Send>,
}

impl Input {
    /// Opens a file, or standard input when `path` is `-`.
    ///
    /// # Errors
    /// [`FileError::Io`] when it is not there, is a folder or cannot be read;
    /// [`FileError::LfsPointer`] when a Git LFS pointer stands in its place; [`FileError::Packed`]
    /// when its name ends in `.gz` or `.zst` and its content is neither that nor text, as of a file that
    /// was cut off; [`FileError::Content`] for other compressions, which are not read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        if path == Path::new("-") {
            return Self::from_reader(Path::new("standard input"), io::stdin());
        }
        let file = File::open(path).map_err(FileError::io(path, "open"))?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            let message = "a folder; a file is expected".to_owned();
            return Err(FileError::Content { path: path.to_owned(), message });
        }
        let input = Self::from_reader(path, file)?;
        let promised = Packing::named(path);
        if promised != Packing::Plain && input.packing == Packing::Plain && !input.is_text() {
            let cause = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the file does not begin as {} does", promised.words()),
            );
            return Err(FileError::Packed { path: path.to_owned(), packing: promised.words(), cause });
        }
        Ok(input)
    }

    /// Reads from anything; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub fn from_reader(path: &Path, mut reader: impl Read + Send + 'static) -> Result<Self, FileError> {
        let magic = read_start(&mut reader, 10).map_err(FileError::io(path, "read"))?;
        if let Some(other) = other_packing(&magic) {
            let message =
                format!("compressed with {other}, which is not read; unpack it, or use gzip or zstd");
            return Err(FileError::Content { path: path.to_owned(), message });
        }
        let packing = Packing::of(&magic);
        let raw = BufReader::with_capacity(1 << 16, io::Cursor::new(magic).chain(reader));
        let mut reader: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(raw),
            Packing::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Packing::Zstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(raw).map_err(FileError::io(path, "read"))?)
            }
        };
        let error = |cause| read_error(path, packing, cause);
        let mut start = read_start(&mut reader, START).map_err(error)?;
        if is_lfs_pointer(&start) {
            return Err(FileError::LfsPointer { path: path.to_owned() });
        }
        if let Some(order) = utf16::Order::of(&start) {
            let units = io::Cursor::new(start.split_off(2)).chain(reader);
            reader = Box::new(utf16::Utf16::new(units, order));
            start = read_start(&mut reader, START).map_err(error)?;
        }
        // Files that were joined end to end have more than one.
        while start.starts_with(b"\xef\xbb\xbf") {
            start.drain(..3);
        }
        let whole = io::Cursor::new(start.clone()).chain(reader);
        let reader = Box::new(BufReader::with_capacity(1 << 16, whole));
        Ok(Self { path: path.to_owned(), packing, start, reader })
    }

    /// The first bytes (4,096 where there are as many), decompressed and without a byte-order
    /// mark: they are read again by the reader.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// Whether what it begins with is text: UTF-8 without control characters.
    pub fn is_text(&self) -> bool {
        let sound = match std::str::from_utf8(&self.start) {
            Ok(text) => text,
            // The last character may be cut off.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&self.start[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return false,
        };
        !sound.is_empty() && !sound.chars().any(|c| c.is_control() && !c.is_whitespace())
    }

    /// What the file is compressed with.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The file, as messages name it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error of the reader as one that names the file, and says whether compressed data are damaged.
    pub fn error(&self, cause: io::Error) -> FileError {
        read_error(&self.path, self.packing, cause)
    }

    /// All that is left to read.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read or is damaged.
    pub fn bytes(mut self) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(cause) => Err(self.error(cause)),
        }
    }

    /// All that is left to read, as text.
    ///
    /// # Errors
    /// As [`Input::bytes`]; [`FileError::Content`] with the line when it is not UTF-8.
    pub fn text(self) -> Result<String, FileError> {
        let path = self.path.clone();
        String::from_utf8(self.bytes()?).map_err(|error| {
            let sound = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..sound].iter().filter(|byte| **byte == b'\n').count();
            FileError::Content { path, message: format!("line {line}: not UTF-8") }
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}

/// Compressions that are known and not read.
fn other_packing(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y'] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some("7-Zip"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("LZ4"),
        _ => None,
    }
}

/// Whether a file that begins like this is a Git LFS pointer instead of the file that was meant.
pub fn is_lfs_pointer(start: &[u8]) -> bool {
    start.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// How many bytes of the content [`Input::start`] holds.
const START: usize = 4096;

/// Up to `count` first bytes; fewer only where there are no more.
fn read_start(reader: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    reader.take(count as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn read_error(path: &Path, packing: Packing, cause: io::Error) -> FileError {
    match packing {
        Packing::Plain => FileError::Io { path: path.to_owned(), action: "read", cause },
        _ => FileError::Packed { path: path.to_owned(), packing: packing.words(), cause },
    }
}

/// How a file is called in tables and messages that have little room: its name without folders.
pub fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// File name without folders and without the endings of data and compression, for ids of rows that
/// have none: `x/openassistant_best.jsonl.gz` gives `openassistant_best`.
pub fn stem(path: &Path) -> String {
    let name = name(path);
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_is_the_same_however_it_is_packed() {
        let text = "\u{feff}\n{\"a\": 1}\n".as_bytes();
        let folder = tempfile::tempdir().unwrap();
        let two_members = [gzip(&text[..5]), gzip(&text[5..])].concat();
        let zstd = zstd::encode_all(text, 3).unwrap();
        let files = [("plain", text.to_vec()), ("gzip", two_members), ("zstd", zstd)];
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let input = Input::open(&path).unwrap();
            assert_eq!(input.start(), b"\n{\"a\": 1}\n", "{name}");
            assert_eq!(input.text().unwrap(), "\n{\"a\": 1}\n", "{name}");
        }
    }

    #[test]
    fn what_is_no_file_of_data_is_said_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let message = |path: &Path| match Input::open(path).and_then(Input::text) {
            Ok(text) => panic!("{text}"),
            Err(error) => error.to_string(),
        };
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
        assert!(message(&write("model", pointer)).contains("git lfs pull"));
        assert!(message(&write("cut.gz", b"\x1f")).contains("does not begin as gzip does"));
        let whole = gzip(&[7; 10_000]);
        assert!(message(&write("short.gz", &whole[..whole.len() / 2])).contains("damaged gzip data"));
        assert!(message(&write("latin1", b"one\ntwo \xe9\n")).contains("line 2: not UTF-8"));
        assert_eq!(Input::open(&write("text.gz", b"a,b\n")).unwrap().text().unwrap(), "a,b\n");
        assert!(message(&write("rows.json.bz2", b"BZh91AY&SY\x12")).contains("compressed with bzip2"));
        assert!(message(&write("rows.xz", b"\xfd7zXZ\x00\x00\x04")).contains("compressed with xz"));
        assert!(message(folder.path()).contains("a folder"));
        assert!(message(&folder.path().join("none")).contains("none: cannot open"));
    }
}
