//! Dialogues flattened into one text: `### Human: …### Assistant: …`.

use std::path::Path;

use camelid_chat::{Conversation, Role};
use serde::Deserialize;

use crate::parquet_file::Columns;
use crate::text_file::{self, stem};
use crate::{DataError, LoadReport, Loaded};

const HUMAN: &str = "### Human:";
const ASSISTANT: &str = "### Assistant:";

#[derive(Deserialize)]
struct TextRow {
    text: String,
}

#[derive(Deserialize)]
struct QuestionRow {
    input: String,
    output: String,
    #[serde(default)]
    message_id: Option<String>,
}

/// Reads `timdettmers/openassistant-guanaco`: a `text` column, JSON lines (or
/// `.gz`) or Parquet. Ids are `<file stem>:<line or row, from 1>`.
///
/// A dialogue may end with a human turn, as some of that data set's do; it
/// must have an answer somewhere.
///
/// # Errors
/// A line that is not JSON or lacks `text`, a damaged archive, a missing column,
/// a file without usable dialogues.
pub fn load_text(path: &Path) -> Result<Loaded, DataError> {
    let mut texts: Vec<(usize, String)> = Vec::new();
    if text_file::is_parquet(path)? {
        let cells = Columns::read(path, &["text"], &[])?.text("text")?;
        let filled = cells.into_iter().map(Option::unwrap_or_default);
        texts.extend(filled.enumerate().map(|(row, text)| (row + 1, text)));
    } else {
        text_file::for_each_json_line(path, |line, row: TextRow| texts.push((line, row.text)))?;
    }

    let name = stem(path);
    let mut report = LoadReport::new("rows");
    let mut conversations = Vec::new();
    for (line, text) in texts {
        let id = format!("{name}:{line}");
        match split(&text) {
            Ok(messages) if messages.iter().all(|(role, _)| *role != Role::Assistant) => {
                report.drop_item("no assistant turn", &id);
            }
            Ok(messages) => {
                report.keep();
                conversations.push(conversation(id, messages));
            }
            Err(reason) => report.drop_item(reason, &id),
        }
    }
    Loaded { conversations, report }.not_empty(path)
}

/// Reads QLoRA's `oa_questions.jsonl`: `input` is the dialogue so far and ends
/// with `### Assistant:`, `output` is the reply. Ids are the rows' `message_id`
/// where there is one, else `<file stem>:<line>`.
///
/// # Errors
/// A line that is not JSON or lacks a field, a file without usable dialogues.
pub fn load_questions(path: &Path) -> Result<Loaded, DataError> {
    let name = stem(path);
    let mut report = LoadReport::new("rows");
    let mut conversations = Vec::new();
    let mut seen = std::collections::HashSet::new();
    text_file::for_each_json_line(path, |line, row: QuestionRow| {
        let id = row.message_id.unwrap_or_else(|| format!("{name}:{line}"));
        if !seen.insert(id.clone()) {
            report.drop_item("duplicate message id", &id);
            return;
        }
        let Some(asked) = row.input.trim_end().strip_suffix(ASSISTANT) else {
            report.drop_item("input does not end with \"### Assistant:\"", &id);
            return;
        };
        let reply = row.output.trim();
        match split(asked) {
            Err(reason) => report.drop_item(reason, &id),
            Ok(_) if reply.is_empty() => report.drop_item("blank turn", &id),
            Ok(messages) if messages.last().is_none_or(|(role, _)| *role != Role::User) => {
                report.drop_item("roles do not alternate", &id);
            }
            Ok(mut messages) => {
                messages.push((Role::Assistant, reply));
                report.keep();
                conversations.push(conversation(id, messages));
            }
        }
    })?;
    Loaded { conversations, report }.not_empty(path)
}

/// Splits a flattened dialogue into trimmed turns. Text before the first marker
/// becomes a system message.
fn split(text: &str) -> Result<Vec<(Role, &str)>, &'static str> {
    let mut turns = Vec::new();
    let mut role = Role::System;
    let mut rest = text;
    loop {
        let next = [(HUMAN, Role::User), (ASSISTANT, Role::Assistant)]
            .into_iter()
            .filter_map(|(marker, role)| rest.find(marker).map(|at| (at, marker, role)))
            .min_by_key(|(at, _, _)| *at);
        let end = next.map_or(rest.len(), |(at, _, _)| at);
        let turn = rest[..end].trim();
        if role != Role::System || !turn.is_empty() {
            turns.push((role, turn));
        }
        let Some((at, marker, next_role)) = next else {
            break;
        };
        rest = &rest[at + marker.len()..];
        role = next_role;
    }

    let spoken = turns.iter().filter(|(role, _)| *role != Role::System);
    let alternates = spoken
        .enumerate()
        .all(|(i, (role, _))| *role == if i % 2 == 0 { Role::User } else { Role::Assistant });
    if turns.iter().all(|(role, _)| *role == Role::System) {
        Err("no \"### Human:\" turn")
    } else if !alternates {
        Err("roles do not alternate")
    } else if turns.iter().any(|(_, turn)| turn.is_empty()) {
        Err("blank turn")
    } else {
        Ok(turns)
    }
}

fn conversation(id: String, messages: Vec<(Role, &str)>) -> Conversation {
    let mut conversation = Conversation::new(id);
    for (role, content) in messages {
        conversation.push(role, content);
    }
    conversation
}
