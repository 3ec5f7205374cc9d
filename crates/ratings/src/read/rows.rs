//! The rows of a file of JSON or separated values, whatever wrote them.

use std::path::Path;

use camelid_files::json::Note;
use camelid_files::records::Shape;
use camelid_files::{BadRecord, FileError, Input, Record, Records};
use serde_json::{Map, Value};

use super::battle::{self, Blindness};
use super::{Format, REQUIRED, has_verdict};
use crate::battles::{Battles, ROW};
use crate::error::{RatingsError, RejectedRow};

/// A row as its fields, or why it is none.
pub(super) type Row = Result<Map<String, Value>, RejectedRow>;

/// An open file whose format the first sound row has told.
pub(super) struct Rows {
    /// The file, as messages name it.
    pub(super) origin: String,
    records: Records,
    /// Rows that were read to tell the format.
    first: Vec<Result<Record, BadRecord>>,
    pub(super) format: Format,
    pub(super) path: std::path::PathBuf,
    /// JSON, CSV.
    kind: &'static str,
}

impl Rows {
    /// Opens a file of rows.
    pub(super) fn open(path: &Path) -> Result<Self, RatingsError> {
        let input = Input::open(path).map_err(|error| unreadable(path, "JSON", error))?;
        Self::new(input, super::origin(path))
    }

    pub(super) fn new(input: Input, origin: String) -> Result<Self, RatingsError> {
        let path = input.path().to_owned();
        let named = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let by_name = if named("csv") || named("tsv") { "CSV" } else { "JSON" };
        let mut records = Records::new(input).map_err(|error| unreadable(&path, by_name, error))?;
        let kind = if matches!(records.shape(), Shape::Separated(_)) { "CSV" } else { "JSON" };
        let mut first = Vec::new();
        while let Some(row) = records.next_record().map_err(|error| unreadable(&path, kind, error))? {
            let sound = row.is_ok();
            first.push(row);
            if sound {
                break;
            }
        }
        if first.is_empty() && by_name == "CSV" && kind == "JSON" {
            let present = "none, the file is empty".to_owned();
            return Err(RatingsError::MissingColumn { origin, column: REQUIRED[0], present });
        }
        let format = match first.last() {
            Some(Ok(record)) => format_of(&record.fields),
            _ => Format::Battles,
        };
        Ok(Self { origin, records, first, format, path, kind })
    }

    /// What has to be there for battles: the columns of a table, the keys of the first row.
    fn check_columns(&self) -> Result<(), RatingsError> {
        let Some(Ok(first)) = self.first.last() else {
            let Some(columns) = self.records.columns() else { return Ok(()) };
            return missing(&self.origin, columns);
        };
        if let Some(columns) = self.records.columns() {
            return missing(&self.origin, columns);
        }
        let has = |name: &str| first.fields.contains_key(name);
        let grade = ["score", "rating", "grade", "judgment"].into_iter().any(has);
        if !has("model_a") && (has("model") || has("model_id")) && grade {
            return Err(RatingsError::SingleGrades { origin: self.origin.clone() });
        }
        if self.records.shape() != Shape::Array && !REQUIRED.into_iter().any(has) {
            let keys: Vec<&str> = first.fields.keys().map(String::as_str).take(20).collect();
            let message = format!(
                "an array of battles, one battle a line or a table is expected; this holds an object with the keys {}",
                keys.join(", ")
            );
            return Err(RatingsError::Damaged { path: self.path.clone(), expected: self.kind, message });
        }
        Ok(())
    }

