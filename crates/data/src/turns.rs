//! A list of turns as conversations store it, whatever its keys are called.

use std::borrow::Cow;

use camelid_chat::{Message, Role};
use camelid_files::Record;
use serde_json::Value;

use crate::dialogue::{self, Change, Rules};
use crate::fields::{self, Fields, Problem, Short};
use crate::load::load;
use crate::report::Named;
use crate::rows::Rows;
use crate::{DataError, LoadReport, Loaded};

/// How a format calls its parts. The first name of each is the format's own; where another is met,
/// the report says so once.
pub(crate) struct Names {
    /// The list of turns.
    pub list: &'static [&'static str],
    /// Who speaks.
    pub speaker: &'static [&'static str],
    /// What is said.
    pub content: &'static [&'static str],
}

/// Fields that hold a list of turns, the usual one first, and within a turn who speaks and what is said.
pub(crate) const LISTS: [&str; 8] =
    ["conversations", "messages", "conversation", "dialogue", "dialog", "turns", "chat", "items"];
pub(crate) const SPEAKERS: [&str; 3] = ["from", "role", "speaker"];
pub(crate) const TEXTS: [&str; 3] = ["value", "content", "text"];

/// Fields with a conversation's id.
const ID: [&str; 2] = ["id", "conversation_id"];

/// Fields beside the turns that hold a system message.
const SYSTEM: [&str; 2] = ["system", "system_prompt"];

/// Fields of a row that would change what is said, and are not followed.
const LEFT_OUT_OF_ROWS: [&str; 5] = ["tools", "functions", "images", "videos", "audios"];

/// The same of a turn.
const LEFT_OUT_OF_TURNS: [&str; 5] = ["reasoning_content", "reasoning", "thinking", "images", "weight"];

/// Reads rows that each hold a list of turns; a file whose first row is itself a turn is one such list, and one
/// conversation.
pub(crate) fn read(mut rows: Rows, names: &Names, rules: Rules) -> Result<Loaded, DataError> {
    if rows.look(1)?.first().is_some_and(|record| turn_speaker(&record.fields).is_some()) {
        return read_one(rows, names, rules);
    }
    let columns = names.list.iter().copied().chain(SYSTEM).chain(LEFT_OUT_OF_ROWS).chain(ID);
    rows.only(&columns.collect::<Vec<_>>());
    let own_id = |record: &Record| ID.iter().find_map(|name| fields::id(&record.fields, name));
    load(rows, "conversations", own_id, |id, record, report| {
        let (messages, left_out) = messages(&record.fields, names, report)?;
        let (conversation, mut changes) = dialogue::conversation(id, messages, rules)?;
        changes.extend(left_out);
        Ok((conversation, changes))
    })
}

/// Reads the one conversation whose turns are the rows of a file. A row that cannot be read would leave a hole in it.
fn read_one(mut rows: Rows, names: &Names, rules: Rules) -> Result<Loaded, DataError> {
    let mut report = LoadReport::new("conversations");
    report.note("the file is one list of turns, read as one conversation".to_owned());
    let (id, mut turns) = (rows.stem().to_owned(), Vec::new());
    while let Some(record) = rows.next_row(&mut report)? {
        turns.push(Value::Object(record.fields));
    }
    if report.dropped_in_all() > 0 {
        return Ok(Loaded { conversations: Vec::new(), report });
    }
    let row: Fields = [(names.list[0].to_owned(), Value::Array(turns))].into_iter().collect();
    let read = messages(&row, names, &mut report).and_then(|(messages, left_out)| {
        let (conversation, mut changes) = dialogue::conversation(&id, messages, rules)?;
        changes.extend(left_out);
        Ok((conversation, changes))
    });
    let named = |detail| Named { id: id.clone(), detail, ..Named::default() };
    let conversations = match read {
        Ok((conversation, changes)) => {
            report.keep();
            changes.into_iter().for_each(|(what, detail)| report.change(&what, named(detail)));
            vec![conversation]
        }
        Err(problem) => {
            report.drop_named(&problem.reason, named(problem.detail));
            Vec::new()
        }
    };
    Ok(Loaded { conversations, report })
}

