//! Columns of Parquet files whose types are seldom met: nested style, decimals, bytes, lists, and types
//! that polars does not have.

use std::path::{Path, PathBuf};

use camelid_ratings::{
    Battles, BradleyTerry, Needs, PairCounts, RatingsError, ReadOptions, Sources, Style, read_all,
};
use polars::prelude::{
    Column, DataFrame, DataType, IntoSeries, NamedFrom, ParquetWriter, Series, StructChunked, TimeUnit,
};

const ROWS: usize = 6;

fn battles() -> Vec<Column> {
    vec![
        Column::new("model_a".into(), ["x", "y", "z", "x", "y", "x"]),
        Column::new("model_b".into(), ["y", "z", "x", "y", "x", "z"]),
        Column::new("winner".into(), ["model_a", "model_b", "tie", "tie (bothbad)", "model_a", "model_b"]),
    ]
}

fn write(folder: &Path, more: Vec<Column>) -> PathBuf {
    let columns = battles().into_iter().filter(|c| more.iter().all(|m| m.name() != c.name()));
    let columns: Vec<Column> = columns.chain(more.iter().cloned()).collect();
    let mut frame = DataFrame::new(ROWS, columns).unwrap();
    let path = folder.join("votes.parquet");
    ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    path
}

fn sources(path: &Path, needs: Needs) -> Result<Sources, RatingsError> {
    read_all(&[path.to_owned()], &ReadOptions { format: None, needs }, |_| ())
}

fn ratings(battles: &Battles) -> Vec<f64> {
    BradleyTerry::default().fit(&PairCounts::new(battles).unwrap()).unwrap().ratings
}

fn structure(name: &str, fields: &[Series]) -> Series {
    StructChunked::from_series(name.into(), ROWS, fields.iter()).unwrap().into_series()
}

/// FastChat's `conv_metadata`, counts by kind.
fn metadata() -> Series {
    let number =
        |name: &str, of: fn(usize) -> i64| Series::new(name.into(), (0..ROWS).map(of).collect::<Vec<_>>());
    let kinds = |name: &str| {
        let (h1, h2) = (number("h1", |i| i as i64), number("h2", |_| 1));
        structure(name, &[h1, h2])
    };
    structure(
        "conv_metadata",
        &[
            number("sum_assistant_a_tokens", |i| 100 + i as i64),
            number("sum_assistant_b_tokens", |_| 50),
            kinds("header_count_a"),
            kinds("header_count_b"),
        ],
    )
}

#[test]
fn style_is_read_from_nested_columns_as_from_columns_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let needs = Needs { styles: true, ..Needs::default() };
    let style = |more| -> Vec<[Style; 2]> {
        let read = sources(&write(folder.path(), more), needs).unwrap();
        read.battles.rows().iter().map(|row| row.style.expect("a style")).collect()
    };
    let numbers =
        |name: &str, of: fn(usize) -> f32| Column::new(name.into(), (0..ROWS).map(of).collect::<Vec<_>>());
    let flat = style(vec![
        numbers("length_a", |i| 100.0 + i as f32),
        numbers("length_b", |_| 50.0),
        numbers("headers_a", |i| 1.0 + i as f32),
        numbers("headers_b", |i| 1.0 + i as f32),
    ]);
    assert_eq!(style(vec![metadata().into()]), flat);
}

#[test]
fn known_columns_of_any_type_are_not_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let right = ratings(&sources(&write(folder.path(), vec![]), Needs::default()).unwrap().battles);
    let ones = Series::new("turn".into(), [1_i64; ROWS]);
    let bytes: Vec<Vec<u8>> = (0..ROWS as u8).map(|i| vec![0xff, i]).collect();
    let words = Series::new("w".into(), ["a", "b"]);
    let columns: Vec<Column> = vec![
        ones.cast(&DataType::Decimal(10, 2)).unwrap().into(),
        ones.cast(&DataType::UInt8).unwrap().into(),
        ones.cast(&DataType::Time).unwrap().with_name("tstamp".into()).into(),
        ones.cast(&DataType::Duration(TimeUnit::Milliseconds)).unwrap().with_name("tstamp".into()).into(),
        Column::new("question_id".into(), bytes),
        Column::new("judge".into(), vec![words; ROWS]),
        metadata().with_name("language".into()).into(),
        Series::new_null("timestamp".into(), ROWS).into(),
    ];
    for column in columns {
        let (name, kind) = (column.name().clone(), column.dtype().clone());
        let read = sources(&write(folder.path(), vec![column]), Needs::default());
        let read = read.unwrap_or_else(|error| panic!("{name}, {kind}: {error}"));
        assert_eq!(ratings(&read.battles), right, "{name}, {kind}");
        let placed = read.notices.iter().all(|notice| notice.contains("votes.parquet, row 1"));
        assert!(placed, "{:?}", read.notices);
    }
}

/// `turn` as 16-bit floats, `question_id` as decimals of 40 digits, `judge` as objects and `language`
/// as lists of 16-bit floats: written by `benches/peers/parquet_golden.py`.
const UNUSUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/unusual_types.parquet");

#[test]
fn types_that_polars_lacks_are_left_out_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let right = ratings(&sources(&write(folder.path(), vec![]), Needs::default()).unwrap().battles);
    let read = sources(Path::new(UNUSUAL), Needs::default()).unwrap();
    assert_eq!(ratings(&read.battles), right);
    let notices = read.notices.join("\n");
    for name in ["turn", "question_id", "judge", "language"] {
        assert!(notices.contains(&format!("`{name}` was not understood in 6 rows")), "{notices}");
    }
    for (needs, name) in [
        (Needs { turns: true, ..Needs::default() }, "`turn`"),
        (Needs { questions: true, ..Needs::default() }, "`question_id`"),
    ] {
        let error = sources(Path::new(UNUSUAL), needs).err().expect("an error").to_string();
        assert!(error.contains(name) && error.contains("texts or numbers"), "{error}");
    }
}

#[test]
fn a_verdict_that_cannot_be_read_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let winner = metadata().with_name("winner".into());
    let error = sources(&write(folder.path(), vec![winner.into()]), Needs::default());
    let error = error.err().expect("an error").to_string();
    assert!(error.contains("winner") && error.contains("votes.parquet"), "{error}");
}
