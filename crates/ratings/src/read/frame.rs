//! Battles as a polars frame, both ways, and from Parquet.

use std::borrow::Cow;
use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use camelid_files::{Input, Packing};
use polars::prelude::{
    AnyValue, ArrowDataType, Column, DataFrame, DataType, Int64Chunked, ParquetReader, PolarsResult,
    SerReader, Series, StringChunked, TimeUnit,
};
use serde_json::{Map, Value};

use super::battle::{Blindness, push};
use super::fields::{Cell, Fields};
use super::rows::{missing, unreadable};
use super::values::Metadata;
use super::{Needs, REQUIRED};
use crate::battles::{Battle, Battles, Style};
use crate::error::{RatingsError, RejectedRow};

/// Columns that decide what a battle says.
const VERDICT: [&str; 13] = [
    "model_a",
    "model_b",
    "winner",
    "winner_model_a",
    "winner_model_b",
    "winner_tie",
    "winner_tie_bothbad",
    "win_a",
    "win_b",
    "tie",
    "both_bad",
    "weight",
    "anony",
];
/// Columns of style.
const STYLE: [&str; 9] = [
    "length_a",
    "length_b",
    "headers_a",
    "headers_b",
    "lists_a",
    "lists_b",
    "bold_a",
    "bold_b",
    "conv_metadata",
];

/// The columns that battles are read from, each with whether it has to make sense.
fn columns(needs: Needs) -> Vec<(&'static str, bool)> {
    let mut columns: Vec<(&str, bool)> = VERDICT.into_iter().map(|name| (name, true)).collect();
    columns.extend([
        ("question", needs.questions),
        ("question_id", needs.questions),
        ("judge", needs.judges),
        ("language", needs.languages),
        ("turn", needs.turns),
        ("timestamp", needs.timestamps),
        ("tstamp", needs.timestamps),
    ]);
    if needs.styles {
        columns.extend(STYLE.into_iter().map(|name| (name, false)));
    }
    columns
}

/// Reads the columns of a Parquet file that battles are made of.
pub(super) fn read_parquet(
    path: &Path,
    input: Input,
    origin: &str,
    needs: Needs,
) -> Result<Battles, RatingsError> {
    let damaged =
        |message: String| RatingsError::Damaged { path: path.to_owned(), expected: "Parquet", message };
    // A packed file and standard input are read to their end, a plain file where it lies.
    let plain = input.packing() == Packing::Plain && path.is_file();
    let read = if plain {
        let open = || File::open(path).map_err(|cause| RatingsError::Read { path: path.to_owned(), cause });
        let file = open()?;
        decoded(|| ParquetReader::new(file), needs)
    } else {
        let bytes = input.bytes().map_err(|error| unreadable(path, "Parquet", error))?;
        decoded(|| ParquetReader::new(Cursor::new(bytes)), needs)
    };
    match read {
        Ok(Decoded::Frame(frame, unreadable)) => of_frame(&frame, &unreadable, origin, needs),
        Ok(Decoded::Missing(columns)) => {
            missing(origin, &columns)?;
            Err(damaged("it holds no battles".to_owned()))
        }
        Err(message) => Err(damaged(message)),
    }
}

enum Decoded {
    /// The columns that can be decoded, and name and type of those that cannot.
    Frame(DataFrame, Vec<(String, String)>),
    /// The columns there are, without those that battles need.
    Missing(Vec<String>),
}

/// The frame of the columns that are wanted; polars answers some damaged files with a panic instead
/// of an error.
fn decoded<R: polars::io::mmap::MmapBytesReader>(
    reader: impl FnOnce() -> ParquetReader<R>,
    needs: Needs,
) -> Result<Decoded, String> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let mut reader = reader();
        let schema = reader.schema().map_err(|error| error.to_string())?;
        let present: Vec<String> = schema.iter_names().map(|name| name.to_string()).collect();
        if missing("", &present).is_err() {
            return Ok(Decoded::Missing(present));
        }
        let (mut wanted, mut unreadable) = (Vec::new(), Vec::new());
        for (name, _) in columns(needs) {
            match schema.get(name) {
                Some(field) if can_be_decoded(field.dtype()) => wanted.push(name.to_owned()),
                Some(field) => unreadable.push((name.to_owned(), format!("{:?}", field.dtype()))),
                None => {}
            }
        }
        let frame = reader.with_columns(Some(wanted)).finish().map_err(|error| error.to_string())?;
        Ok(Decoded::Frame(frame, unreadable))
    }));
    read.unwrap_or_else(|_| Err("it cannot be decoded".to_owned()))
}

