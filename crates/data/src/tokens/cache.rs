//! The Parquet files that keep tokenised sets.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use camelid_chat::{Conversation, Template};
use camelid_files::{digest, write_whole};
use polars::prelude::{
    Column, DataFrame, DataType, Int64Type, IntoColumn, KeyValueMetadata, ListBuilderTrait,
    ListPrimitiveChunkedBuilder, ParquetReader, ParquetWriter, PolarsNumericType, PolarsResult, SerReader,
    UInt32Type,
};
use tokenizers::Tokenizer;

use super::{Example, TokenReport, TokenizeOptions, TokenizedSet};
use crate::DataError;

/// Part of every key: change it when the contents of the files change.
const FORMAT: &str = "camelid tokens 2";

/// Metadata key under which a file keeps its [`TokenReport`].
const REPORT_KEY: &str = "camelid.report";

/// How a cached set came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It was read from this file.
    Hit(PathBuf),
    /// It was built, and written to this file.
    Built(PathBuf),
    /// A file was there but damaged; it was removed, and the set built anew.
    Rebuilt {
        /// The new file.
        path: PathBuf,
        /// What was wrong with the old one.
        note: String,
    },
}

pub(super) fn load_or_build(
    dir: &Path,
    conversations: &[Conversation],
    tokenizer: &Tokenizer,
    template: &Template,
    options: &TokenizeOptions,
) -> Result<(TokenizedSet, CacheOutcome), DataError> {
    fs::create_dir_all(dir).map_err(DataError::io(dir, "create"))?;
    let key = key(conversations, tokenizer, template, options)?;
    let mut note = None;
    for path in files_of(dir, &key)? {
        match read(&path, &key) {
            Ok(set) => return Ok((set, CacheOutcome::Hit(path))),
            Err(message) => {
                note = Some(format!("{}: {message}; built anew", path.display()));
                fs::remove_file(&path).map_err(DataError::io(&path, "remove"))?;
            }
        }
    }
    let set = TokenizedSet::build(conversations, tokenizer, template, options)?;
    let path = write(dir, &key, &set)?;
    let outcome = match note {
        Some(note) => CacheOutcome::Rebuilt { path, note },
        None => CacheOutcome::Built(path),
    };
    Ok((set, outcome))
}

/// SHA-256 over all that decides the ids and labels, each part with its length.
fn key(
    conversations: &[Conversation],
    tokenizer: &Tokenizer,
    template: &Template,
    options: &TokenizeOptions,
) -> Result<String, DataError> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| DataError::Option(format!("cache key: {error}")))
    };
    let mut sum = digest::Sum::default();
    let mut part = |bytes: &[u8]| {
        sum.add((bytes.len() as u64).to_le_bytes()).add(bytes);
    };
    part(FORMAT.as_bytes());
    part(template.name().as_bytes());
    part(template.definition().as_bytes());
    part(tokenizer.to_string(false).map_err(|error| DataError::Tokenizer(error.to_string()))?.as_bytes());
    part(json(serde_json::to_string(options))?.as_bytes());
    // A template may carry special tokens of its own, which its definition does
    // not show: the first conversation's ids do.
    if let Some(first) = conversations.first() {
        let encoded = template.encode(first, tokenizer, false)?;
        part(format!("{:?} {:?}", encoded.ids, encoded.spans).as_bytes());
    }
    for conversation in conversations {
        part(json(serde_json::to_string(conversation))?.as_bytes());
    }
    Ok(sum.finish())
}

