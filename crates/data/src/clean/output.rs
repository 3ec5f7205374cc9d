//! Where the kept conversations go.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use camelid_files::{PackedFile, array_item};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, PolarsResult, Series};
use serde_json::{Map, Value};

use super::table_file::TableFile;
use crate::DataError;
use crate::write::turns;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON array, indented as Python's `json.dump` does it with `indent=2`.
    Array,
    /// A JSON object a line.
    Lines,
    /// Parquet: `id`, `conversations`, and the other fields of a row as JSON in `other`.
    Table,
}

impl Form {
    /// What the ending of the name says, that of compression aside; `-` is JSON lines.
    pub(super) fn named(path: &Path) -> Result<Self, DataError> {
        let name = camelid_files::name(path);
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match plain.rsplit_once('.') {
            _ if name == "-" => Ok(Self::Lines),
            Some((_, "json")) => Ok(Self::Array),
            Some((_, "jsonl" | "ndjson")) => Ok(Self::Lines),
            Some((_, "parquet")) if plain == name => Ok(Self::Table),
            _ => Err(DataError::Option(format!(
                "{}: the ending should be .json or .jsonl, which .gz or .zst may follow, or .parquet",
                path.display()
            ))),
        }
    }

    /// A row as the file holds it, without what stands between rows.
    pub(super) fn row(self, row: &Value) -> Vec<u8> {
        match self {
            Self::Array => array_item(row),
            Self::Lines | Self::Table => row.to_string().into_bytes(),
        }
    }
}

/// Rows of a group in Parquet files.
const GROUP: usize = 4096;

/// A file in the making.
pub(super) struct Output {
    path: PathBuf,
    form: Form,
    writer: Writer,
    rows: u64,
}

enum Writer {
    File(Box<PackedFile>),
    Table(Box<TableFile>, Vec<Vec<u8>>),
    Stdout(io::Stdout),
}

impl Output {
    pub(super) fn create(path: &Path) -> Result<Self, DataError> {
        let form = Form::named(path)?;
        let writer = match form {
            _ if path == Path::new("-") => Writer::Stdout(io::stdout()),
            Form::Table => Writer::Table(Box::new(TableFile::create(path)?), Vec::new()),
            _ => Writer::File(Box::new(PackedFile::create(path)?)),
        };
        Ok(Self { path: path.to_owned(), form, writer, rows: 0 })
    }

    /// Writes one row.
    pub(super) fn write(&mut self, row: Vec<u8>) -> Result<(), DataError> {
        let (before, after): (&[u8], &[u8]) = match self.form {
            Form::Array if self.rows == 0 => (b"[\n  ", b""),
            Form::Array => (b",\n  ", b""),
            Form::Lines | Form::Table => (b"", b"\n"),
        };
        self.rows += 1;
        if let Writer::Table(file, group) = &mut self.writer {
            group.push(row);
            return if group.len() < GROUP { Ok(()) } else { file.write(frame(&std::mem::take(group))) };
        }
        [before, &row, after].into_iter().try_for_each(|part| self.put(part))
    }

    /// Makes the file appear.
    pub(super) fn finish(mut self) -> Result<(), DataError> {
        if self.form == Form::Array {
            self.put(if self.rows == 0 { b"[]" } else { b"\n]" })?;
        }
        match self.writer {
            Writer::File(file) => Ok(file.finish()?),
            Writer::Table(mut file, group) => {
                file.write(frame(&group))?;
                file.finish()
            }
            Writer::Stdout(mut out) => out.flush().map_err(DataError::io(&self.path, "write")),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let written = match &mut self.writer {
            Writer::File(file) => file.write_all(bytes),
            Writer::Stdout(out) => out.write_all(bytes),
            Writer::Table(..) => Ok(()),
        };
        written.map_err(DataError::io(&self.path, "write"))
    }
}

/// Rows, which are JSON, as columns.
fn frame(rows: &[Vec<u8>]) -> PolarsResult<DataFrame> {
    let mut ids: Vec<Option<String>> = Vec::with_capacity(rows.len());
    let mut lists: Vec<Series> = Vec::with_capacity(rows.len());
    let mut others: Vec<Option<String>> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut row: Map<String, Value> = serde_json::from_slice(row).unwrap_or_default();
        ids.push(match row.shift_remove("id") {
            Some(Value::String(id)) => Some(id),
            None | Some(Value::Null) => None,
            Some(id) => Some(id.to_string()),
        });
        lists.push(turns(&row.shift_remove("conversations").unwrap_or_default())?);
        others.push((!row.is_empty()).then(|| Value::Object(row).to_string()));
    }
    // An empty table has its columns too.
    let lists = match lists.is_empty() {
        true => Series::new("conversations".into(), vec![turns(&empty_turn())?]).head(Some(0)),
        false => Series::new("conversations".into(), lists),
    };
    let columns =
        vec![Column::new("id".into(), ids), lists.into_column(), Column::new("other".into(), others)];
    DataFrame::new(rows.len(), columns)
}

fn empty_turn() -> Value {
    serde_json::json!([{"from": "", "value": ""}])
}
