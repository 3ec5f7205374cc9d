//! Battles from Parquet and CSV.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{ParquetReader, PolarsError, SerReader};

use super::csv;
use super::fields::{Cell, Fields, push, style_columns};
use super::frame::{COLUMNS, REQUIRED, from_frame};
use super::origin;
use crate::ratings::battles::{Battles, Style};
use crate::ratings::error::{RatingsError, RejectedRow};

/// Reads the columns of a Parquet file that battles are made of.
pub(super) fn read_parquet(path: &Path) -> Result<Battles, RatingsError> {
    let file = File::open(path).map_err(|source| RatingsError::Read { path: path.to_owned(), source })?;
    let damaged =
        |message: String| RatingsError::Damaged { path: path.to_owned(), expected: "Parquet", message };
    // polars answers some damaged files with a panic instead of an error.
    let frame = catch_unwind(AssertUnwindSafe(|| {
        let mut reader = ParquetReader::new(file);
        let known = |name: &str| COLUMNS.contains(&name);
        let present: Vec<String> = reader.schema()?.iter_names().map(|name| name.to_string()).collect();
        if let Some(column) = REQUIRED.iter().find(|column| !present.iter().any(|name| name == *column)) {
            return Ok(Err((*column, present.join(", "))));
        }
        let wanted = present.into_iter().filter(|name| known(name)).collect();
        Ok::<_, PolarsError>(Ok(reader.with_columns(Some(wanted)).finish()?))
    }));
    match frame {
        Ok(Ok(Ok(frame))) => from_frame(&frame, &origin(path)),
        Ok(Ok(Err((column, present)))) => {
            Err(RatingsError::MissingColumn { origin: path.display().to_string(), column, present })
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("it cannot be decoded".to_owned())),
    }
}

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
