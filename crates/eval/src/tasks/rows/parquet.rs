//! Rows of Parquet files, through polars.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{AnyValue, ParquetReader, SerReader};
use serde_json::{Map, Number, Value};

/// The rows of a file.
///
/// # Errors
/// What is damaged, or which column holds a type that is not read.
pub(super) fn rows(bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    // polars answers some damaged files with a panic instead of an error.
    let frame = catch_unwind(AssertUnwindSafe(|| ParquetReader::new(Cursor::new(bytes)).finish()));
    let frame = match frame {
        Ok(Ok(frame)) => frame,
        Ok(Err(error)) => return Err(format!("not a sound Parquet file: {error}")),
        Err(_) => return Err("not a sound Parquet file".into()),
    };
    let mut rows = vec![Map::new(); frame.height()];
    for column in frame.columns() {
        let name = column.name().as_str();
        for (i, row) in rows.iter_mut().enumerate() {
            let cell = column.get(i).map_err(|error| format!("column `{name}`: {error}"))?;
            let value = value(&cell)
                .ok_or_else(|| format!("column `{name}` holds {}, which is not read", column.dtype()))?;
            row.insert(name.to_owned(), value);
        }
    }
    Ok(rows)
}

fn value(cell: &AnyValue<'_>) -> Option<Value> {
    Some(match cell {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(b) => Value::Bool(*b),
        AnyValue::String(text) => Value::from(*text),
        AnyValue::StringOwned(text) => Value::from(text.as_str()),
        AnyValue::Float32(x) => Number::from_f64(f64::from(*x)).map_or(Value::Null, Value::Number),
        AnyValue::Float64(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
        AnyValue::List(items) => {
            Value::Array((0..items.len()).map(|i| value(&items.get(i).ok()?)).collect::<Option<_>>()?)
        }
        other => Value::from(other.extract::<i64>()?),
    })
}
