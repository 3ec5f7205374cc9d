//! Finished examples on disk, so that a run that was broken off goes on where it stopped.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TaskError;
use super::record::Record;

/// A JSON-lines file: the settings that determine every record, then one record a line.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    finished: HashMap<String, Record>,
}

/// Its first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    settings: BTreeMap<String, String>,
}

impl Journal {
    /// Opens the journal at `path`, or begins it. A last line that was not written whole is
    /// dropped.
    ///
    /// # Errors
    /// [`TaskError::OtherSettings`] when it was begun with other settings, [`TaskError::Row`]
    /// for a damaged line, [`TaskError::Io`].
    pub(super) fn open(path: &Path, settings: BTreeMap<String, String>) -> Result<Self, TaskError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(TaskError::io(path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(TaskError::io(path))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(TaskError::io(path))?;
        file.seek(SeekFrom::Start(whole as u64)).map_err(TaskError::io(path))?;
        let mut journal = Self { path: path.to_path_buf(), file, finished: HashMap::new() };
        let head = Head { settings };
        let mut lines = bytes[..whole].split(|b| *b == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
        match lines.next() {
            None => journal.append(&head)?,
            Some((line, n)) => {
                let there: Head = journal.parse(line, n)?;
                if there != head {
                    return Err(TaskError::OtherSettings {
                        path: path.to_path_buf(),
                        there: differing(&there.settings, &head.settings),
                        now: differing(&head.settings, &there.settings),
                    });
                }
            }
        }
        for (line, n) in lines {
            let record: Record = journal.parse(line, n)?;
            journal.finished.insert(record.id.clone(), record);
        }
        Ok(journal)
    }

    /// The record of an example that is finished.
    pub(super) fn finished(&self, id: &str) -> Option<&Record> {
        self.finished.get(id)
    }

    /// Adds a finished example.
    ///
    /// # Errors
    /// [`TaskError::Io`].
    pub(super) fn push(&mut self, record: &Record) -> Result<(), TaskError> {
        self.append(record)
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), TaskError> {
        let line = serde_json::to_string(value)
            .map_err(|e| TaskError::Table { path: self.path.clone(), message: e.to_string() })?;
        // One write a line: a crash leaves at most one line that is not whole.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(TaskError::io(&self.path))
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, line: &[u8], n: usize) -> Result<T, TaskError> {
        serde_json::from_slice(line).map_err(|error| TaskError::Row {
            place: format!("{}, line {n}", self.path.display()),
            problem: format!("not a line of finished examples: {error}"),
        })
    }
}

/// The settings of `these` that `those` do not share.
fn differing(these: &BTreeMap<String, String>, those: &BTreeMap<String, String>) -> String {
    let different: Vec<String> = these
        .iter()
        .filter(|(key, value)| those.get(*key) != Some(value))
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    if different.is_empty() { "nothing besides".into() } else { different.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(shots: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("task".into(), "t v1".into()), ("shots".into(), shots.into())])
    }

    fn record(id: &str) -> Record {
        Record { id: id.into(), log_likelihoods: vec![-0.1], ..Record::default() }
    }

    #[test]
    fn finished_examples_come_back_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.rows.jsonl");
        let mut journal = Journal::open(&path, settings("0")).unwrap();
        journal.push(&record("a")).unwrap();
        journal.push(&record("b")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();

        let mut journal = Journal::open(&path, settings("0")).unwrap();
        assert_eq!(journal.finished("a"), Some(&record("a")));
        assert_eq!(journal.finished("b"), None);
        journal.push(&record("c")).unwrap();
        let journal = Journal::open(&path, settings("0")).unwrap();
        assert!(journal.finished("a").is_some() && journal.finished("c").is_some());
    }

    #[test]
    fn other_settings_and_damaged_lines_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.rows.jsonl");
        Journal::open(&path, settings("0")).unwrap();
        let error = Journal::open(&path, settings("5")).unwrap_err().to_string();
        assert!(error.contains("shots 0; now shots 5"), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + "{\"id\": 3}\n").unwrap();
        let error = Journal::open(&path, settings("0")).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
