//! The rows of a file of records, whatever wrote them.
//!
//! | content | told by |
//! |---|---|
//! | JSON array of objects | its first character, `[`; read item by item |
//! | JSON lines | a first line that is a whole value |
//! | indented or concatenated JSON objects | an object that goes on over lines |
//! | an object that wraps the rows: `{"data": [{…}]}` | its key: `data`, `rows`, `records`, `items`, `examples`, `instances` or `results` |
//! | pandas' `to_json`: columns, index, split, table | the shape of the only object in the file |
//! | comma, tab or semicolon separated values | anything else; the separator that the first line holds most often |
//!
//! One bad row does not refuse a file: it comes as a [`BadRecord`] with its place.

mod delimited;
mod object;
mod scan;
mod unspaced;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::json::{self, Note};
use crate::{FileError, Input};
use delimited::Delimited;
use scan::{Scan, Scanned};

/// Where a record stands in its file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A line of JSON lines or of a table.
    Line(u64),
    /// An item of an array, or a row of a table in JSON.
    Item(u64),
}

impl Place {
    /// The number alone.
    pub fn number(self) -> u64 {
        match self {
            Self::Line(number) | Self::Item(number) => number,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Item(number) => write!(f, "item {number}"),
        }
    }
}

/// One row: field names and values. The cells of separated values are texts, as they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// Its fields, in the order of the file.
    pub fields: Map<String, Value>,
    /// What was read although JSON proper does not hold it.
    pub notes: Vec<Note>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct BadRecord {
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub message: String,
}

/// A row that is cut out of its file and not parsed yet, so that others can do that at the same time.
#[derive(Debug, Clone)]
pub struct RawRecord {
    place: Place,
    content: Raw,
}

#[derive(Debug, Clone)]
enum Raw {
    Json(Vec<u8>),
    Parsed(Result<Record, BadRecord>),
}

impl RawRecord {
    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Its length in bytes, where it is text still.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Raw::Json(bytes) => bytes.len(),
            Raw::Parsed(_) => 0,
        }
    }

    /// The record, or what is wrong with it.
    ///
    /// # Errors
    /// [`BadRecord`] for what is no JSON or no object.
    pub fn parse(self) -> Result<Record, BadRecord> {
        let place = self.place;
        match self.content {
            Raw::Parsed(parsed) => parsed,
            Raw::Json(bytes) => match json::parse::<Value>(&bytes) {
                Ok((value, notes)) => record(place, value, notes),
                Err(_) if std::str::from_utf8(&bytes).is_err() => {
                    Err(BadRecord { place, message: "not UTF-8".to_owned() })
                }
                Err(error) => Err(BadRecord { place, message: json::words(&error) }),
            },
        }
    }
}

impl From<Result<Record, BadRecord>> for RawRecord {
    fn from(parsed: Result<Record, BadRecord>) -> Self {
        let place = match &parsed {
            Ok(record) => record.place,
            Err(bad) => bad.place,
        };
        Self { place, content: Raw::Parsed(parsed) }
    }
}

/// What a file of records looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON array.
    Array,
    /// A JSON object a line.
    Lines,
    /// JSON objects one after the other, over several lines each.
    Values,
    /// One object that wraps the rows or holds a table by columns.
    Wrapped,
    /// Values separated by this character, the first line naming the columns.
    Separated(char),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array => f.write_str("a JSON array"),
            Self::Lines => f.write_str("JSON lines"),
            Self::Values => f.write_str("JSON objects"),
            Self::Wrapped => f.write_str("rows inside a JSON object"),
            Self::Separated('\t') => f.write_str("tab-separated values"),
            Self::Separated(';') => f.write_str("semicolon-separated values"),
            Self::Separated(_) => f.write_str("comma-separated values"),
        }
    }
}

/// The records of a file, one at a time; memory holds one of them, or the whole of a file whose
/// rows are wrapped in an object.
pub struct Records {
    shape: Shape,
    source: Source,
}

enum Source {
    Json(Box<Scan>),
    Ready(VecDeque<(Place, Value, Vec<Note>)>),
    Separated(Box<Delimited>),
}