/// Whether polars has such values: of some types it refuses a whole file for a single column.
fn can_be_decoded(kind: &ArrowDataType) -> bool {
    match kind {
        ArrowDataType::Float16
        | ArrowDataType::Decimal256(..)
        | ArrowDataType::Interval(_)
        | ArrowDataType::Union(_) => false,
        ArrowDataType::Decimal(digits, _) => *digits <= 38,
        ArrowDataType::List(item)
        | ArrowDataType::LargeList(item)
        | ArrowDataType::FixedSizeList(item, _)
        | ArrowDataType::Map(item, _) => can_be_decoded(item.dtype()),
        ArrowDataType::Struct(fields) => fields.iter().all(|field| can_be_decoded(field.dtype())),
        _ => true,
    }
}

/// The battles of a frame with the columns that [`Format::Battles`](super::Format::Battles) or
/// [`Format::Counts`](super::Format::Counts) names; `origin` says in messages where it comes from.
///
/// # Errors
/// [`RatingsError::MissingColumn`], [`RatingsError::WrongType`] for a needed column that holds neither
/// texts nor numbers, [`RatingsError::Empty`] without a battle.
pub fn from_frame(frame: &DataFrame, origin: &str) -> Result<Battles, RatingsError> {
    let battles = of_frame(frame, &[], origin, Needs::ANY)?;
    battles.check(origin)?;
    Ok(battles)
}

fn of_frame(
    frame: &DataFrame,
    unreadable: &[(String, String)],
    origin: &str,
    needs: Needs,
) -> Result<Battles, RatingsError> {
    let names: Vec<String> = frame.get_column_names().into_iter().map(|name| name.to_string()).collect();
    missing(origin, &names)?;
    let wrong = |name: &str, found: String| RatingsError::WrongType {
        origin: origin.to_owned(),
        column: name.to_owned(),
        found,
        expected: "texts or numbers",
    };
    let mut battles = Battles::new();
    let mut decoded = Vec::new();
    for (name, needed) in columns(needs) {
        let kind = if let Some((_, kind)) = unreadable.iter().find(|(column, _)| column == name) {
            kind.clone()
        } else if names.iter().any(|present| present == name) {
            let column = frame.column(name).map_err(|error| wrong(name, error.to_string()))?;
            match Values::of(column) {
                Some(Values::Truths(_)) if REQUIRED.contains(&name) => column.dtype().to_string(),
                Some(values) => {
                    decoded.push((name, values));
                    continue;
                }
                None => column.dtype().to_string(),
            }
        } else {
            continue;
        };
        if needed {
            return Err(wrong(name, kind));
        }
        let what = RejectedRow::new(name, kind, "texts or numbers").at(origin, 1);
        for _ in 0..frame.height() {
            battles.note_unread(what.clone());
        }
    }
    let mut blindness = Blindness::default();
    for row in 0..frame.height() {
        let fields = FrameRow { columns: &decoded, row };
        let before = battles.rows().len();
        let pushed = push(&mut battles, &fields, needs);
        blindness.note(&fields, before..battles.rows().len(), row + 1);
        battles.place_unread(origin, row + 1);
        if let Err(rejected) = pushed {
            let rejected = rejected.at(origin, row + 1);
            if rejected.is_undecided() {
                return Err(RatingsError::NotUnderstood(Box::new(rejected)));
            }
            battles.reject(rejected);
        }
    }
    Ok(blindness.apply(battles, origin))
}

/// A column, decoded once.
enum Values {
    Texts(StringChunked),
    Whole(Int64Chunked),
    Numbers(Vec<Option<f64>>),
    Truths(Vec<Option<bool>>),
    /// Seconds since the Unix epoch.
    Moments(Vec<Option<f64>>),
    /// Read value by value: lists, objects, bytes, numbers of other kinds.
    Any(Series),
}

impl Values {
    /// `None` for a type that holds nothing to read.
    fn of(column: &Column) -> Option<Self> {
        let kind = column.dtype();
        let texts =
            || Some(Values::Texts(column.cast(&DataType::String).ok()?.str().ok()?.rechunk().into_owned()));
        match kind {
            DataType::String | DataType::Null => texts(),
            DataType::Boolean => Some(Values::Truths(column.bool().ok()?.iter().collect())),
            DataType::UInt64 => Some(Values::Any(column.as_materialized_series().clone())),
            kind if kind.is_integer() => {
                Some(Values::Whole(column.cast(&DataType::Int64).ok()?.i64().ok()?.rechunk().into_owned()))
            }
            kind if kind.is_float() => {
                Some(Values::Numbers(column.cast(&DataType::Float64).ok()?.f64().ok()?.iter().collect()))
            }
            DataType::Date => {
                let days = column.cast(&DataType::Int32).ok()?;
                let days = days.i32().ok()?;
                Some(Values::Moments(
                    days.iter().map(|day| day.map(|day| 86_400.0 * f64::from(day))).collect(),
                ))
            }
            DataType::Datetime(unit, _) => {
                let per_second = match unit {
                    TimeUnit::Nanoseconds => 1e9,
                    TimeUnit::Microseconds => 1e6,
                    TimeUnit::Milliseconds => 1e3,
                };
                let ticks = column.cast(&DataType::Int64).ok()?;
                let ticks = ticks.i64().ok()?;
                Some(Values::Moments(
                    ticks.iter().map(|tick| tick.map(|tick| tick as f64 / per_second)).collect(),
                ))
            }
            DataType::Binary | DataType::List(_) | DataType::Struct(_) | DataType::Decimal(..) => {
                Some(Values::Any(column.as_materialized_series().clone()))
            }
            kind if is_category(kind) => texts(),
            _ => None,
        }
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

impl FrameRow<'_> {
    fn column(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|(column, _)| *column == name).map(|(_, values)| values)
    }
}

