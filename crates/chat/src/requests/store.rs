//! Replies on disk, each kept from the moment it arrives.
//!
//! A store is a file of JSON lines, `{"request": {…}, "reply": {…}}`. Lines are only ever added,
//! each with one write that is flushed to the disk before the next request of its thread begins.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::StopReason;

use super::error::StoreError;
use super::estimate::Measured;
use super::request::{ChatRequest, Reply};

/// How every line begins.
const BEGINNING: &[u8] = b"{\"request\":";

/// A line of a store that holds no usable reply. It stays in the file; its request, if it is
/// made again, will be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRow {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

/// What was found when a store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// Replies that can be used.
    pub replies: usize,
    /// Bytes of a last line that was cut off when a process was killed; they were dropped.
    pub torn_bytes: usize,
    /// Lines that hold no usable reply.
    pub damaged: Vec<DamagedRow>,
}

/// Replies by key, in a file of JSON lines.
#[derive(Debug)]
pub struct RequestStore {
    path: PathBuf,
    report: StoreReport,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// `None` for a store in memory.
    file: Option<File>,
    /// Bytes of whole lines.
    length: u64,
    replies: HashMap<String, Reply>,
    measured: Measured,
}

#[derive(Serialize)]
struct Row<'a> {
    request: &'a ChatRequest,
    reply: &'a Reply,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedRow {
    request: ChatRequest,
    reply: Reply,
}

impl RequestStore {
    /// Opens a store, or begins one where there is no file, and keeps other processes out of it
    /// while this lives. A last line that was cut off is dropped; [`RequestStore::report`] says so.
    ///
    /// # Errors
    /// [`StoreError`], naming the file. A file of another kind is left as it is.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |action| move |source| StoreError::Io { path: path.to_owned(), action, source };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed("open"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => failed("lock")(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;

        let (found, replies, measured) = read_rows(&bytes);
        if let (true, Some(problem)) = (replies.is_empty(), found.foreign) {
            return Err(StoreError::Foreign { path: path.to_owned(), problem });
        }
        let mut length = (bytes.len() - found.report.torn_bytes) as u64;
        file.set_len(length).map_err(failed("drop the torn line of"))?;
        if found.lacks_newline {
            file.write_all(b"\n").map_err(failed("end the last line of"))?;
            length += 1;
        }
        file.sync_all().map_err(failed("write"))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write"))?;
        Ok(Self {
            path: path.to_owned(),
            report: found.report,
            kept: Mutex::new(Kept { file: Some(file), length, replies, measured }),
        })
    }

    /// A store that is gone when this is: for models that cost nothing and reply the same again, where a
    /// flush to the disk for each reply would take longer than the replies.
    pub fn in_memory() -> Self {
        let kept = Kept { file: None, length: 0, replies: HashMap::new(), measured: Measured::default() };
        Self { path: PathBuf::new(), report: StoreReport::default(), kept: Mutex::new(kept) }
    }

    /// The file; empty for a store in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was found when the store was opened.
    pub fn report(&self) -> &StoreReport {
        &self.report
    }

    /// The reply to the request with this key, if it is stored.
    pub fn get(&self, key: &str) -> Option<Reply> {
        self.kept().replies.get(key).cloned()
    }

    /// Number of replies.
    pub fn len(&self) -> usize {
        self.kept().replies.len()
    }

    /// Whether there is no reply.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a reply: when this returns, it is on the disk, if the store is. Of two replies to one request the
    /// first stays, unless it is empty or was cut off.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, request: &ChatRequest, reply: &Reply) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if kept.replies.get(&reply.key).is_some_and(is_whole) {
            return Ok(());
        }
        let length = kept.length;
        if let Some(file) = &mut kept.file {
            let mut line = serde_json::to_vec(&Row { request, reply }).expect("a row is plain data");
            line.push(b'\n');
            let written = file.write_all(&line).and_then(|()| file.sync_data());
            if let Err(source) = written {
                // Half a line on a full disk must not spoil the line after it.
                let _ = file.set_len(length);
                return Err(StoreError::Io { path: self.path.clone(), action: "write", source });
            }
            kept.length += line.len() as u64;
        }
        kept.measured.add(request, reply);
        kept.replies.insert(reply.key.clone(), reply.clone());
        Ok(())
    }

    /// Tokens of what is stored of a model, by its name in requests, where its replies say: of prompts and of
    /// replies.
    pub fn tokens_of(&self, model: &str) -> (usize, usize) {
        self.kept().measured.tokens_of(model)
    }

    /// Lengths of what is stored.
    pub(super) fn measured(&self) -> Measured {
        self.kept().measured.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Found {
    report: StoreReport,
    /// Whether the last line is whole but for its end.
    lacks_newline: bool,
    /// What is wrong with the first line, if it is neither a row nor the beginning of one.
    foreign: Option<String>,
}

fn read_rows(bytes: &[u8]) -> (Found, HashMap<String, Reply>, Measured) {
    let mut found = Found::default();
    let mut replies = HashMap::new();
    let mut measured = Measured::default();
    let mut lines = HashMap::new();
    // A reply that a content filter stopped is none, and asked for again; older stores hold such.
    let stopped = |reply: &Reply| reply.reason == StopReason::ContentFilter;
    for (index, piece) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let whole = piece.ends_with(b"\n");
        let problem = match read_row(piece) {
            Ok(OwnedRow { request, reply }) => {
                found.lacks_newline = !whole;
                if stopped(&reply) {
                    continue;
                }
                match lines.get(&reply.key).filter(|_| replies.get(&reply.key).is_some_and(is_whole)) {
                    None => {
                        lines.insert(reply.key.clone(), index + 1);
                        measured.add(&request, &reply);
                        replies.insert(reply.key.clone(), reply);
                        continue;
                    }
                    Some(line) => format!("field `reply.key`: line {line} answers the same request"),
                }
            }
            Err(problem) => problem,
        };
        let begun = piece.starts_with(BEGINNING) || BEGINNING.starts_with(piece);
        if index == 0 && (whole || !begun) {
            found.foreign = Some(problem.clone());
        }
        if whole || found.lacks_newline {
            found.report.damaged.push(DamagedRow { line: index + 1, problem });
        } else {
            found.report.torn_bytes = piece.len();
        }
    }
    found.report.replies = replies.len();
    (found, replies, measured)
}