/// The messages of a row, and what was left out of them.
pub(crate) fn messages(
    row: &Fields,
    names: &Names,
    report: &mut LoadReport,
) -> Result<(Vec<Message>, Vec<Change>), Problem> {
    let Some((key, value)) = fields::first(row, names.list) else {
        let found = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Problem::with(format!("no `{}`", names.list[0]), format!("it has {found}")));
    };
    note_name(report, "turns", key, names.list);
    let turns = turns(key, value)?;
    let mut changes: Vec<Change> = Vec::new();
    let mut messages = Vec::with_capacity(turns.len() + 1);
    for (index, turn) in turns.iter().enumerate() {
        messages.push(message(turn, index + 1, names, report, &mut changes)?);
    }
    if let Some((key, value)) = fields::first(row, &SYSTEM) {
        let Value::String(system) = value else {
            return Err(Problem::field(key, Some(value), "a text"));
        };
        if messages.first().is_some_and(|first| first.role == Role::System) {
            if messages[0].content != *system && !system.trim().is_empty() {
                changes.push((format!("a system turn and `{key}`, which is left out").into(), None));
            }
        } else if !system.trim().is_empty() {
            messages.insert(0, Message::new(Role::System, system.clone()));
        }
    }
    for key in LEFT_OUT_OF_ROWS {
        if fields::get(row, key).is_some_and(is_something) {
            changes.push((format!("`{key}`, which are left out").into(), None));
        }
    }
    Ok((messages, changes))
}

/// Under which key a row that is itself a turn says who speaks.
pub(crate) fn turn_speaker(row: &Fields) -> Option<&'static str> {
    let (key, speaker) = fields::first(row, &SPEAKERS)?;
    // A message of a tree is none: what it answers stands elsewhere.
    let is_turn = fields::first(row, &LISTS).is_none()
        && fields::first(row, &TEXTS).is_some()
        && !row.contains_key("parent_id");
    Role::from_name(speaker.as_str()?).filter(|_| is_turn).map(|_| key)
}

/// Under which key the turns of a row, wherever they are, say who speaks.
pub(crate) fn speaker_key(row: &Fields) -> Option<&'static str> {
    let (key, value) = fields::first(row, &LISTS)?;
    let turns = turns(key, value).ok()?;
    let first = turns.first()?;
    SPEAKERS.into_iter().find(|key| first.contains_key(*key))
}

/// The list of turns of a row, under the name that it has there.
pub(crate) fn list(row: &Fields) -> Result<(&'static str, &Vec<Value>), Problem> {
    let expected = "a list of turns";
    match fields::first(row, &LISTS) {
        Some((name, Value::Array(list))) => Ok((name, list)),
        Some((name, other)) => Err(Problem::field(name, Some(other), expected)),
        None => Err(Problem::field(LISTS[0], row.get(LISTS[0]), expected)),
    }
}

/// The text of a turn under the first of several names, and that name.
pub(crate) fn text_of<'a>(
    turn: &'a Value,
    number: usize,
    names: &[&'static str],
) -> Result<(&'static str, &'a str), Problem> {
    let found = turn.as_object().and_then(|turn| fields::first(turn, names));
    match found {
        Some((name, Value::String(text))) => Ok((name, text)),
        found => {
            let (name, value) = found.unwrap_or((names[0], &turn[names[0]]));
            let detail = format!("in turn {number} it is {}", Short(value));
            Err(Problem::with(format!("`{name}` is not a text"), detail))
        }
    }
}

fn note_name(report: &mut LoadReport, what: &str, name: &str, names: &[&str]) {
    if name != names[0] {
        report.note(format!("{what} are read from `{name}` where there is no `{}`", names[0]));
    }
}