impl Records {
    /// Opens a file, or standard input when `path` is `-`.
    ///
    /// # Errors
    /// As [`Input::open`]; [`FileError::Content`] for Parquet and other binary files.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::new(Input::open(path)?)
    }

    /// Reads an input that is open already.
    ///
    /// # Errors
    /// As [`Records::open`].
    pub fn new(input: Input) -> Result<Self, FileError> {
        if let Some(kind) = binary(input.start()) {
            let message = format!("{kind}; rows of JSON or separated values are expected");
            return Err(FileError::Content { path: input.path().to_owned(), message });
        }
        match input.start().iter().find(|byte| !scan::is_blank(byte)) {
            None => Ok(Self { shape: Shape::Lines, source: Source::Ready(VecDeque::new()) }),
            Some(b'[') => Self::array(input),
            Some(b'{') => Self::objects(input),
            Some(_) => {
                let table = Delimited::new(input)?;
                Ok(Self {
                    shape: Shape::Separated(table.separator()),
                    source: Source::Separated(Box::new(table)),
                })
            }
        }
    }

    /// An array of rows, or an array a line, each a list of messages.
    fn array(input: Input) -> Result<Self, FileError> {
        let (shape, scan) = match Scan::arrays_by_lines(input) {
            Ok(lines) => (Shape::Lines, lines),
            Err(input) => (Shape::Array, Scan::array(input)),
        };
        Ok(Self { shape, source: Source::Json(Box::new(scan)) })
    }

    /// Objects a line, objects over lines, or a single object with rows inside.
    fn objects(input: Input) -> Result<Self, FileError> {
        let mut scan = Scan::objects(input)?;
        let shape = if scan.by_lines() { Shape::Lines } else { Shape::Values };
        let Scanned::Value(place, bytes) = scan.next_value()? else {
            return Ok(Self { shape, source: Source::Json(Box::new(scan)) });
        };
        let first = bytes.to_vec();
        if scan.at_end()? {
            let parsed = json::parse::<Map<String, Value>>(&first);
            if let Some((rows, notes)) =
                parsed.ok().and_then(|(only, notes)| Some((object::rows(only)?, notes)))
            {
                let rows = (1..).map(Place::Item).zip(rows).map(|(place, row)| (place, row, notes.clone()));
                return Ok(Self { shape: Shape::Wrapped, source: Source::Ready(rows.collect()) });
            }
        }
        scan.put_back(place, first);
        Ok(Self { shape, source: Source::Json(Box::new(scan)) })
    }

    /// What the file was taken for.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The names of the columns, where the file is a table of separated values.
    pub fn columns(&self) -> Option<&[String]> {
        match &self.source {
            Source::Separated(table) => Some(table.columns()),
            Source::Json(..) | Source::Ready(_) => None,
        }
    }

    /// The next record, or what is wrong with it; `None` at the end.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be read on: it is damaged, or its JSON ends in the middle of
    /// an array. The records before that are sound.
    pub fn next_record(&mut self) -> Result<Option<Result<Record, BadRecord>>, FileError> {
        Ok(self.next_raw()?.map(RawRecord::parse))
    }

    /// As [`Records::next_record`], with the parsing left to the caller.
    ///
    /// # Errors
    /// As [`Records::next_record`].
    pub fn next_raw(&mut self) -> Result<Option<RawRecord>, FileError> {
        Ok(match &mut self.source {
            Source::Ready(rows) => {
                rows.pop_front().map(|(place, row, notes)| RawRecord::from(record(place, row, notes)))
            }
            Source::Separated(table) => table.next_record()?.map(RawRecord::from),
            Source::Json(scan) => match scan.next_value()? {
                Scanned::End => None,
                Scanned::Value(place, bytes) => Some(RawRecord { place, content: Raw::Json(bytes.to_vec()) }),
            },
        })
    }

    /// Hands over every record, or what is wrong with it.
    ///
    /// # Errors
    /// As [`Records::next_record`].
    pub fn for_each(mut self, mut each: impl FnMut(Result<Record, BadRecord>)) -> Result<(), FileError> {
        while let Some(record) = self.next_record()? {
            each(record);
        }
        Ok(())
    }
}

fn record(place: Place, value: Value, notes: Vec<Note>) -> Result<Record, BadRecord> {
    let found = match value {
        Value::Object(fields) => return Ok(Record { place, fields, notes }),
        Value::Array(messages) if !messages.is_empty() && messages.iter().all(is_message) => {
            let fields = Map::from_iter([("messages".to_owned(), Value::Array(messages))]);
            return Ok(Record { place, fields, notes });
        }
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
    };
    Err(BadRecord { place, message: format!("{found}; an object is expected") })
}

/// Whether a value is a turn of a conversation: a list of them is a row, its `messages`.
fn is_message(value: &Value) -> bool {
    [("role", "content"), ("from", "value")]
        .iter()
        .any(|(speaker, text)| value.get(speaker).is_some_and(Value::is_string) && value.get(text).is_some())
}

/// What a binary file is, by its first bytes.
fn binary(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'P', b'A', b'R', b'1', ..] => Some("a Parquet file"),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Some("an Arrow file"),
        [b'P', b'K', 3, 4, ..] => Some("a ZIP archive"),
        [b'G', b'G', b'U', b'F', ..] => Some("a GGUF file"),
        _ if utf16_without_mark(start) => Some("UTF-16 text without a byte-order mark; save it as UTF-8"),
        _ if start.contains(&0) => Some("a binary file"),
        _ => None,
    }
}

/// Whether one byte of each two is zero and the other is not, over a good piece of text.
fn utf16_without_mark(start: &[u8]) -> bool {
    let pairs = &start[..start.len().min(256) / 2 * 2];
    let zero_at = |place: usize| pairs.iter().skip(place).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zero_at(0), zero_at(1));
    pairs.len() >= 8 && (even.min(odd) == 0) && 4 * even.max(odd) >= 3 * (pairs.len() / 2)
}

#[cfg(test)]
mod tests;
