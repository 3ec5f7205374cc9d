//! Text files, plain or gzip-compressed, line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::DataError;

/// Lines of a text file; gzip is recognised by its first two bytes.
pub(crate) struct Lines<'a> {
    path: &'a Path,
    reader: Box<dyn BufRead>,
    gzip: bool,
    number: usize,
    buffer: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        let mut plain = BufReader::with_capacity(1 << 16, file);
        let start = plain.fill_buf().map_err(DataError::io(path, "read"))?;
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        // A gzip file cut before its second byte, or not gzip at all.
        if !gzip && path.extension().is_some_and(|e| e == "gz") {
            return Err(DataError::Gzip {
                path: path.to_path_buf(),
                line: 0,
                source: std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    "the file does not begin as gzip does",
                ),
            });
        }
        let reader: Box<dyn BufRead> =
            if gzip { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
        Ok(Self { path, reader, gzip, number: 0, buffer: Vec::new() })
    }

    /// The next line that is not blank, with its number.
    pub(crate) fn next_line(&mut self) -> Result<Option<(usize, &str)>, DataError> {
        loop {
            self.buffer.clear();
            let count =
                self.reader.read_until(b'\n', &mut self.buffer).map_err(|source| self.read_error(source))?;
            if count == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let mut bytes = self.buffer.as_slice();
        if self.number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some((self.number, text))),
            Err(error) => Err(DataError::Line {
                path: self.path.to_path_buf(),
                line: self.number,
                message: format!("not UTF-8: {error}"),
            }),
        }
    }

    fn read_error(&self, source: std::io::Error) -> DataError {
        let path = self.path.to_path_buf();
        if self.gzip {
            DataError::Gzip { path, line: self.number, source }
        } else {
            DataError::Io { path, action: "read", source }
        }
    }
}

/// Parses every line that is not blank and hands it over with its number.
pub(crate) fn for_each_json_line<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(usize, T),
) -> Result<(), DataError> {
    let mut lines = Lines::open(path)?;
    while let Some((line, text)) = lines.next_line()? {
        each(line, parse_line(path, line, text)?);
    }
    Ok(())
}

/// Parses one line of a JSON-lines file.
pub(crate) fn parse_line<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(|error| DataError::Line {
        path: path.to_path_buf(),
        line,
        message: match error.classify() {
            serde_json::error::Category::Data => format!("JSON of another shape: {error}"),
            serde_json::error::Category::Eof => format!("not JSON, the line is cut off: {error}"),
            _ => format!("not JSON: {error}"),
        },
    })
}

/// Reads the items of a JSON array file, or of a JSON-lines file when the first
/// character that is not blank is no `[`. Hands over `(item number or line, item)`.
pub(crate) fn for_each_json_item<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(usize, T),
) -> Result<(), DataError> {
    let first = match Lines::open(path)?.next_line()? {
        None => return Ok(()),
        Some((_, text)) => text.trim_start().chars().next(),
    };
    if first != Some('[') {
        return for_each_json_line(path, each);
    }
    let mut lines = Lines::open(path)?;
    let mut bytes = Vec::new();
    lines.reader.read_to_end(&mut bytes).map_err(|source| lines.read_error(source))?;
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let items: Vec<T> = serde_json::from_slice(body).map_err(|error| DataError::Json {
        path: path.to_path_buf(),
        message: match error.classify() {
            serde_json::error::Category::Eof => format!("the JSON is cut off: {error}"),
            serde_json::error::Category::Data => format!("JSON of another shape: {error}"),
            _ => format!("not JSON: {error}"),
        },
    })?;
    for (index, item) in items.into_iter().enumerate() {
        each(index + 1, item);
    }
    Ok(())
}

/// File name without folders and without the data endings, for ids of rows that
/// have none: `x/openassistant_best.jsonl.gz` gives `openassistant_best`.
pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_string(),
        _ => name.to_string(),
    }
}

/// Whether the file begins with Parquet's magic bytes.
pub(crate) fn is_parquet(path: &Path) -> Result<bool, DataError> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(DataError::io(path, "open"))?;
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"PAR1"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(DataError::io(path, "read")(error)),
    }
    .map(|by_magic| by_magic || path.extension().is_some_and(|e| e == "parquet"))
}
