//! Comma, tab and semicolon separated values (RFC 4180).

use serde_json::{Map, Value};

use super::unspaced::Unspaced;
use super::{BadRecord, Place, Record};
use crate::{FileError, Input};

/// A table of separated values whose first line names the columns.
pub(super) struct Delimited {
    reader: csv::Reader<Unspaced<Input>>,
    path: std::path::PathBuf,
    separator: u8,
    columns: Vec<String>,
    row: csv::ByteRecord,
}

impl Delimited {
    pub(super) fn new(input: Input) -> Result<Self, FileError> {
        let path = input.path().to_owned();
        let separator = separator(input.start());
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(true)
            .from_reader(Unspaced::new(input, separator));
        let header = reader.byte_headers().map_err(|error| unreadable(&path, error))?;
        let columns: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        if let Some(twice) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name)) {
            let message = format!("the column `{}` stands twice in the first line", twice.1);
            return Err(FileError::Content { path, message });
        }
        Ok(Self { reader, path, separator, columns, row: csv::ByteRecord::new() })
    }

    pub(super) fn separator(&self) -> char {
        char::from(self.separator)
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn next_record(&mut self) -> Result<Option<Result<Record, BadRecord>>, FileError> {
        let more =
            self.reader.read_byte_record(&mut self.row).map_err(|error| unreadable(&self.path, error))?;
        if !more {
            return Ok(None);
        }
        let place = Place::Line(self.row.position().map_or(0, csv::Position::line));
        if self.row.len() != self.columns.len() {
            let message =
                format!("{} cells; the first line names {} columns", self.row.len(), self.columns.len());
            return Ok(Some(Err(BadRecord { place, message })));
        }
        let mut fields = Map::with_capacity(self.columns.len());
        for (name, cell) in self.columns.iter().zip(&self.row) {
            match std::str::from_utf8(cell) {
                Ok(text) => fields.insert(name.clone(), Value::String(text.to_owned())),
                Err(_) => {
                    return Ok(Some(Err(BadRecord { place, message: format!("`{name}` is not UTF-8") })));
                }
            };
        }
        Ok(Some(Ok(Record { place, fields, notes: Vec::new() })))
    }
}

/// The separator that the first line holds most often outside of quotes; a comma where there is none.
fn separator(start: &[u8]) -> u8 {
    let line =
        start.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0), (b'\t', 0), (b';', 0)];
    for byte in line {
        quoted ^= *byte == b'"';
        for (separator, count) in &mut counts {
            *count += usize::from(!quoted && byte == separator);
        }
    }
    // The first of equals, so that a single column is comma-separated.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

fn unreadable(path: &std::path::Path, error: csv::Error) -> FileError {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => FileError::Io { path: path.to_owned(), action: "read", cause },
        _ => FileError::Content { path: path.to_owned(), message },
    }
}