/// Whether a reply has a text and an end.
fn is_whole(reply: &Reply) -> bool {
    reply.reason != StopReason::Length && !reply.text.trim().is_empty()
}

fn read_row(line: &[u8]) -> Result<OwnedRow, String> {
    let row: OwnedRow = serde_json::from_slice(line)
        .map_err(|error| format!("{error}; expected a `request` and its `reply` as JSON"))?;
    let key = row.request.key();
    if row.reply.key != key {
        return Err(format!("field `reply.key` is {:?}; the key of its request is {key}", row.reply.key));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use crate::{GenerateOptions, Message, Role};

    use super::*;

    fn request(text: &str) -> ChatRequest {
        ChatRequest {
            model: "m".into(),
            messages: vec![Message::new(Role::User, text)],
            options: GenerateOptions::default(),
        }
    }

    fn reply(request: &ChatRequest) -> Reply {
        Reply {
            key: request.key(),
            text: format!("reply to\n{}", request.messages[0].content),
            reason: StopReason::TurnEnd,
            prompt_tokens: Some(3),
            new_tokens: None,
            model_version: Some("m-1".into()),
            own_temperature: false,
            unix_seconds: 1_700_000_000,
        }
    }

    /// A store's file with the replies to `a`, `b` and `c`.
    fn three(folder: &Path) -> PathBuf {
        let path = folder.join("of/replies.jsonl");
        let store = RequestStore::open(&path).unwrap();
        for text in ["a", "b", "c"] {
            store.put(&request(text), &reply(&request(text))).unwrap();
        }
        assert_eq!(store.len(), 3);
        path
    }

    #[test]
    fn replies_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = three(folder.path());
        let store = RequestStore::open(&path).unwrap();
        assert_eq!(store.report(), &StoreReport { replies: 3, ..Default::default() });
        assert_eq!(store.get(&request("b").key()), Some(reply(&request("b"))));
        assert_eq!(store.get(&request("d").key()), None);
        assert_eq!((store.tokens_of("m"), store.tokens_of("n")), ((9, 0), (0, 0)));
        // A second reply to the same request changes nothing.
        let before = fs::read(&path).unwrap();
        store.put(&request("a"), &Reply { text: "other".into(), ..reply(&request("a")) }).unwrap();
        assert_eq!(store.get(&request("a").key()), Some(reply(&request("a"))));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_store_in_memory_keeps_replies_without_a_file() {
        let store = RequestStore::in_memory();
        store.put(&request("a"), &reply(&request("a"))).unwrap();
        assert_eq!((store.len(), store.get(&request("a").key())), (1, Some(reply(&request("a")))));
        assert_eq!(store.get(&request("b").key()), None);
    }

    #[test]
    fn a_last_line_cut_off_anywhere_is_dropped_and_the_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = three(folder.path());
        let bytes = fs::read(&path).unwrap();
        let two = bytes.len() - bytes.split_inclusive(|b| *b == b'\n').next_back().unwrap().len();
        // Within the word `request`, right after it, within the text, one byte short.
        for end in [two + 1, two + 5, two + 11, (two + bytes.len()) / 2, bytes.len() - 2] {
            fs::write(&path, &bytes[..end]).unwrap();
            let store = RequestStore::open(&path).unwrap();
            let report = StoreReport { replies: 2, torn_bytes: end - two, damaged: Vec::new() };
            assert_eq!(store.report(), &report);
            store.put(&request("c"), &reply(&request("c"))).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        // Only the end of the line is missing: the reply is there.
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(RequestStore::open(&path).unwrap().report().replies, 3);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        // The only line was cut off.
        fs::write(&path, &bytes[..5]).unwrap();
        assert_eq!(RequestStore::open(&path).unwrap().report().torn_bytes, 5);
    }

    #[test]
    fn damaged_lines_are_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = three(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // Another question under the old key, nonsense, a field too many, the first line again.
        let moved = lines[1].replace("\"content\":\"b\"", "\"content\":\"B\"");
        let extra = lines[2].replacen("\"text\"", "\"note\":1,\"text\"", 1);
        let damaged = format!("{}\n{moved}\n]]\n{extra}\n{}\n", lines[0], lines[0]);
        fs::write(&path, &damaged).unwrap();
        let store = RequestStore::open(&path).unwrap();
        let report = store.report();
        assert_eq!((report.replies, report.torn_bytes), (1, 0));
        let problems: Vec<(usize, &str)> =
            report.damaged.iter().map(|row| (row.line, row.problem.as_str())).collect();
        assert_eq!(problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5]);
        for ((_, problem), part) in problems.iter().zip([
            "the key of its request is",
            "expected value",
            "unknown field `note`",
            "line 1 answers the same request",
        ]) {
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }

    #[test]
    fn a_reply_that_a_filter_stopped_is_lacking() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.jsonl");
        let stopped = Reply { reason: StopReason::ContentFilter, ..reply(&request("a")) };
        let line = serde_json::to_string(&Row { request: &request("a"), reply: &stopped }).unwrap();
        fs::write(&path, line + "\n").unwrap();
        let store = RequestStore::open(&path).unwrap();
        assert_eq!(store.get(&request("a").key()), None);
        store.put(&request("a"), &reply(&request("a"))).unwrap();
        drop(store);
        let store = RequestStore::open(&path).unwrap();
        assert_eq!((store.len(), store.report().damaged.len()), (1, 0));
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_unharmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for text in ["Dear diary", "Dear diary\n", "{\"a\": 1}\n{\"b\": 2"] {
            fs::write(&path, text).unwrap();
            let message = RequestStore::open(&path).unwrap_err().to_string();
            assert!(message.contains("notes.txt: not a store of replies: line 1"), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn only_one_may_have_a_store_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.jsonl");
        let store = RequestStore::open(&path).unwrap();
        assert!(matches!(RequestStore::open(&path), Err(StoreError::InUse { .. })));
        drop(store);
        assert!(RequestStore::open(&path).is_ok());
    }
}
