//! Rows of data sets, whatever file and folder or archive they lie in.

mod place;
mod tables;

use std::io::Cursor;
use std::path::Path;

use camelid_files::records::{Records, Shape};
use camelid_files::{FileError, Input};
use serde_json::{Map, Value};

use super::error::TaskError;
use tables::TableForm;

pub use place::{DataFile, DataPlaces};

/// A row's line, or its number from 1, and its fields.
type Numbered = (usize, Map<String, Value>);

/// One row of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// File and row, for messages.
    pub place: String,
    /// Its number in its file, from 0.
    pub number: usize,
    /// Name of its file without folders and endings.
    pub stem: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// Reads every row of a file: JSON in any shape or separated values (see
/// [`camelid_files::records`]), Parquet, an Arrow file or stream, or a text, which is one row with the field
/// `text`; all of them plain or compressed with gzip or zstd. The content tells.
///
/// With `inner` each row is the object under that key, as in files that wrap their rows.
///
/// # Errors
/// [`TaskError::Row`] with file and line for whatever is damaged.
pub fn read(file: &DataFile, inner: Option<&str>) -> Result<Vec<Row>, TaskError> {
    let bytes = file.bytes()?;
    let whole = |problem: String| TaskError::Row { place: file.name.clone(), problem };
    let stem = file.stem();
    let numbered = |(number, (line, fields)): (usize, Numbered)| Row {
        place: format!("{}, row {line}", file.name),
        number,
        stem: stem.clone(),
        fields,
    };
    let counted =
        |rows: Vec<Map<String, Value>>| rows.into_iter().zip(1..).map(|(row, n)| (n, row)).collect();
    // A damaged file does not begin as it should: its name tells what it was to be.
    let form = TableForm::of(&bytes).or(file.has_ending("arrow").then_some(TableForm::ArrowStream));
    let rows: Vec<Numbered> = if let Some(form) = form {
        counted(form.rows(&bytes).map_err(whole)?)
    } else if file.has_ending("txt") {
        let text = std::str::from_utf8(&bytes).map_err(|error| whole(format!("not UTF-8: {error}")))?;
        vec![(1, Map::from_iter([("text".to_owned(), Value::from(text))]))]
    } else {
        records(file, bytes)?
    };
    let rows = match inner {
        None => rows,
        Some(key) => rows.into_iter().map(|row| unwrapped(file, key, row)).collect::<Result<_, _>>()?,
    };
    Ok(rows.into_iter().enumerate().map(numbered).collect())
}

/// The records of JSON in any shape, or of separated values.
fn records(file: &DataFile, bytes: Vec<u8>) -> Result<Vec<Numbered>, TaskError> {
    let whole = |problem: String| TaskError::Row { place: file.name.clone(), problem };
    if let Err(error) = std::str::from_utf8(&bytes) {
        return Err(whole(format!("not UTF-8: {error}")));
    }
    let mut records = Records::new(Input::from_reader(Path::new(&file.name), Cursor::new(bytes))?)?;
    let array = records.shape() == Shape::Array;
    let mut rows = Vec::new();
    loop {
        let record = match records.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(rows),
            Err(FileError::Content { message, .. }) if array => {
                return Err(whole(format!("not a JSON array: {message}")));
            }
            Err(error) => return Err(error.into()),
        };
        let record = record.map_err(|bad| {
            let problem = match bad.message.strip_suffix("; an object is expected") {
                Some(found) => format!("is {found}, expected a JSON object"),
                None => bad.message,
            };
            TaskError::Row { place: format!("{}, row {}", file.name, bad.place.number()), problem }
        })?;
        rows.push((record.place.number() as usize, record.fields));
    }
}

/// The object under `key`.
fn unwrapped(file: &DataFile, key: &str, (n, mut fields): Numbered) -> Result<Numbered, TaskError> {
    let problem = match fields.remove(key) {
        Some(Value::Object(inner)) => return Ok((n, inner)),
        Some(other) => format!("field `{key}` is {}, expected an object", kind(&other)),
        None => format!("no field `{key}`; there are: {}", names(&fields)),
    };
    Err(TaskError::Row { place: format!("{}, row {n}", file.name), problem })
}

/// Names of a row's fields, for messages.
pub(super) fn names(fields: &Map<String, Value>) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
