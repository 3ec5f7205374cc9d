//! Battles from files: tables, and the formats in which judgments were published.

mod alpaca_eval;
mod battle;
mod fields;
#[cfg(feature = "parquet")]
mod frame;
mod mt_bench;
mod reviews;
mod rows;
mod sources;
mod style;
mod values;

use std::path::Path;

use camelid_files::Input;
use serde::{Deserialize, Serialize};

use crate::battles::Battles;
use crate::error::RatingsError;
use rows::{Rows, push_battle, unreadable};

#[cfg(feature = "parquet")]
pub use frame::{from_frame, to_frame};
pub use reviews::{FileOrder, Order, Reviews, read_reviews};
pub use sources::{MOST_DROPPED, ReadOptions, SourceFile, Sources, read_all};

/// Columns every battle needs.
const REQUIRED: [&str; 3] = ["model_a", "model_b", "winner"];

/// What a file of battles looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Columns `model_a`, `model_b`, `winner` and, where known, `question`, `judge`, `language`,
    /// `turn`, `timestamp`, `weight` and style (`length_a` …) in Parquet, CSV, TSV or JSON of any shape,
    /// also gzip or zstd. `winner` is a label or a model's name; `winner_model_a`, `winner_model_b` and
    /// `winner_tie` may stand in its place. FastChat's
    /// and Chatbot Arena's battle files are of this kind: `question_id`, `tstamp` and (in JSON)
    /// `conv_metadata` are understood, and votes that were not blind (`anony` false) are rejected.
    Battles,
    /// Counts of votes, a row a pair: `model_a`, `model_b`, `win_a`, `win_b` and, where known, `tie` and
    /// `both_bad`, in the same kinds of files. Nothing is expanded, and the order says nothing.
    Counts,
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
            Format::Counts => "counts of votes",
            Format::MtBench => "MT-bench pair judgments",
            Format::Reviews => "reviews",
            Format::AlpacaEval => "AlpacaEval annotations",
        }
    }
}

/// Fields that a reader of battles has to understand; others are read where they can be, and noted
/// where not ([`Battles::unread`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// The questions.
    pub questions: bool,
    /// The judges.
    pub judges: bool,
    /// The languages.
    pub languages: bool,
    /// The turns.
    pub turns: bool,
    /// The moments of the votes.
    pub timestamps: bool,
    /// Style of the answers; not read otherwise.
    pub styles: bool,
}

impl Needs {
    /// All fields.
    pub const ALL: Needs =
        Needs { questions: true, judges: true, languages: true, turns: true, timestamps: true, styles: true };
    /// No field, but style where it is there.
    const ANY: Needs = Needs {
        questions: false,
        judges: false,
        languages: false,
        turns: false,
        timestamps: false,
        styles: true,
    };
}

/// Whether a table with these columns says who won.
fn has_verdict(has: &dyn Fn(&str) -> bool) -> bool {
    has("winner") || (has("winner_model_a") && has("winner_model_b")) || (has("win_a") && has("win_b"))
}

/// Reads battles from a file whose format its content tells; `-` is standard input. Fields that a
/// row may lack are read where they are understood.
///
/// # Errors
/// [`RatingsError`] when the file cannot be read, is no table or JSON, lacks a column, or holds no
/// battle at all. Single rows that are no battle are noted in [`Battles::rejected`].
pub fn read(path: &Path) -> Result<Battles, RatingsError> {
    let opened = Opened::new(path, Needs::ANY)?;
    let format = opened.format();
    opened.battles(format, Needs::ANY)
}

/// Reads battles from a file of the given format.
///
/// # Errors
/// As [`read`].
pub fn read_as(path: &Path, format: Format) -> Result<Battles, RatingsError> {
    Opened::new(path, Needs::ANY)?.battles(format, Needs::ANY)
}

/// A file of battles that was opened and looked at.
enum Opened {
    /// Parquet, read.
    Table(String, Box<Battles>),
    /// Anything else, at its beginning.
    Rows(Box<Rows>),
}

impl Opened {
    fn new(path: &Path, needs: Needs) -> Result<Self, RatingsError> {
        let named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
        let kind = if named { "Parquet" } else { "JSON" };
        let input = Input::open(path).map_err(|error| unreadable(path, kind, error))?;
        let origin = origin(path);
        if input.start().starts_with(b"PAR1") {
            let battles = read_parquet(path, input, &origin, needs)?;
            return Ok(Self::Table(origin, Box::new(battles)));
        }
        if named && (!input.is_text() || b"PAR1".starts_with(input.start())) {
            let message = "it does not begin as Parquet does".to_owned();
            return Err(RatingsError::Damaged { path: path.to_owned(), expected: "Parquet", message });
        }
        Ok(Self::Rows(Box::new(Rows::new(input, origin)?)))
    }

    /// The format that the content tells.
    fn format(&self) -> Format {
        match self {
            Self::Table(_, battles) if battles.is_counted() => Format::Counts,
            Self::Table(..) => Format::Battles,
            Self::Rows(rows) => rows.format,
        }
    }

    fn battles(self, format: Format, needs: Needs) -> Result<Battles, RatingsError> {
        let (origin, battles) = match self {
            Self::Table(origin, battles) => (origin, *battles),
            Self::Rows(rows) => (rows.origin.clone(), from_rows(*rows, format, needs)?),
        };
        battles.check(&origin)?;
        Ok(battles)
    }
}

fn from_rows(rows: Rows, format: Format, needs: Needs) -> Result<Battles, RatingsError> {
    match format {
        Format::Battles | Format::Counts => rows.battles(push_battle(needs), true),
        Format::MtBench => rows.battles(|row, battles| mt_bench::push(battles, row), false),
        Format::AlpacaEval => rows.battles(|row, battles| alpaca_eval::push(battles, row), false),
        Format::Reviews => {
            let path = rows.path.clone();
            reviews::read_one(&path, rows)
        }
    }
}

#[cfg(feature = "parquet")]
use frame::read_parquet;

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path, _: Input, _: &str, _: Needs) -> Result<Battles, RatingsError> {
    let message = "this build reads no Parquet; camelid-ratings has the feature `parquet` for it".to_owned();
    Err(RatingsError::Damaged { path: path.to_owned(), expected: "CSV or JSON", message })
}

/// How a file is called in messages: its name without its folder.
fn origin(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { camelid_files::name(path) }
}
