//! Rows of files, one after the other, with what is to be said of those that do not count as they stand.

use std::fmt;
use std::path::{Path, PathBuf};

use camelid_files::records::Records;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ScoreError;

/// What is to be said of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Its file.
    pub file: String,
    /// Its line or item.
    pub place: String,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.file, self.place, self.problem)
    }
}

/// Rows of which something is to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// Rows that were left out.
    pub unreadable: Vec<Remark>,
    /// Rows that count although they are no proper JSON.
    pub mended: Vec<Remark>,
}

impl Remarks {
    /// Those on another file as well.
    pub(super) fn add(&mut self, other: Self) {
        self.unreadable.extend(other.unreadable);
        self.mended.extend(other.mended);
    }

    /// That something was left to score.
    pub(super) fn check(&self, scored: usize) -> Result<(), ScoreError> {
        match (scored, self.unreadable.first()) {
            (0, Some(first)) => {
                Err(ScoreError::Nothing { rows: self.unreadable.len(), first: first.to_string() })
            }
            (0, None) => Err(ScoreError::Empty),
            _ => Ok(()),
        }
    }
}

/// Lines for the end of a table.
impl fmt::Display for Remarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rows, what) in [(&self.unreadable, "left out"), (&self.mended, "no proper JSON, yet read")] {
            if rows.is_empty() {
                continue;
            }
            writeln!(f, "\n{} rows {what}:", rows.len())?;
            for row in rows.iter().take(5) {
                writeln!(f, "  {row}")?;
            }
            if rows.len() > 5 {
                writeln!(f, "  … and {} more", rows.len() - 5)?;
            }
        }
        Ok(())
    }
}

/// Hands over every row of every file; what `take` refuses, and what is no row, is left out.
pub(super) fn each(
    files: &[PathBuf],
    mut take: impl FnMut(&Path, Map<String, Value>) -> Result<(), String>,
) -> Result<Remarks, ScoreError> {
    let mut remarks = Remarks::default();
    for path in files {
        let mut records = Records::open(path)?;
        while let Some(record) = records.next_record()? {
            let (place, notes, taken) = match record {
                Ok(record) => (record.place, record.notes, take(path, record.fields)),
                Err(bad) => (bad.place, Vec::new(), Err(bad.message)),
            };
            let remark = |problem: String| Remark {
                file: path.display().to_string(),
                place: place.to_string(),
                problem,
            };
            match taken {
                Err(problem) => remarks.unreadable.push(remark(problem)),
                Ok(()) => remarks.mended.extend(notes.iter().map(|note| remark(note.to_string()))),
            }
        }
    }
    Ok(remarks)
}

/// The text of the first of these fields that is there.
pub(super) fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match fields.get(*name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The texts of a field: one, a list of them, or a list with a list of them in it (the `resps` of
/// lm-evaluation-harness). `None` where it is not there.
///
/// # Errors
/// What else it is.
pub(super) fn texts(fields: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, String> {
    let all = |items: &[Value]| -> Option<Vec<String>> {
        items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let found = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(items)) => match items.as_slice() {
            [] => None,
            [Value::Array(inner)] => all(inner),
            items => all(items),
        },
        Some(_) => None,
    };
    match found {
        Some(texts) => Ok(Some(texts)),
        None => Err(format!("`{name}` is {}; expected a text or texts", fields[name])),
    }
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
