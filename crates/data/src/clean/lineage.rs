//! What became of every conversation, a row each.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_files::{FileError, PackedFile};
use polars::prelude::{Column, DataFrame, PolarsResult};
use serde::Serialize;

use super::personal::Masked;
use super::rule::Cut;
use crate::DataError;
use crate::table_file::TableFile;

/// What became of one conversation of the input.
#[derive(Debug, Serialize)]
pub(super) struct Fate<'a> {
    /// Its number in the file, from 1: the item of an array, the line of JSON lines.
    pub row: u64,
    /// Its id, where it has one.
    pub id: Option<&'a str>,
    /// Whether it is in the output.
    pub kept: bool,
    /// The rule that dropped it.
    pub rule: Option<&'a str>,
    /// The turn that broke the rule, from 1.
    pub turn: Option<usize>,
    /// Begin and end of the place in that turn, in characters.
    pub span: Option<[usize; 2]>,
    /// The particulars.
    pub detail: Option<&'a str>,
    /// The id of the conversation that it repeats.
    pub duplicate_of: Option<&'a str>,
    /// Questions with their answer, before and after.
    pub rounds_in: usize,
    pub rounds_out: usize,
    /// What was left out of a conversation that is kept.
    pub left_out: &'a [Cut],
    /// How many places of personal data were masked, where it is kept.
    pub masked: Option<&'a Masked>,
}

/// Rows of a group in Parquet files.
const GROUP: usize = 1 << 16;

/// A lineage file in the making: Parquet where its name ends so, else JSON lines.
pub(super) enum Lineage {
    Lines(PathBuf, Box<PackedFile>),
    Table(Box<TableFile>, Box<Group>),
}

impl Lineage {
    pub(super) fn create(path: &Path) -> Result<Self, FileError> {
        if path.extension().is_some_and(|ending| ending == "parquet") {
            return Ok(Self::Table(Box::new(TableFile::create(path)?), Box::default()));
        }
        Ok(Self::Lines(path.to_owned(), Box::new(PackedFile::create(path)?)))
    }

    pub(super) fn write(&mut self, fate: &Fate) -> Result<(), DataError> {
        match self {
            Self::Lines(path, file) => {
                let mut line = serde_json::to_vec(fate).unwrap_or_default();
                line.push(b'\n');
                file.write_all(&line).map_err(DataError::io(path, "write"))
            }
            Self::Table(file, group) => {
                group.push(fate);
                if group.row.len() < GROUP {
                    Ok(())
                } else {
                    file.write(std::mem::take(group.as_mut()).frame())
                }
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), DataError> {
        match self {
            Self::Lines(_, file) => Ok(file.finish()?),
            Self::Table(mut file, group) => {
                file.write(group.frame())?;
                file.finish()
            }
        }
    }
}

/// Rows as columns; what is left out and masked is JSON.
#[derive(Default)]
pub(super) struct Group {
    row: Vec<u64>,
    id: Vec<Option<String>>,
    kept: Vec<bool>,
    rule: Vec<Option<String>>,
    turn: Vec<Option<u64>>,
    span_begin: Vec<Option<u64>>,
    span_end: Vec<Option<u64>>,
    detail: Vec<Option<String>>,
    duplicate_of: Vec<Option<String>>,
    rounds_in: Vec<u64>,
    rounds_out: Vec<u64>,
    left_out: Vec<String>,
    masked: Vec<String>,
}

impl Group {
    fn push(&mut self, fate: &Fate) {
        let text = |text: Option<&str>| text.map(str::to_owned);
        self.row.push(fate.row);
        self.id.push(text(fate.id));
        self.kept.push(fate.kept);
        self.rule.push(text(fate.rule));
        self.turn.push(fate.turn.map(|turn| turn as u64));
        self.span_begin.push(fate.span.map(|[begin, _]| begin as u64));
        self.span_end.push(fate.span.map(|[_, end]| end as u64));
        self.detail.push(text(fate.detail));
        self.duplicate_of.push(text(fate.duplicate_of));
        self.rounds_in.push(fate.rounds_in as u64);
        self.rounds_out.push(fate.rounds_out as u64);
        self.left_out.push(serde_json::to_string(fate.left_out).unwrap_or_default());
        self.masked.push(serde_json::to_string(&fate.masked).unwrap_or_default());
    }

    fn frame(self) -> PolarsResult<DataFrame> {
        let columns = vec![
            Column::new("row".into(), &self.row),
            Column::new("id".into(), &self.id),
            Column::new("kept".into(), &self.kept),
            Column::new("rule".into(), &self.rule),
            Column::new("turn".into(), &self.turn),
            Column::new("span_begin".into(), &self.span_begin),
            Column::new("span_end".into(), &self.span_end),
            Column::new("detail".into(), &self.detail),
            Column::new("duplicate_of".into(), &self.duplicate_of),
            Column::new("rounds_in".into(), &self.rounds_in),
            Column::new("rounds_out".into(), &self.rounds_out),
            Column::new("left_out".into(), &self.left_out),
            Column::new("masked".into(), &self.masked),
        ];
        DataFrame::new(self.row.len(), columns)
    }
}
