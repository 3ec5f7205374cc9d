//! Rows of files, one after the other, with what is wrong with those that cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};

use camelid_files::records::{Place, Records};
use serde::Serialize;
use serde_json::{Map, Value};

use super::ScoreError;

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Its file.
    pub file: String,
    /// Its line or item.
    pub place: String,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.file, self.place, self.problem)
    }
}

/// Hands over every row of every file; what `take` refuses, and what is no row, comes back.
pub(super) fn each(
    files: &[PathBuf],
    mut take: impl FnMut(&Path, Place, Map<String, Value>) -> Result<(), String>,
) -> Result<Vec<Unreadable>, ScoreError> {
    let mut unreadable = Vec::new();
    for path in files {
        let mut records = Records::open(path)?;
        while let Some(record) = records.next_record()? {
            let (place, taken) = match record {
                Ok(record) => (record.place, take(path, record.place, record.fields)),
                Err(bad) => (bad.place, Err(bad.message)),
            };
            if let Err(problem) = taken {
                let (file, place) = (path.display().to_string(), place.to_string());
                unreadable.push(Unreadable { file, place, problem });
            }
        }
    }
    Ok(unreadable)
}

/// The text of the first of these fields that is there.
pub(super) fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match fields.get(*name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The fields there are, for messages.
pub(super) fn names(fields: &Map<String, Value>) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A number, also as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
