//! Rows written one by one, in the form that the ending of a file's name asks for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::{FileError, PackedFile};

/// Endings that a [`RowWriter`] takes, each also with `.gz` or `.zst` behind it.
const ENDINGS: &str = ".json or .jsonl, alone or with .gz or .zst behind it";

/// A file of rows in the making, which appears whole on [`RowWriter::finish`] or not at all.
///
/// | ending | form |
/// |---|---|
/// | `.json` | one array, indented by two: the bytes of Python's `json.dump(rows, file, indent=2, ensure_ascii=False)` |
/// | `.jsonl` | a row a line |
/// | `.json.gz`, `.jsonl.zst`, … | the same, packed |
pub struct RowWriter {
    path: PathBuf,
    lines: bool,
    rows: u64,
    output: PackedFile,
}

impl RowWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// [`FileError::Content`] for another ending; as [`PackedFile::create`].
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let name = crate::name(path);
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let lines = name.ends_with(".jsonl");
        if !lines && !name.ends_with(".json") {
            let message = format!("the ending should be {ENDINGS}");
            return Err(FileError::Content { path: path.to_owned(), message });
        }
        let output = PackedFile::create(path)?;
        Ok(Self { path: path.to_owned(), lines, rows: 0, output })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// [`FileError::Io`] when the disk is full.
    pub fn write(&mut self, row: &impl Serialize) -> Result<(), FileError> {
        let first = self.rows == 0;
        self.rows += 1;
        let (lines, output) = (self.lines, &mut self.output);
        let write = || {
            if lines {
                serde_json::to_writer(&mut *output, row)?;
                return output.write_all(b"\n");
            }
            output.write_all(if first { b"[\n  " } else { b",\n  " })?;
            write_item(row, output)
        };
        write().map_err(FileError::io(&self.path, "write"))
    }

    /// Closes the array where there is one, and gives the file its name.
    ///
    /// # Errors
    /// As [`PackedFile::finish`].
    pub fn finish(mut self) -> Result<(), FileError> {
        let end: &[u8] = match (self.lines, self.rows) {
            (true, _) => b"",
            (false, 0) => b"[]",
            (false, _) => b"\n]",
        };
        self.output.write_all(end).map_err(FileError::io(&self.path, "write"))?;
        self.output.finish()
    }
}

/// A row as it stands in the array of a `.json` file, without what stands between rows: for writers
/// that give rows their form on several threads.
pub fn array_item(row: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes everything, and JSON has a form for every row of data.
    let _ = write_item(row, &mut bytes);
    bytes
}

fn write_item(row: &impl Serialize, output: impl Write) -> io::Result<()> {
    Ok(row.serialize(&mut Serializer::with_formatter(output, Python::item()))?)
}

/// JSON as Python writes it with an indent of two: serde's own form, but for the exponents of numbers.
struct Python(PrettyFormatter<'static>);

impl Python {
    /// For an item of an array, which stands one step in: serde counts from nothing, so that the
    /// writer's lines begin two spaces further right.
    fn item() -> Self {
        let mut formatter = PrettyFormatter::with_indent(b"  ");
        // The array around the item was opened by hand.
        let _ = formatter.begin_array(&mut io::sink());
        Self(formatter)
    }
}

impl Formatter for Python {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&exponent) || value == 0.0 {
            let plain = format!("{value}");
            return writer.write_all(if plain.contains('.') { plain } else { plain + ".0" }.as_bytes());
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(writer, "{digits}e{sign}{:02}", exponent.abs())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Input;

    fn written(name: &str, rows: &[Value]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut writer = RowWriter::create(&path).unwrap();
        rows.iter().for_each(|row| writer.write(row).unwrap());
        assert!(!path.exists(), "nothing appears before the end");
        writer.finish().unwrap();
        Input::open(&path).unwrap().text().unwrap()
    }

    #[test]
    fn an_array_has_the_bytes_that_python_writes() {
        let rows = [
            json!({"id": "é\u{7f}\u{1}\"\\/", "none": null, "empty": [[], {}], "turns": [{"a": [1, true]}]}),
            json!({"n": [1e16, 1.5e-5, 0.0001, -2.0, 0.1, 1e-7, 123456789012345680.0, -7, -0.0]}),
        ];
        // json.dump(rows, file, indent=2, ensure_ascii=False) of CPython 3.11.
        let expected = "[\n  {\n    \"id\": \"é\u{7f}\\u0001\\\"\\\\/\",\n    \"none\": null,\n    \"empty\": [\n      [],\n      {}\n    ],\n    \"turns\": [\n      {\n        \"a\": [\n          1,\n          true\n        ]\n      }\n    ]\n  },\n  {\n    \"n\": [\n      1e+16,\n      1.5e-05,\n      0.0001,\n      -2.0,\n      0.1,\n      1e-07,\n      1.2345678901234568e+17,\n      -7,\n      -0.0\n    ]\n  }\n]";
        assert_eq!(written("rows.json", &rows), expected);
        assert_eq!(written("rows.json.gz", &rows), expected);
        assert_eq!(written("rows.json.zst", &rows), expected);
        assert_eq!(written("none.json", &[]), "[]");
    }

    #[test]
    fn an_item_is_indented_as_in_its_array() {
        let value =
            json!({"a": [], "b": {}, "c": [1, "x\u{7f}\u{1}\u{2028}é\n\"\\"], "d": {"e": null, "f": true}});
        let expected = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x\u{7f}\\u0001\u{2028}é\\n\\\"\\\\\"\n  ],\n  \
                        \"d\": {\n    \"e\": null,\n    \"f\": true\n  }\n}";
        assert_eq!(String::from_utf8(array_item(&value)).unwrap(), expected.replace('\n', "\n  "));
    }

    #[test]
    fn floats_have_pythons_shortest_form() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (-2e-7, "-2e-07"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(String::from_utf8(array_item(&value)).unwrap(), expected);
        }
    }

    #[test]
    fn lines_hold_a_row_each() {
        let rows = [json!({"a": "x\ny"}), json!({"b": [2]})];
        for name in ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst"] {
            assert_eq!(written(name, &rows), "{\"a\":\"x\\ny\"}\n{\"b\":[2]}\n", "{name}");
        }
        assert_eq!(written("none.jsonl.gz", &[]), "");
    }

    #[test]
    fn another_ending_is_refused_and_what_is_dropped_never_was() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["rows.csv", "rows.gz", "rows", "json", "rows.json.xz"] {
            let error = RowWriter::create(&folder.path().join(name)).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains(".jsonl"), "{error}");
        }
        let mut writer = RowWriter::create(&folder.path().join("rows.json.zst")).unwrap();
        writer.write(&json!({"a": 1})).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
