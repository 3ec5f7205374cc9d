//! Rows of Parquet files and of Arrow's files and streams, through polars.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{
    AnyValue, DataFrame, IpcReader, IpcStreamReader, ParquetReader, PolarsResult, SerReader,
};
use serde_json::{Map, Number, Value};

/// Forms of a table in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableForm {
    /// Parquet.
    Parquet,
    /// Arrow's file, which Feather is too.
    ArrowFile,
    /// Arrow's stream, in which Hugging Face's `datasets` keeps its tables.
    ArrowStream,
}

impl TableForm {
    /// The form of `bytes`, if they are a table: told by how they begin.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        // Every message of a stream begins with this mark since Arrow 0.15, and no text does.
        const CONTINUATION: [u8; 4] = [0xff; 4];
        if bytes.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if bytes.starts_with(b"ARROW1") {
            Some(Self::ArrowFile)
        } else {
            bytes.starts_with(&CONTINUATION).then_some(Self::ArrowStream)
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet file",
            Self::ArrowFile => "Arrow file",
            Self::ArrowStream => "Arrow stream",
        }
    }

    fn frame(self, bytes: &[u8]) -> PolarsResult<DataFrame> {
        let bytes = Cursor::new(bytes);
        match self {
            Self::Parquet => ParquetReader::new(bytes).finish(),
            Self::ArrowFile => IpcReader::new(bytes).finish(),
            Self::ArrowStream => IpcStreamReader::new(bytes).finish(),
        }
    }

    /// The rows of a table.
    ///
    /// # Errors
    /// What is damaged, or which column holds a type that is not read.
    pub(super) fn rows(self, bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
        // polars answers some damaged files with a panic instead of an error.
        let frame = match catch_unwind(AssertUnwindSafe(|| self.frame(bytes))) {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return Err(format!("not a sound {}: {error}", self.name())),
            Err(_) => return Err(format!("not a sound {}", self.name())),
        };
        let mut rows = vec![Map::new(); frame.height()];
        for column in frame.columns() {
            let name = column.name().as_str();
            for (i, row) in rows.iter_mut().enumerate() {
                let cell = column.get(i).map_err(|error| format!("column `{name}`: {error}"))?;
                let value = value(&cell.into_static())
                    .ok_or_else(|| format!("column `{name}` holds {}, which is not read", column.dtype()))?;
                row.insert(name.to_owned(), value);
            }
        }
        Ok(rows)
    }
}

/// A cell as JSON; what JSON has no number for (NaN) is null.
fn value(cell: &AnyValue<'static>) -> Option<Value> {
    Some(match cell {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(b) => Value::Bool(*b),
        AnyValue::String(text) => Value::from(*text),
        AnyValue::StringOwned(text) => Value::from(text.as_str()),
        // pandas stores texts of a mixed column as bytes.
        AnyValue::BinaryOwned(bytes) => Value::from(String::from_utf8_lossy(bytes)),
        AnyValue::Float32(x) => Number::from_f64(f64::from(*x)).map_or(Value::Null, Value::Number),
        AnyValue::Float64(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
        AnyValue::UInt64(n) => Value::from(*n),
        AnyValue::List(items) => {
            let item = |i: usize| value(&items.get(i).ok()?.into_static());
            Value::Array((0..items.len()).map(item).collect::<Option<_>>()?)
        }
        AnyValue::StructOwned(parts) => {
            let (values, fields) = &**parts;
            let named =
                values.iter().zip(fields).map(|(v, field)| Some((field.name().to_string(), value(v)?)));
            Value::Object(named.collect::<Option<_>>()?)
        }
        other => Value::from(other.extract::<i64>()?),
    })
}