/// The files named `tokens-<key>-<SHA-256 of the file>.parquet`.
fn files_of(dir: &Path, key: &str) -> Result<Vec<PathBuf>, DataError> {
    let prefix = format!("tokens-{key}-");
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io(dir, "read"))? {
        let entry = entry.map_err(DataError::io(dir, "read"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(".parquet") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(key: &str, bytes: &[u8]) -> String {
    format!("tokens-{key}-{}.parquet", digest::of_bytes(bytes))
}

fn write(dir: &Path, key: &str, set: &TokenizedSet) -> Result<PathBuf, DataError> {
    let failed = |message: String| DataError::Parquet {
        path: dir.to_path_buf(),
        message: format!("the token cache cannot be encoded: {message}"),
    };
    let report = serde_json::to_string(&set.report).map_err(|e| failed(e.to_string()))?;
    let mut bytes = Vec::new();
    frame(set)
        .and_then(|mut frame| {
            ParquetWriter::new(&mut bytes)
                .with_key_value_metadata(Some(KeyValueMetadata::from_static(vec![(
                    REPORT_KEY.to_string(),
                    report,
                )])))
                .finish(&mut frame)
        })
        .map_err(|error| failed(error.to_string()))?;

    let path = dir.join(file_name(key, &bytes));
    write_whole(&path, &bytes)?;
    Ok(path)
}

fn frame(set: &TokenizedSet) -> PolarsResult<DataFrame> {
    let names: Vec<&str> = set.examples.iter().map(|e| e.id.as_str()).collect();
    let ids = set.examples.iter().map(|e| e.ids.as_slice());
    let labels = set.examples.iter().map(|e| e.labels.as_slice());
    DataFrame::new(
        set.examples.len(),
        vec![
            Column::new("id".into(), names),
            lists::<UInt32Type>("ids", DataType::UInt32, ids),
            lists::<Int64Type>("labels", DataType::Int64, labels),
        ],
    )
}

fn lists<'a, T: PolarsNumericType>(
    name: &str,
    inner: DataType,
    rows: impl ExactSizeIterator<Item = &'a [T::Native]>,
) -> Column {
    let mut builder = ListPrimitiveChunkedBuilder::<T>::new(name.into(), rows.len(), 0, inner);
    for row in rows {
        builder.append_slice(row);
    }
    builder.finish().into_column()
}

/// The set in a file, or what is wrong with it.
fn read(path: &Path, key: &str) -> Result<TokenizedSet, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if path.file_name() != Some(file_name(key, &bytes).as_ref()) {
        return Err("its SHA-256 is not the one in its name".to_string());
    }
    // The bytes are those written; a panic of the decoder is still no reason to
    // end the program when the set can be built anew.
    catch_unwind(AssertUnwindSafe(|| decode(bytes)))
        .unwrap_or_else(|_| Err("it cannot be decoded".to_string()))
}

fn decode(bytes: Vec<u8>) -> Result<TokenizedSet, String> {
    let text = |error: polars::prelude::PolarsError| error.to_string();
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let metadata = reader.get_metadata().map_err(text)?;
    let report = metadata
        .key_value_metadata()
        .iter()
        .flatten()
        .find(|pair| pair.key == REPORT_KEY)
        .and_then(|pair| pair.value.as_deref())
        .ok_or("it lacks its report")?;
    let report: TokenReport = serde_json::from_str(report).map_err(|error| error.to_string())?;

    let frame = reader.finish().map_err(text)?;
    let names = frame.column("id").and_then(|c| c.str()).map_err(text)?;
    let ids = frame.column("ids").and_then(|c| c.list()).map_err(text)?;
    let labels = frame.column("labels").and_then(|c| c.list()).map_err(text)?;
    let mut examples = Vec::with_capacity(frame.height());
    for row in 0..frame.height() {
        let (Some(id), Some(ids), Some(labels)) =
            (names.get(row), ids.get_as_series(row), labels.get_as_series(row))
        else {
            return Err(format!("row {row} is incomplete"));
        };
        examples.push(Example {
            id: id.to_string(),
            ids: ids.u32().map_err(text)?.iter().flatten().collect(),
            labels: labels.i64().map_err(text)?.iter().flatten().collect(),
        });
    }
    Ok(TokenizedSet { examples, report })
}
