//! What can go wrong before a rating exists, and rows that had to be left out.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Why battles could not be read or ratings not be computed.
#[derive(Debug, thiserror::Error)]
pub enum RatingsError {
    /// A file cannot be read.
    #[error("{path}: cannot read the battles: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file cannot be opened or unpacked.
    #[error(transparent)]
    File(#[from] camelid_files::FileError),
    /// A file is not what its name or the caller says it is.
    #[error("{path}: not a sound {expected} file: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The file's name has to say something and does not.
    #[error("{path}: the file's name does not say which models it compares; expected {expected}")]
    FileName {
        /// The file.
        path: PathBuf,
        /// The pattern of such names.
        expected: &'static str,
    },
    /// A column that every battle needs is not there.
    #[error("{origin}: no column `{column}`; there are: {present}")]
    MissingColumn {
        /// File or frame.
        origin: String,
        /// The column.
        column: &'static str,
        /// The columns there are.
        present: String,
    },
    /// A column holds values of the wrong kind.
    #[error("{origin}: column `{column}` holds {found}; expected {expected}")]
    WrongType {
        /// File or frame.
        origin: String,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// There is no battle to rate by.
    #[error("{origin}: no battles: {reason}")]
    Empty {
        /// File, frame or step.
        origin: String,
        /// Why there are none.
        reason: String,
    },
    /// All rows are of one model.
    #[error("{origin}: only one model, `{model}`; ratings compare at least two")]
    OneModel {
        /// File, frame or step.
        origin: String,
        /// The model.
        model: String,
    },
    /// A model that is asked for has no battle.
    #[error("there is no battle of model `{model}`; models: {present}")]
    UnknownModel {
        /// The model.
        model: String,
        /// The models there are.
        present: String,
    },
    /// A language, judge or turn that is asked for has no battle.
    #[error("no battle has the {what} `{name}`; {present}")]
    UnknownName {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// Which there are.
        present: String,
    },
    /// A setting lies outside its range.
    #[error("setting `{name}` is {found}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A table of counts, where votes are needed one by one.
    #[error(
        "a table of counts holds no single votes, and {what} needs them; a method for counts is bradley-terry, \
         davidson, rao-kupper or win-rate"
    )]
    Counted {
        /// What needs them.
        what: &'static str,
    },
    /// A value decides whether a row counts, and is not understood.
    #[error("{0}")]
    NotUnderstood(Box<RejectedRow>),
    /// Grades of single answers, which are no battles.
    #[error(
        "{origin}: these are grades of single answers, not battles of two; `camelid eval score mt-bench {origin}` \
         averages them"
    )]
    SingleGrades {
        /// The file.
        origin: String,
    },
    /// A large share of a file's rows are no battles.
    #[error("{origin}: {dropped} of {rows} rows are no battles, the first: {first}")]
    Dropped {
        /// The file.
        origin: String,
        /// Rows that are no battles.
        dropped: usize,
        /// All rows.
        rows: usize,
        /// The first of them.
        first: Box<RejectedRow>,
    },
    /// Style is to be controlled for, and battles carry no style features.
    #[error(
        "{without} of {battles} battles carry no style features; expected the columns length_a, length_b, \
         headers_a, … or FastChat's conv_metadata"
    )]
    NoStyle {
        /// Battles without them.
        without: usize,
        /// All battles.
        battles: usize,
    },
}

impl RatingsError {
    /// An error about a setting's value.
    pub(crate) fn setting(name: &'static str, found: impl fmt::Display, expected: &'static str) -> Self {
        Self::Setting { name, found: found.to_string(), expected }
    }
}

/// A row that is no battle: which, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// File or frame.
    pub origin: String,
    /// Its number among the records of its file, from 1 (a header is not counted).
    pub row: usize,
    /// The field that is wrong.
    pub field: String,
    /// What it holds, shortened.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl RejectedRow {
    /// A row that is wrong in `field`; where it stands is filled in by who reads it.
    pub fn new(field: &str, found: impl fmt::Display, expected: &str) -> Self {
        let found = found.to_string();
        let short: String = found.chars().take(60).collect();
        let found = if short.len() < found.len() { format!("{short}…") } else { short };
        Self { origin: String::new(), row: 0, field: field.to_owned(), found, expected: expected.to_owned() }
    }

    /// The same row, placed.
    pub fn at(mut self, origin: &str, row: usize) -> Self {
        origin.clone_into(&mut self.origin);
        self.row = row;
        self
    }
}

impl std::error::Error for RejectedRow {}

impl fmt::Display for RejectedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, row {}: `{}` is {}; expected {}",
            self.origin, self.row, self.field, self.found, self.expected
        )
    }
}