impl Fields for FrameRow<'_> {
    fn metadata(&self) -> Metadata<'_> {
        match self.column("conv_metadata") {
            Some(Values::Any(series)) => match series.get(self.row).map(json) {
                Ok(Value::Object(metadata)) => Metadata::Object(Cow::Owned(metadata)),
                Ok(Value::Null) | Err(_) => Metadata::Missing,
                Ok(other) => Metadata::Unread(other.to_string()),
            },
            Some(Values::Texts(texts)) => texts.get(self.row).map_or(Metadata::Missing, Metadata::of_text),
            _ => Metadata::Missing,
        }
    }

    fn get(&self, name: &str) -> Cell<'_> {
        match self.column(name) {
            None => Cell::Missing,
            Some(Values::Texts(texts)) => match texts.get(self.row) {
                Some(text) if !text.trim().is_empty() => Cell::Text(Cow::Borrowed(text)),
                _ => Cell::Missing,
            },
            Some(Values::Whole(whole)) => {
                whole.get(self.row).map_or(Cell::Missing, |number| Cell::Whole(number.into()))
            }
            Some(Values::Numbers(numbers)) => match numbers[self.row] {
                // pandas has NaN where a value is missing.
                Some(number) if !number.is_nan() => Cell::Number(number),
                _ => Cell::Missing,
            },
            Some(Values::Truths(truths)) => truths[self.row].map_or(Cell::Missing, Cell::Truth),
            Some(Values::Moments(moments)) => moments[self.row].map_or(Cell::Missing, Cell::Moment),
            Some(Values::Any(series)) => series.get(self.row).map_or(Cell::Missing, |value| match value {
                AnyValue::UInt64(whole) => Cell::Whole(whole.into()),
                value => match json(value) {
                    Value::Null => Cell::Missing,
                    Value::String(text) if text.trim().is_empty() => Cell::Missing,
                    Value::String(text) => Cell::Text(Cow::Owned(text)),
                    Value::Array(parts) if !parts.is_empty() && parts.iter().all(Value::is_string) => {
                        let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                        Cell::Text(Cow::Owned(parts.join(" ")))
                    }
                    other => Cell::Other(other.to_string()),
                },
            }),
        }
    }
}

/// A value of a nested column as JSON. Decimals become texts, since they are exact; bytes become their
/// text, or hexadecimal digits.
fn json(value: AnyValue) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::String(text) => text.into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Boolean(truth) => truth.into(),
        AnyValue::Binary(bytes) => bytes_as_text(bytes).into(),
        AnyValue::BinaryOwned(bytes) => bytes_as_text(&bytes).into(),
        AnyValue::List(items) => (0..items.len()).map(|i| items.get(i).map_or(Value::Null, json)).collect(),
        AnyValue::Struct(..) | AnyValue::StructOwned(_) => {
            let mut object = Map::new();
            if let AnyValue::StructOwned(held) = value.into_static() {
                let (values, fields) = *held;
                for (value, field) in values.into_iter().zip(fields) {
                    object.insert(field.name().to_string(), json(value));
                }
            }
            Value::Object(object)
        }
        AnyValue::UInt64(whole) => whole.into(),
        value if value.is_integer() => value.extract::<i64>().map_or(Value::Null, Value::from),
        value if value.is_float() => value.extract::<f64>().map_or(Value::Null, Value::from),
        other => Value::String(other.to_string()),
    }
}

fn bytes_as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => camelid_files::digest::hex(bytes),
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
        required(
            "winner",
            named().map(|b| if b.both_bad { "tie (bothbad)" } else { b.outcome.label() }).collect(),
        ),
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
    if battles.is_counted() {
        columns.push(Column::new("weight".into(), rows.iter().map(|row| row.votes).collect::<Vec<_>>()));
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
