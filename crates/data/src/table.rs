//! The rows of a Parquet file, through polars.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use camelid_files::{Input, Packing, Place, Record};
use polars::io::mmap::MmapBytesReader;
use polars::prelude::{AnyValue, DataFrame, ParquetReader, PolarsResult, SerReader};
use serde_json::{Map, Value};

use crate::DataError;

type Reader = ParquetReader<Box<dyn MmapBytesReader>>;

/// A Parquet file, of which one group of rows is in memory. Columns are decoded when the first row is
/// asked for, only those that are wanted.
pub(crate) struct Table {
    path: PathBuf,
    bytes: Option<Arc<[u8]>>,
    columns: Vec<String>,
    wanted: Vec<String>,
    /// Rows of each group that is still to be decoded; `None` before the first is.
    groups: Option<VecDeque<usize>>,
    frame: DataFrame,
    /// The next row in the frame, and the rows of the groups before it.
    row: usize,
    before: usize,
}

impl Table {
    /// Reads the file's schema.
    pub(crate) fn open(input: Input) -> Result<Self, DataError> {
        let path = input.path().to_path_buf();
        // Standard input and compressed files cannot be read from their end, where Parquet begins.
        let direct = input.packing() == Packing::Plain && path.is_file();
        let bytes = if direct { None } else { Some(input.bytes()?.into()) };
        let mut table = Self {
            path,
            bytes,
            columns: Vec::new(),
            wanted: Vec::new(),
            groups: None,
            frame: DataFrame::empty(),
            row: 0,
            before: 0,
        };
        table.columns = table.guarded("its metadata cannot be read", |mut reader| {
            Ok(reader.schema()?.iter_names().map(ToString::to_string).collect())
        })?;
        table.wanted = table.columns.clone();
        Ok(table)
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Only these columns are decoded, as far as they are there.
    pub(crate) fn only(&mut self, columns: &[&str]) {
        if self.groups.is_none() {
            self.wanted.retain(|name| columns.contains(&name.as_str()));
        }
    }

    /// The first rows with all their columns; reading begins at the first row all the same.
    pub(crate) fn look(&self, count: usize) -> Result<Vec<Record>, DataError> {
        let first = |reader: Reader| reader.with_slice(Some((0, count))).finish();
        let frame = self.guarded("a column cannot be decoded", first)?;
        (0..frame.height()).map(|row| self.record(&frame, row)).collect()
    }

    /// The next row.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, DataError> {
        while self.row == self.frame.height() {
            let groups = match self.groups.take() {
                Some(groups) => groups,
                None => self.guarded("its metadata cannot be read", |mut reader| {
                    let groups = &reader.get_metadata()?.row_groups;
                    Ok(groups.iter().map(|group| group.num_rows()).collect())
                })?,
            };
            let Some(rows) = self.groups.insert(groups).pop_front() else { return Ok(None) };
            self.before += self.frame.height();
            self.row = 0;
            let slice = Some((self.before, rows));
            let wanted = Some(self.wanted.clone());
            let group = |reader: Reader| reader.with_slice(slice).with_columns(wanted).finish();
            self.frame = self.guarded("a column cannot be decoded", group)?;
        }
        self.row += 1;
        let mut record = self.record(&self.frame, self.row - 1)?;
        record.place = Place::Item((self.before + self.row) as u64);
        Ok(Some(record))
    }

    fn record(&self, frame: &DataFrame, row: usize) -> Result<Record, DataError> {
        let mut fields = Map::new();
        for column in frame.columns() {
            let value = column.get(row).map_err(|error| self.damaged(&error.to_string()))?;
            fields.insert(column.name().to_string(), json(&value));
        }
        Ok(Record { place: Place::Item(row as u64 + 1), fields, notes: Vec::new() })
    }

    /// Runs polars, which answers some damaged files with a panic instead of an error.
    fn guarded<T>(
        &self,
        otherwise: &str,
        run: impl FnOnce(Reader) -> PolarsResult<T>,
    ) -> Result<T, DataError> {
        let source: Box<dyn MmapBytesReader> = match &self.bytes {
            Some(bytes) => Box::new(Cursor::new(bytes.clone())),
            None => Box::new(File::open(&self.path).map_err(DataError::io(&self.path, "open"))?),
        };
        match catch_unwind(AssertUnwindSafe(|| run(ParquetReader::new(source)))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.damaged(&error.to_string())),
            Err(_) => Err(self.damaged(otherwise)),
        }
    }

    fn damaged(&self, message: &str) -> DataError {
        DataError::Parquet {
            path: self.path.clone(),
            message: format!("not a sound Parquet file: {message}"),
        }
    }
}

/// A cell as the JSON value that it would be in a text file.
fn json(value: &AnyValue) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(truth) => Value::Bool(*truth),
        AnyValue::String(text) => Value::String((*text).to_string()),
        AnyValue::StringOwned(text) => Value::String(text.to_string()),
        // pandas stores texts of a mixed column as bytes.
        AnyValue::Binary(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        AnyValue::BinaryOwned(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        AnyValue::UInt64(number) => Value::from(*number),
        AnyValue::Float32(number) => Value::from(*number),
        AnyValue::Float64(number) => Value::from(*number),
        AnyValue::List(items) => Value::Array(items.iter().map(|item| json(&item)).collect()),
        AnyValue::StructOwned(cells) => {
            let (values, names) = cells.as_ref();
            Value::Object(names.iter().zip(values).map(|(f, v)| (f.name().to_string(), json(v))).collect())
        }
        AnyValue::Struct(_, _, names) => Value::Object(
            names
                .iter()
                .zip(value._iter_struct_av())
                .map(|(f, v)| (f.name().to_string(), json(&v)))
                .collect(),
        ),
        other => match (other.get_str(), other.extract::<i64>().filter(|_| other.is_integer())) {
            // Texts of a dictionary, as pandas' categories are.
            (Some(text), _) => Value::String(text.to_string()),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::String(other.to_string()),
        },
    }
}
