//! Rows of every kind of file, damaged ones named, and the published sets read completely.

use std::fs;
use std::path::{Path, PathBuf};

use camelid_eval::tasks::{DataPlaces, Row, TaskError, read};
use camelid_tests::oracles;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tasks")
}

/// The rows of all files below `dir` that match.
fn rows(dir: &Path, pattern: &str, inner: Option<&str>) -> Result<Vec<Row>, TaskError> {
    let places = DataPlaces::open(&[dir.to_path_buf()])?;
    let files = places.find(pattern);
    assert!(!files.is_empty(), "{pattern} in {}", dir.display());
    let mut all = Vec::new();
    for file in files {
        all.extend(read(&file, inner)?);
    }
    Ok(all)
}

fn error(dir: &Path, pattern: &str) -> String {
    rows(dir, pattern, None).unwrap_err().to_string()
}

#[test]
fn an_arrow_stream_gives_the_rows_that_pyarrow_wrote() {
    let arrow = rows(&golden(), "kinds.arrow", None).unwrap();
    let json = rows(&golden(), "kinds.jsonl", None).unwrap();
    assert_eq!(arrow.len(), 11);
    for (a, j) in arrow.iter().zip(&json) {
        assert_eq!(a.number, j.number);
        assert_eq!(Value::from(a.fields.clone()), Value::from(j.fields.clone()), "{}", a.place);
    }
}

#[test]
fn a_damaged_arrow_stream_is_an_error_wherever_it_is_cut_or_changed() {
    let whole = fs::read(golden().join("kinds.arrow")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kinds.arrow");
    for len in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..len]).unwrap();
        if let Ok(found) = rows(dir.path(), "kinds.arrow", None) {
            // Only a cut between two messages leaves a sound stream.
            assert!(found.is_empty() || found.len() == 9, "{} rows after {len} bytes", found.len());
        }
    }
    // One byte wrong: rows or an error, never a panic.
    for at in (0..whole.len()).step_by(5) {
        let mut wrong = whole.clone();
        wrong[at] ^= 0xff;
        fs::write(&path, wrong).unwrap();
        let _ = rows(dir.path(), "kinds.arrow", None);
    }
}

#[test]
fn json_lines_arrays_gzip_and_text_are_told_apart() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"a\": 1}\n\n{\"a\": 2}\n";
    fs::write(dir.path().join("lines.jsonl"), lines).unwrap();
    fs::write(dir.path().join("array.json"), "[{\"a\": 1},\n {\"a\": 2}]").unwrap();
    fs::write(dir.path().join("marked.jsonl"), format!("\u{feff}\n{lines}")).unwrap();
    fs::write(dir.path().join("table.csv"), "\u{feff}a\r\n1\r\n2\r\n").unwrap();
    fs::write(dir.path().join("some.txt"), "\u{feff}plain\n").unwrap();
    fs::write(dir.path().join("wrapped.jsonl"), "{\"doc\": {\"a\": 1}}\n{\"doc\": {\"a\": 2}}").unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    fs::write(dir.path().join("packed.jsonl.gz"), &gzip).unwrap();
    for (pattern, inner) in [
        ("lines.jsonl", None),
        ("array.json", None),
        ("marked.jsonl", None),
        ("table.csv", None),
        ("packed.jsonl.gz", None),
        ("wrapped.jsonl", Some("doc")),
    ] {
        let found = rows(dir.path(), pattern, inner).unwrap();
        let values: Vec<_> = found.iter().map(|row| row.fields["a"].to_string().replace('"', "")).collect();
        assert_eq!(values, ["1", "2"], "{pattern}");
    }
    let places: Vec<String> =
        rows(dir.path(), "lines.jsonl", None).unwrap().into_iter().map(|row| row.place).collect();
    assert!(places[1].ends_with("lines.jsonl, row 3"), "{places:?}");
    assert_eq!(rows(dir.path(), "some.txt", None).unwrap()[0].fields["text"], "plain\n");

    fs::write(dir.path().join("cut.jsonl.gz"), &gzip[..gzip.len() - 9]).unwrap();
    assert!(error(dir.path(), "cut.jsonl.gz").contains("gzip"));
}

#[test]
fn damaged_rows_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, expected) in [
        ("cut.jsonl", "{\"a\": 1}\n{\"a\": ", "cut.jsonl, row 2"),
        ("list.jsonl", "{\"a\": 1}\n3\n", "row 2: is a number, expected a JSON object"),
        ("array.json", "[{\"a\": 1}, ", "not a JSON array"),
        ("bad.parquet", "PAR1 and no more", "Parquet"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
        let said = error(dir.path(), name);
        assert!(said.contains(expected) && said.contains(name), "{name}: {said}");
    }
    fs::write(dir.path().join("bytes.jsonl"), b"{\"a\": \"\xff\"}").unwrap();
    assert!(error(dir.path(), "bytes.jsonl").contains("UTF-8"));
    fs::write(dir.path().join("wrapped.jsonl"), "{\"a\": 1}").unwrap();
    let said = rows(dir.path(), "wrapped.jsonl", Some("doc")).unwrap_err().to_string();
    assert!(said.contains("no field `doc`; there are: a"), "{said}");
}

#[test]
fn lists_in_parquet_files_are_read() {
    use camelid_eval::tasks::{Record, to_frame};
    use camelid_report::write_parquet;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    let records = ["a", "b"].map(|id| Record {
        id: id.into(),
        choices: vec![id.into(), "x".into()],
        tokens: vec![3],
        ..Record::default()
    });
    write_parquet(&path, &mut to_frame(&records, &path).unwrap()).unwrap();
    let found = rows(dir.path(), "rows.parquet", None).unwrap();
    assert_eq!(found[1].fields["choices"], serde_json::json!(["b", "x"]));
    assert_eq!(found[0].fields["tokens"], serde_json::json!([3]));
    assert_eq!(found[0].fields["gold"], Value::Null);
}

#[test]
fn missing_places_are_named() {
    let error = DataPlaces::open(&[PathBuf::from("/nowhere/data")]).unwrap_err().to_string();
    assert!(error.contains("/nowhere/data"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let wheel = dir.path().join("a.whl");
    fs::write(&wheel, "no archive").unwrap();
    assert!(DataPlaces::open(&[wheel]).unwrap_err().to_string().contains("a.whl"));
}

#[test]
fn published_sets_are_read_completely() {
    let Some(folder) = oracles() else { return };
    for (pattern, count, field) in [
        ("gsm8k/test.jsonl", 1319, "answer"),
        ("gsm8k/train.jsonl", 7473, "answer"),
        ("HumanEval.jsonl.gz", 164, "entry_point"),
        ("oa_questions.jsonl", 953, "output"),
    ] {
        let found = rows(&folder, pattern, None).unwrap();
        assert_eq!(found.len(), count, "{pattern}");
        assert!(found.iter().all(|row| row.fields[field].is_string()), "{pattern}");
    }
}
