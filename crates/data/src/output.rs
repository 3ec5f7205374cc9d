//! Rows written one by one, in the form that the ending of a file's name asks for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use camelid_files::{PackedFile, array_item};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, PolarsResult, Series};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::DataError;
use crate::table_file::TableFile;
use crate::write::turns;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON array, indented as Python's `json.dump` does it with `indent=2`.
    Array,
    /// A JSON object a line.
    Lines,
    /// Parquet: `id`, `conversations`, and the other fields of a row as JSON in `other`.
    Table,
}

impl Form {
    /// What the ending of the name says, that of compression aside; `-` is JSON lines.
    pub(crate) fn named(path: &Path) -> Result<Self, DataError> {
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
    pub(crate) fn row(self, row: &impl Serialize) -> Vec<u8> {
        match self {
            Self::Array => array_item(row),
            // JSON has a form for every row of data.
            Self::Lines | Self::Table => serde_json::to_vec(row).unwrap_or_default(),
        }
    }
}

/// Rows of a group in Parquet files.
const GROUP: usize = 4096;

/// A file in the making.
pub(crate) struct Output {
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
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        let form = Form::named(path)?;
        let writer = match form {
            _ if path == Path::new("-") => Writer::Stdout(io::stdout()),
            Form::Table => Writer::Table(Box::new(TableFile::create(path)?), Vec::new()),
            _ => Writer::File(Box::new(PackedFile::create(path)?)),
        };
        Ok(Self { path: path.to_owned(), form, writer, rows: 0 })
    }

    /// Writes one row.
    pub(crate) fn write(&mut self, row: Vec<u8>) -> Result<(), DataError> {
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
    pub(crate) fn finish(mut self) -> Result<(), DataError> {
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

#[cfg(test)]
mod tests {
    use camelid_files::Input;
    use serde_json::json;

    use super::*;

    fn written(name: &str, rows: &[Value]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let (form, mut output) = (Form::named(&path).unwrap(), Output::create(&path).unwrap());
        rows.iter().for_each(|row| output.write(form.row(row)).unwrap());
        assert!(!path.exists(), "nothing appears before the end");
        output.finish().unwrap();
        Input::open(&path).unwrap().text().unwrap()
    }

    #[test]
    fn the_ending_says_the_form() {
        let rows = [json!({"a": "x\ny"}), json!({"b": [2]})];
        for ending in ["", ".gz", ".zst"] {
            let lines = "{\"a\":\"x\\ny\"}\n{\"b\":[2]}\n";
            assert_eq!(written(&format!("rows.jsonl{ending}"), &rows), lines);
            let array = "[\n  {\n    \"a\": \"x\\ny\"\n  },\n  {\n    \"b\": [\n      2\n    ]\n  }\n]";
            assert_eq!(written(&format!("rows.json{ending}"), &rows), array);
            assert_eq!(written(&format!("none.json{ending}"), &[]), "[]");
        }
    }

    #[test]
    fn another_ending_is_refused_and_what_is_dropped_never_was() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["rows.csv", "rows.gz", "rows", "json", "rows.json.xz", "rows.parquet.gz"] {
            let error = Output::create(&folder.path().join(name)).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains(".jsonl"), "{error}");
        }
        let path = folder.path().join("rows.json.zst");
        Output::create(&path).unwrap().write(Form::Array.row(&json!({"a": 1}))).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
