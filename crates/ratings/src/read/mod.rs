//! Battles from files: tables, and the formats in which judgments were published.

mod alpaca_eval;
mod csv;
mod fields;
#[cfg(feature = "parquet")]
mod frame;
mod json;
mod mt_bench;
mod reviews;
mod sources;
mod table;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::battles::Battles;
use super::error::RatingsError;
use json::Records;

#[cfg(feature = "parquet")]
pub use frame::{from_frame, to_frame};
pub use reviews::{FileOrder, Order, Reviews, read_reviews};
pub use sources::{SourceFile, Sources, read_all};

/// Columns every battle needs.
const REQUIRED: [&str; 3] = ["model_a", "model_b", "winner"];

/// What a file of battles looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Columns `model_a`, `model_b`, `winner` and, where known, `question`, `judge`, `language`,
    /// `turn`, `timestamp` and style (`length_a` …) in Parquet, CSV, JSONL or a JSON array. FastChat's
    /// and Chatbot Arena's battle files are of this kind: `question_id`, `tstamp` and (in JSON)
    /// `conv_metadata` are understood, and votes that were not blind (`anony` false) are rejected.
    Battles,
    /// MT-bench pair judgments: both orders of two models in one record.
    MtBench,
    /// Reviews of QLoRA's evaluation or Vicuna's first tables: a score each, or 1, 2, 3; the file's
    /// name says which models.
    Reviews,
    /// AlpacaEval annotations: `preference` between `generator_1` and `generator_2`. Its annotator
    /// shuffles the outputs, so these battles say nothing about the position effect.
    AlpacaEval,
}

impl Format {
    /// The words of a report.
    pub fn words(self) -> &'static str {
        match self {
            Format::Battles => "battles",
            Format::MtBench => "MT-bench pair judgments",
            Format::Reviews => "reviews",
            Format::AlpacaEval => "AlpacaEval annotations",
        }
    }
}

/// Reads battles from a file whose format its content tells.
///
/// # Errors
/// [`RatingsError`] when the file cannot be read, is no table or JSON, lacks a column, or holds no
/// battle at all. Single rows that are no battle are noted in [`Battles::rejected`].
pub fn read(path: &Path) -> Result<Battles, RatingsError> {
    match extension(path).as_str() {
        "parquet" => read_parquet(path),
        "csv" => table::read_csv(path),
        _ => {
            let records = Records::read(path)?;
            let format = records.format();
            from_records(path, &records, format)
        }
    }
}

/// Reads battles from a file of the given format.
///
/// # Errors
/// As [`read`].
pub fn read_as(path: &Path, format: Format) -> Result<Battles, RatingsError> {
    match (format, extension(path).as_str()) {
        (Format::Battles, "parquet" | "csv") => read(path),
        _ => from_records(path, &Records::read(path)?, format),
    }
}

#[cfg(feature = "parquet")]
use frame::read_parquet;

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path) -> Result<Battles, RatingsError> {
    let message = "this build reads no Parquet; camelid-ratings has the feature `parquet` for it".to_owned();
    Err(RatingsError::Damaged { path: path.to_owned(), expected: "CSV or JSON", message })
}

fn from_records(path: &Path, records: &Records, format: Format) -> Result<Battles, RatingsError> {
    let battles = match format {
        Format::Battles => records.battles(|object, _, battles| fields::push(battles, object)),
        Format::MtBench => records.battles(|object, _, battles| mt_bench::push(battles, object)),
        Format::AlpacaEval => records.battles(|object, _, battles| alpaca_eval::push(battles, object)),
        Format::Reviews => reviews::read_one(path, records)?,
    };
    battles.check(&records.origin)?;
    Ok(battles)
}

fn extension(path: &Path) -> String {
    path.extension().map_or_else(String::new, |e| e.to_string_lossy().to_lowercase())
}

/// How a file is called in messages: its name without its folder.
fn origin(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
