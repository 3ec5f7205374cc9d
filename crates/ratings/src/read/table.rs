//! Battles from CSV.

use std::borrow::Cow;
use std::path::Path;

use super::csv;
use super::fields::{Cell, Fields, push, style_columns};
use super::{REQUIRED, origin};
use crate::battles::{Battles, Style};
use crate::error::{RatingsError, RejectedRow};

/// Reads a CSV file with a header. A line with too few or too many fields is a rejected row.
pub(super) fn read_csv(path: &Path) -> Result<Battles, RatingsError> {
    let bytes = std::fs::read(path).map_err(|source| RatingsError::Read { path: path.to_owned(), source })?;
    let damaged = |message: String| RatingsError::Damaged { path: path.to_owned(), expected: "CSV", message };
    let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
    let mut records = csv::records(&text).into_iter();
    let header = records.next().unwrap_or_else(|| Ok(Vec::new())).map_err(|what| damaged(what.to_owned()))?;
    if let Some(column) = REQUIRED.into_iter().find(|column| !header.iter().any(|name| name == column)) {
        let present = header.join(", ");
        return Err(RatingsError::MissingColumn { origin: path.display().to_string(), column, present });
    }
    let mut battles = Battles::new();
    for (index, record) in records.enumerate() {
        let expected = || format!("{} fields", header.len());
        let pushed = match &record {
            Ok(fields) if fields.len() == header.len() => {
                push(&mut battles, &CsvRow { header: &header, fields })
            }
            Ok(fields) => Err(RejectedRow::new("line", format!("{} fields long", fields.len()), &expected())),
            Err(what) => Err(RejectedRow::new("line", what, &expected())),
        };
        if let Err(rejected) = pushed {
            battles.reject(rejected.at(&origin(path), index + 1));
        }
    }
    battles.check(&path.display().to_string())?;
    Ok(battles)
}

struct CsvRow<'a> {
    header: &'a [String],
    fields: &'a [String],
}

impl Fields for CsvRow<'_> {
    fn style(&self) -> Option<[Style; 2]> {
        style_columns(self)
    }

    fn get(&self, name: &str) -> Cell<'_> {
        let place = self.header.iter().position(|column| column == name);
        match place.and_then(|place| self.fields.get(place)).map(|field| field.trim()) {
            None | Some("") => Cell::Missing,
            Some(text) if is_numeric(name) => match text.parse() {
                Ok(number) => Cell::Number(number),
                Err(_) => Cell::Text(Cow::Borrowed(text)),
            },
            Some(text) => Cell::Text(Cow::Borrowed(text)),
        }
    }
}

/// Columns that hold numbers; a model or question may be called 7 and stays a text.
fn is_numeric(name: &str) -> bool {
    let style = ["length_", "headers_", "lists_", "bold_"].iter().any(|feature| name.starts_with(feature));
    style || matches!(name, "turn" | "timestamp" | "tstamp")
}
