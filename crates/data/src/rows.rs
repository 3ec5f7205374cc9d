//! The rows of a file one by one, whether it is text ([`camelid_files::records`]) or Parquet.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use camelid_files::json::Note;
use camelid_files::{BadRecord, Input, RawRecord, Record, Records, records};

use crate::report::named;
use crate::table::Table;
use crate::{DataError, LoadReport};

/// Rows of a file, read as they are asked for.
pub(crate) struct Rows {
    path: PathBuf,
    stem: String,
    source: Source,
    /// Rows that were looked at before they were asked for.
    ahead: VecDeque<Result<Record, BadRecord>>,
}

enum Source {
    Text(Records),
    Table(Table),
}

impl Rows {
    /// Opens a file, or standard input when `path` is `-`; text and Parquet are told apart by content.
    ///
    /// # Errors
    /// A file that is not there, is damaged or is no data; a Parquet file that cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let input = Input::open(path)?;
        let stem = if path == Path::new("-") { "stdin".to_string() } else { camelid_files::stem(path) };
        let path = input.path().to_path_buf();
        let source = if input.start().starts_with(b"PAR1") || path.extension().is_some_and(|e| e == "parquet")
        {
            Source::Table(Table::open(input)?)
        } else {
            Source::Text(Records::new(input)?)
        };
        Ok(Self { path, stem, source, ahead: VecDeque::new() })
    }

    /// The file, as messages name it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file was taken for, e.g. "a JSON array".
    pub(crate) fn shape(&self) -> String {
        match &self.source {
            Source::Text(records) => records.shape().to_string(),
            Source::Table(_) => "a Parquet table".to_string(),
        }
    }

    /// An id for a row that has none of its own: `<file stem>:<item or line>`.
    pub(crate) fn numbered(&self, place: records::Place) -> String {
        format!("{}:{}", self.stem, place.number())
    }

    /// Of a Parquet table only these columns are wanted; elsewhere nothing is left out.
    pub(crate) fn only(&mut self, columns: &[&str]) {
        if let Source::Table(table) = &mut self.source {
            table.only(columns);
        }
    }

    /// The first of several columns that a table (Parquet, separated values) lacks, as an error.
    pub(crate) fn require(&self, columns: &[&str]) -> Result<(), DataError> {
        let present: Vec<&str> = match &self.source {
            Source::Table(table) => table.columns().iter().map(String::as_str).collect(),
            Source::Text(records) => match records.columns() {
                Some(columns) => columns.iter().map(String::as_str).collect(),
                None => return Ok(()),
            },
        };
        match columns.iter().find(|column| !present.contains(column)) {
            None => Ok(()),
            Some(column) => Err(DataError::MissingColumn {
                path: self.path.clone(),
                column: column.to_string(),
                present: present.join(", "),
            }),
        }
    }

    /// Up to `count` sound rows from the front, which stay to be read.
    ///
    /// # Errors
    /// The file cannot be read that far.
    pub(crate) fn look(&mut self, count: usize) -> Result<Vec<Record>, DataError> {
        if let Source::Table(table) = &self.source {
            return table.look(count);
        }
        while self.ahead.len() < count {
            match self.read()? {
                Some(row) => self.ahead.push_back(row),
                None => break,
            }
        }
        Ok(self.ahead.iter().filter_map(|row| row.as_ref().ok()).cloned().collect())
    }

    /// What is wrong with the first of the rows looked at that cannot be read.
    pub(crate) fn first_bad(&self) -> Option<&BadRecord> {
        self.ahead.iter().find_map(|row| row.as_ref().err())
    }

    /// The next row, not parsed yet.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next_raw(&mut self) -> Result<Option<RawRecord>, DataError> {
        if let Some(row) = self.ahead.pop_front() {
            return Ok(Some(row.into()));
        }
        match &mut self.source {
            Source::Text(records) => Ok(records.next_raw()?),
            Source::Table(table) => Ok(table.next_record()?.map(|record| Ok(record).into())),
        }
    }

    fn read(&mut self) -> Result<Option<Result<Record, BadRecord>>, DataError> {
        match &mut self.source {
            Source::Text(records) => Ok(records.next_record()?),
            Source::Table(table) => Ok(table.next_record()?.map(Ok)),
        }
    }

    /// The next row that could be read; one that could not is counted as dropped. `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next_row(&mut self, report: &mut LoadReport) -> Result<Option<Record>, DataError> {
        loop {
            let row = match self.ahead.pop_front() {
                Some(row) => row,
                None => match self.read()? {
                    Some(row) => row,
                    None => return Ok(None),
                },
            };
            match row {
                Ok(record) => return Ok(Some(record)),
                Err(bad) => {
                    let item = named(&self.numbered(bad.place), bad.place, Some(bad.message));
                    report.drop_named("unreadable", item);
                }
            }
        }
    }
}

/// What was read although JSON proper does not hold it, in the words of reports.
pub(crate) fn in_words(note: Note) -> &'static str {
    match note {
        Note::Nonfinite => "NaN or Infinity, read as null",
        Note::LoneSurrogate => "half of a surrogate pair, read as U+FFFD",
    }
}