/// The turns as objects: a list of them, such a list as JSON text (in separated values), or an object
/// of lists, as columns of structs are sometimes stored.
pub(crate) fn turns<'a>(key: &str, value: &'a Value) -> Result<Vec<Cow<'a, Fields>>, Problem> {
    let wrong = || Problem::field(key, Some(value), "a list of turns");
    match value {
        Value::Array(items) => {
            let turn = |item: &'a Value| item.as_object().map(Cow::Borrowed).ok_or_else(wrong);
            items.iter().map(turn).collect()
        }
        Value::String(text) => {
            let parsed: Value = serde_json::from_str(text).map_err(|error| {
                Problem::with(
                    format!("`{key}` is not a list of turns"),
                    format!("a text that is no JSON: {error}"),
                )
            })?;
            match parsed {
                Value::String(_) => Err(wrong()),
                parsed => Ok(turns(key, &parsed)?.into_iter().map(|t| Cow::Owned(t.into_owned())).collect()),
            }
        }
        Value::Object(lists) => {
            let lists: Vec<(&String, &Vec<Value>)> = lists
                .iter()
                .map(|(name, list)| Some((name, list.as_array()?)))
                .collect::<Option<_>>()
                .ok_or_else(wrong)?;
            let length = lists.first().map_or(0, |(_, list)| list.len());
            if lists.iter().any(|(_, list)| list.len() != length) {
                return Err(wrong());
            }
            let turn = |index: usize| {
                Cow::Owned(lists.iter().map(|(name, list)| ((*name).clone(), list[index].clone())).collect())
            };
            Ok((0..length).map(turn).collect())
        }
        _ => Err(wrong()),
    }
}

fn message(
    turn: &Fields,
    number: usize,
    names: &Names,
    report: &mut LoadReport,
    changes: &mut Vec<Change>,
) -> Result<Message, Problem> {
    let calls = fields::first(turn, &["tool_calls", "function_call"]).is_some_and(|(_, v)| is_something(v));
    let (speaker_key, speaker) = match fields::first(turn, names.speaker) {
        Some((key, Value::String(name))) => (key, name.as_str()),
        Some((key, other)) => {
            let detail = format!("`{key}` of turn {number} is {}", Short(other));
            return Err(Problem::with("unknown speaker", detail));
        }
        None => {
            let detail = format!("turn {number} has no `{}`", names.speaker[0]);
            return Err(Problem::with("unknown speaker", detail));
        }
    };
    let Some(role) = Role::from_name(speaker) else {
        let tool = ["tool", "function", "ipython"].contains(&speaker) && names.speaker[0] == "role";
        let reason = if tool { TOOLS } else { "unknown speaker" };
        return Err(Problem::with(reason, format!("turn {number} is by {:?}", speaker)));
    };
    let Some((content_key, content)) = fields::first(turn, names.content) else {
        if calls {
            return Err(Problem::with(TOOLS, format!("turn {number} is a call without text")));
        }
        let key = names.content.iter().find(|key| turn.contains_key(**key));
        let detail = match key {
            Some(key) => format!("`{key}` of turn {number} is null"),
            None => format!("turn {number} has no `{}`", names.content[0]),
        };
        return Err(Problem::with("a turn without text", detail));
    };
    if calls {
        return Err(Problem::with(TOOLS, format!("turn {number} has calls beside its text")));
    }
    note_name(report, "speakers", speaker_key, names.speaker);
    note_name(report, "texts of turns", content_key, names.content);
    for key in LEFT_OUT_OF_TURNS {
        let of_weight = |value: &Value| key != "weight" || value.as_f64() == Some(0.0);
        if fields::get(turn, key).is_some_and(|value| is_something(value) && of_weight(value)) {
            changes.push((
                format!("`{key}` in a turn, which is left out").into(),
                Some(format!("turn {number}")),
            ));
        }
    }
    Ok(Message::new(role, content_text(content, content_key, number)?))
}

/// Reason for conversations with calls of tools, which have no place among three roles.
pub(crate) const TOOLS: &str = "tool messages";

/// A text, or the texts of a list of parts put together without anything between them, as chat
/// templates do it.
fn content_text(content: &Value, key: &str, number: usize) -> Result<String, Problem> {
    let no_text = |value: &Value| {
        Problem::with("a turn without text", format!("`{key}` of turn {number} is {}", Short(value)))
    };
    let parts = match content {
        Value::String(text) => return Ok(text.clone()),
        Value::Array(parts) => parts,
        other => return Err(no_text(other)),
    };
    let mut text = String::new();
    for part in parts {
        match part {
            Value::String(words) => text.push_str(words),
            Value::Object(part) => match (part.get("text"), part.get("type")) {
                (Some(Value::String(words)), _) => text.push_str(words),
                (_, Some(Value::String(kind))) => {
                    let detail = format!("turn {number} has a part of type {kind:?}");
                    return Err(Problem::with("a part that is no text", detail));
                }
                _ => return Err(no_text(content)),
            },
            other => return Err(no_text(other)),
        }
    }
    Ok(text)
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !matches!(text.trim(), "" | "[]" | "{}"),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}
