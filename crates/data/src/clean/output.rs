//! Where the kept conversations go.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use camelid_files::{FileError, PackedFile};
use serde_json::Value;

use super::exact::json::dump;
use crate::DataError;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON array, indented as Python's `json.dump` does it with `indent=2`.
    Array,
    /// A JSON object a line.
    Lines,
}

impl Form {
    /// What the ending of the name says, that of compression aside; `-` is JSON lines.
    pub(super) fn named(path: &Path) -> Result<Self, DataError> {
        let name = camelid_files::name(path);
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.') {
            _ if name == "-" => Ok(Self::Lines),
            Some((_, "json")) => Ok(Self::Array),
            Some((_, "jsonl" | "ndjson")) => Ok(Self::Lines),
            _ => Err(DataError::Option(format!(
                "{}: the ending should be .json or .jsonl, and .gz or .zst may follow it",
                path.display()
            ))),
        }
    }

    /// A row as the file holds it, without what stands between rows.
    pub(super) fn row(self, row: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Array => dump(row, 1, &mut bytes),
            Self::Lines => bytes.extend_from_slice(row.to_string().as_bytes()),
        }
        bytes
    }
}

/// A file in the making.
pub(super) struct Output {
    path: PathBuf,
    form: Form,
    writer: Writer,
    rows: u64,
}

enum Writer {
    File(Box<PackedFile>),
    Stdout(io::Stdout),
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, DataError> {
        let form = Form::named(path)?;
        let writer = if path == Path::new("-") {
            Writer::Stdout(io::stdout())
        } else {
            Writer::File(Box::new(PackedFile::create(path)?))
        };
        Ok(Self { path: path.to_owned(), form, writer, rows: 0 })
    }

    /// Writes one row.
    pub(super) fn write(&mut self, row: &[u8]) -> Result<(), FileError> {
        let (before, after): (&[u8], &[u8]) = match self.form {
            Form::Array if self.rows == 0 => (b"[\n  ", b""),
            Form::Array => (b",\n  ", b""),
            Form::Lines => (b"", b"\n"),
        };
        self.rows += 1;
        for part in [before, row, after] {
            self.put(part)?;
        }
        Ok(())
    }

    /// Makes the file appear.
    pub(super) fn finish(mut self) -> Result<(), FileError> {
        if self.form == Form::Array {
            self.put(if self.rows == 0 { b"[]" } else { b"\n]" })?;
        }
        match self.writer {
            Writer::File(file) => file.finish(),
            Writer::Stdout(mut out) => out.flush().map_err(FileError::io(&self.path, "write")),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let writer: &mut dyn Write = match &mut self.writer {
            Writer::File(file) => file,
            Writer::Stdout(out) => out,
        };
        writer.write_all(bytes).map_err(FileError::io(&self.path, "write"))
    }
}
