//! Named columns of a Parquet file, through polars.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{DataFrame, DataType, ParquetReader, SerReader};

use crate::DataError;

/// A few columns of a Parquet file; the others are not decoded.
pub(crate) struct Columns<'a> {
    path: &'a Path,
    frame: DataFrame,
}

impl<'a> Columns<'a> {
    /// Reads `required` columns (a missing one is an error that names it) and
    /// those of `optional` that are there.
    pub(crate) fn read(path: &'a Path, required: &[&str], optional: &[&str]) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "open"))?;
        let damaged = |message: String| DataError::Parquet {
            path: path.to_path_buf(),
            message: format!("not a sound Parquet file: {message}"),
        };
        // polars answers some damaged files with a panic instead of an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut reader = ParquetReader::new(file);
            let present: Vec<String> = reader.schema()?.iter_names().map(|name| name.to_string()).collect();
            Ok::<_, polars::prelude::PolarsError>((reader, present))
        }));
        let (reader, present) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(damaged(error.to_string())),
            Err(_) => return Err(damaged("its metadata cannot be read".to_string())),
        };
        let has = |name: &str| present.iter().any(|p| p == name);
        if let Some(column) = required.iter().find(|name| !has(name)) {
            return Err(DataError::MissingColumn {
                path: path.to_path_buf(),
                column: column.to_string(),
                present: present.join(", "),
            });
        }
        let wanted: Vec<String> = required
            .iter()
            .chain(optional.iter().filter(|name| has(name)))
            .map(|name| name.to_string())
            .collect();
        let frame = catch_unwind(AssertUnwindSafe(|| reader.with_columns(Some(wanted)).finish()));
        match frame {
            Ok(Ok(frame)) => Ok(Self { path, frame }),
            Ok(Err(error)) => Err(damaged(error.to_string())),
            Err(_) => Err(damaged("a column cannot be decoded".to_string())),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.frame.height()
    }

    /// A text column; `None` where the cell is null. All `None` for an optional
    /// column that is not there.
    pub(crate) fn text(&self, name: &str) -> Result<Vec<Option<String>>, DataError> {
        let Ok(column) = self.frame.column(name) else {
            return Ok(vec![None; self.len()]);
        };
        let texts = column.str().map_err(|_| self.wrong_type(name, "text"))?;
        Ok(texts.iter().map(|t| t.map(str::to_string)).collect())
    }

    /// A whole-number column of any width.
    pub(crate) fn integers(&self, name: &str) -> Result<Vec<Option<i64>>, DataError> {
        let Ok(column) = self.frame.column(name) else {
            return Ok(vec![None; self.len()]);
        };
        let numeric = column.dtype().is_primitive_numeric() || column.dtype().is_null();
        let wide = numeric
            .then(|| column.cast(&DataType::Int64).ok())
            .flatten()
            .ok_or_else(|| self.wrong_type(name, "numbers"))?;
        let values = wide.i64().map_err(|_| self.wrong_type(name, "numbers"))?;
        Ok(values.iter().collect())
    }

    /// A true-or-false column.
    pub(crate) fn booleans(&self, name: &str) -> Result<Vec<Option<bool>>, DataError> {
        let Ok(column) = self.frame.column(name) else {
            return Ok(vec![None; self.len()]);
        };
        let values = column.bool().map_err(|_| self.wrong_type(name, "true/false"))?;
        Ok(values.iter().collect())
    }

    fn wrong_type(&self, name: &str, expected: &str) -> DataError {
        let found = self.frame.column(name).map_or_else(|_| String::new(), |c| c.dtype().to_string());
        DataError::Parquet {
            path: self.path.to_path_buf(),
            message: format!("column \"{name}\" should hold {expected}, it holds {found}"),
        }
    }
}
