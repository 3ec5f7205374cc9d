//! Battles as a polars frame, both ways.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{
    Column, DataFrame, DataType, Float64Chunked, ParquetReader, PolarsError, PolarsResult, SerReader,
    StringChunked,
};

use super::fields::{Cell, Fields, push, style_columns};
use super::{REQUIRED, origin};
use crate::battles::{Battle, Battles, Style};
use crate::error::RatingsError;

/// All columns that are read.
const COLUMNS: [&str; 19] = [
    "model_a",
    "model_b",
    "winner",
    "question",
    "question_id",
    "judge",
    "language",
    "turn",
    "timestamp",
    "tstamp",
    "length_a",
    "length_b",
    "headers_a",
    "headers_b",
    "lists_a",
    "lists_b",
    "bold_a",
    "bold_b",
    "anony",
];

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

/// The battles of a frame with the columns that [`Format::Battles`](super::Format::Battles) names;
/// `origin` says in messages where it comes from.
///
/// # Errors
/// [`RatingsError::MissingColumn`], [`RatingsError::WrongType`] for a column that holds neither
/// texts nor numbers, [`RatingsError::Empty`] without a battle.
pub fn from_frame(frame: &DataFrame, origin: &str) -> Result<Battles, RatingsError> {
    let names: Vec<&str> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
    if let Some(column) = REQUIRED.into_iter().find(|column| !names.contains(column)) {
        let present = names.join(", ");
        return Err(RatingsError::MissingColumn { origin: origin.to_owned(), column, present });
    }
    let columns = COLUMNS
        .into_iter()
        .filter(|name| names.contains(name))
        .map(|name| Ok((name, Values::of(frame, name, origin)?)))
        .collect::<Result<Vec<_>, RatingsError>>()?;
    let mut battles = Battles::new();
    for row in 0..frame.height() {
        if let Err(rejected) = push(&mut battles, &FrameRow { columns: &columns, row }) {
            battles.reject(rejected.at(origin, row + 1));
        }
    }
    battles.check(origin)?;
    Ok(battles)
}

/// A column, decoded once.
enum Values {
    Texts(StringChunked),
    Numbers(Float64Chunked),
}

impl Values {
    fn of(frame: &DataFrame, name: &str, origin: &str) -> Result<Self, RatingsError> {
        let wrong = |found: String| RatingsError::WrongType {
            origin: origin.to_owned(),
            column: name.to_owned(),
            found,
            expected: "texts or numbers",
        };
        let column = frame.column(name).map_err(|error| wrong(error.to_string()))?;
        let kind = column.dtype().clone();
        let number = kind.is_primitive_numeric();
        let target = if number { DataType::Float64 } else { DataType::String };
        let text = kind == DataType::String || kind.is_null() || is_category(&kind);
        let readable = number || text || (name == "anony" && kind == DataType::Boolean);
        let cast = readable.then(|| column.cast(&target).ok()).flatten();
        let cast = cast.ok_or_else(|| wrong(kind.to_string()))?;
        let decoded = if number {
            cast.f64().map(|values| Values::Numbers(values.rechunk().into_owned()))
        } else {
            cast.str().map(|values| Values::Texts(values.rechunk().into_owned()))
        };
        decoded.map_err(|error: PolarsError| wrong(error.to_string()))
    }
}

fn is_category(kind: &DataType) -> bool {
    let name = kind.to_string();
    name.starts_with("cat") || name.starts_with("enum")
}

struct FrameRow<'a> {
    columns: &'a [(&'static str, Values)],
    row: usize,
}

impl Fields for FrameRow<'_> {
    fn style(&self) -> Option<[Style; 2]> {
        style_columns(self)
    }

    fn get(&self, name: &str) -> Cell<'_> {
        let Some((_, values)) = self.columns.iter().find(|(column, _)| *column == name) else {
            return Cell::Missing;
        };
        match values {
            Values::Texts(texts) => match texts.get(self.row) {
                None | Some("") => Cell::Missing,
                Some(text) => Cell::Text(Cow::Borrowed(text)),
            },
            Values::Numbers(numbers) => numbers.get(self.row).map_or(Cell::Missing, Cell::Number),
        }
    }
}

/// The battles as a frame; optional columns stand only where a battle has a value for them.
///
/// # Errors
/// Those of polars, which lengths that agree do not give.
pub fn to_frame(battles: &Battles) -> PolarsResult<DataFrame> {
    let rows = battles.rows();
    let named = || rows.iter().map(|row| battles.named(row));
    let required = |name: &str, values: Vec<&str>| Column::new(name.into(), values);
    let mut columns = vec![
        required("model_a", named().map(|b| b.model_a).collect()),
        required("model_b", named().map(|b| b.model_b).collect()),
        required("winner", named().map(|b| b.outcome.label()).collect()),
    ];
    let texts: [(&str, Vec<Option<&str>>); 3] = [
        ("question", named().map(|b| b.question).collect()),
        ("judge", named().map(|b| b.judge).collect()),
        ("language", named().map(|b| b.language).collect()),
    ];
    for (name, values) in texts {
        if values.iter().any(Option::is_some) {
            columns.push(Column::new(name.into(), values));
        }
    }
    if rows.iter().any(|row| row.turn.is_some()) {
        columns.push(Column::new("turn".into(), rows.iter().map(|row| row.turn).collect::<Vec<_>>()));
    }
    if rows.iter().any(|row| row.timestamp.is_some()) {
        columns
            .push(Column::new("timestamp".into(), rows.iter().map(|row| row.timestamp).collect::<Vec<_>>()));
    }
    if rows.iter().any(|row| row.style.is_some()) {
        columns.extend(columns_of_style(rows));
    }
    DataFrame::new(rows.len(), columns)
}

fn columns_of_style(rows: &[Battle]) -> Vec<Column> {
    type Feature = fn(&Style) -> f32;
    let features: [(&str, Feature); 4] = [
        ("length", |style| style.length),
        ("headers", |style| style.headers),
        ("lists", |style| style.lists),
        ("bold", |style| style.bold),
    ];
    let mut columns = Vec::with_capacity(8);
    for (name, feature) in features {
        for (side, letter) in ["a", "b"].into_iter().enumerate() {
            let values: Vec<Option<f32>> =
                rows.iter().map(|row| row.style.map(|s| feature(&s[side]))).collect();
            columns.push(Column::new(format!("{name}_{letter}").into(), values));
        }
    }
    columns
}
