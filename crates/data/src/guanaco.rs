//! Dialogues flattened into one text: `### Human: …### Assistant: …`.

use std::collections::HashSet;
use std::path::Path;

use camelid_chat::{Message, Role};
use camelid_files::Record;

use crate::dialogue::{self, Rules};
use crate::fields::{self, Fields, Problem};
use crate::load::{Converted, load, not_empty};
use crate::rows::Rows;
use crate::{DataError, Loaded};

const HUMAN: &str = "### Human:";
const ASSISTANT: &str = "### Assistant:";

/// Reads `timdettmers/openassistant-guanaco`: a `text` field or column. Ids are
/// `<file stem>:<line or row, from 1>`.
///
/// A dialogue may end with a human turn, as some of that data set's do; it
/// must have an answer somewhere.
///
/// # Errors
/// A damaged file, a table without the column, a file without usable dialogues.
pub fn load_text(path: &Path) -> Result<Loaded, DataError> {
    not_empty(read_text(Rows::open(path)?, Rules::default())?, path)
}

fn read_text(mut rows: Rows, rules: Rules) -> Result<Loaded, DataError> {
    rows.require(&["text"])?;
    rows.only(&["text"]);
    let no_id = |_: &Record| None;
    load(rows, "rows", no_id, |id, record, _| {
        let text = fields::optional_text(&record.fields, "text")?.unwrap_or_default();
        dialogue::conversation(id, split(&text)?, rules)
    })
}

/// Reads QLoRA's `oa_questions.jsonl`: `input` is the dialogue so far and ends
/// with `### Assistant:`, `output` is the reply. Ids are the rows' `message_id`
/// where there is one, else `<file stem>:<line>`.
///
/// # Errors
/// A damaged file, a file without usable dialogues.
pub fn load_questions(path: &Path) -> Result<Loaded, DataError> {
    not_empty(read_questions(Rows::open(path)?, Rules::default())?, path)
}

fn read_questions(mut rows: Rows, rules: Rules) -> Result<Loaded, DataError> {
    rows.require(&["input", "output"])?;
    rows.only(&["input", "output", "message_id"]);
    let mut seen = HashSet::new();
    let own_id = |record: &Record| fields::id(&record.fields, "message_id");
    load(rows, "rows", own_id, |id, record, _| {
        if fields::id(&record.fields, "message_id").is_some_and(|own| !seen.insert(own)) {
            return Err(Problem::new("duplicate message id"));
        }
        question(id, &record.fields, rules)
    })
}

fn question(id: &str, row: &Fields, rules: Rules) -> Converted {
    let (input, output) = (fields::text(row, "input")?, fields::text(row, "output")?);
    let Some(asked) = input.trim_end().strip_suffix(ASSISTANT) else {
        return Err(Problem::new("input does not end with \"### Assistant:\""));
    };
    let mut messages = split(asked)?;
    messages.push(Message::new(Role::Assistant, output.trim()));
    dialogue::conversation(id, messages, rules)
}

/// Whether a row is a flattened dialogue, of either kind.
pub(crate) fn fits(row: &Fields) -> bool {
    let has = |name: &str, marker: &str| {
        row.get(name).and_then(|value| value.as_str()).is_some_and(|text| text.contains(marker))
    };
    has("text", HUMAN) || is_question(row)
}

fn is_question(row: &Fields) -> bool {
    let ends = |text: &str| text.contains(HUMAN) && text.trim_end().ends_with(ASSISTANT);
    row.contains_key("output") && row.get("input").and_then(|value| value.as_str()).is_some_and(ends)
}

/// Reads either kind, told by the first rows.
pub(crate) fn read(mut rows: Rows, rules: Rules) -> Result<Loaded, DataError> {
    let questions = rows.look(8)?.iter().any(|record| is_question(&record.fields));
    if questions { read_questions(rows, rules) } else { read_text(rows, rules) }
}

/// Splits a flattened dialogue into trimmed turns. Text before the first marker
/// becomes a system message.
fn split(text: &str) -> Result<Vec<Message>, Problem> {
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
            turns.push(Message::new(role, turn));
        }
        let Some((at, marker, next_role)) = next else {
            break;
        };
        rest = &rest[at + marker.len()..];
        role = next_role;
    }
    if turns.iter().all(|turn| turn.role == Role::System) {
        return Err(Problem::new("no \"### Human:\" turn"));
    }
    Ok(turns)
}