    /// Pushes every row of a table of battles.
    pub(super) fn battles(
        self,
        push: impl Fn(&Map<String, Value>, &mut Battles) -> Result<(), RejectedRow>,
        checked: bool,
    ) -> Result<Battles, RatingsError> {
        if checked {
            self.check_columns()?;
        }
        let mut battles = Battles::new();
        let origin = self.origin.clone();
        let mut undecided = None;
        let mut blindness = Blindness::default();
        self.each(|number, row, notes| {
            let rejected = match row {
                Ok(fields) => {
                    let before = battles.rows().len();
                    let pushed = push(&fields, &mut battles);
                    blindness.note(&fields, before..battles.rows().len(), number);
                    match pushed {
                        Ok(()) => {
                            battles.place_unread(&origin, number);
                            None
                        }
                        Err(row) if row.found == "missing" && notes.contains(&Note::Nonfinite) => {
                            Some(RejectedRow { found: "NaN or Infinity, or missing".to_owned(), ..row })
                        }
                        Err(row) => Some(row),
                    }
                }
                Err(row) => Some(row),
            };
            for note in notes {
                let what = RejectedRow::new(ROW, note, "JSON proper");
                battles.note_unread(what.at(&origin, number));
            }
            if let Some(rejected) = rejected {
                let rejected = rejected.at(&origin, number);
                if rejected.is_undecided() && undecided.is_none() {
                    undecided = Some(rejected.clone());
                }
                battles.reject(rejected);
            }
        })?;
        let battles = blindness.apply(battles, &origin);
        undecided.map_or(Ok(battles), |row| Err(RatingsError::NotUnderstood(Box::new(row))))
    }

    /// All rows at once.
    pub(super) fn collect(self) -> Result<Vec<Row>, RatingsError> {
        let mut rows = Vec::new();
        self.each(|_, row, _| rows.push(row))?;
        Ok(rows)
    }

    /// Hands over every row with its number, from 1.
    fn each(mut self, mut each: impl FnMut(usize, Row, Vec<Note>)) -> Result<(), RatingsError> {
        let item = if self.records.shape() == Shape::Array { "item" } else { "line" };
        let mut number = 0;
        let mut give = |row: Result<Record, BadRecord>| {
            number += 1;
            match row {
                Ok(record) => each(number, Ok(record.fields), record.notes),
                Err(bad) => each(number, Err(RejectedRow::new(item, bad.message, "a battle")), Vec::new()),
            }
        };
        for row in std::mem::take(&mut self.first) {
            give(row);
        }
        loop {
            match self.records.next_record() {
                Ok(Some(row)) => give(row),
                Ok(None) => return Ok(()),
                Err(error) => return Err(unreadable(&self.path, self.kind, error)),
            }
        }
    }
}

/// The format that a row tells.
fn format_of(row: &Map<String, Value>) -> Format {
    let has = |name: &str| row.contains_key(name);
    if has("g1_winner") {
        Format::MtBench
    } else if has("answer1_id") && has("score") {
        Format::Reviews
    } else if has("preference") && has("generator_1") {
        Format::AlpacaEval
    } else if has("win_a") && !has("winner") {
        Format::Counts
    } else {
        Format::Battles
    }
}

/// That a table has the columns that every battle needs.
pub(super) fn missing(origin: &str, columns: &[String]) -> Result<(), RatingsError> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let absent = REQUIRED.into_iter().find(|name| match *name {
        "winner" => !has_verdict(&has),
        name => !has(name),
    });
    match absent {
        Some(column) => Err(RatingsError::MissingColumn {
            origin: origin.to_owned(),
            column,
            present: columns.join(", "),
        }),
        None => Ok(()),
    }
}

/// An error of reading, by its kind.
pub(super) fn unreadable(path: &Path, expected: &'static str, error: FileError) -> RatingsError {
    match error {
        FileError::Io { path, cause, .. } => RatingsError::Read { path, cause },
        FileError::Content { path, message } if path.is_dir() => {
            RatingsError::Read { path, cause: std::io::Error::other(message) }
        }
        FileError::Content { message, .. } => {
            RatingsError::Damaged { path: path.to_owned(), expected, message }
        }
        other => RatingsError::File(other),
    }
}

/// Adds the row of a table of battles.
pub(super) fn push_battle(
    needs: super::Needs,
) -> impl Fn(&Map<String, Value>, &mut Battles) -> Result<(), RejectedRow> {
    move |fields, battles| battle::push(battles, fields, needs)
}
