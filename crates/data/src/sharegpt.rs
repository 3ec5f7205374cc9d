//! ShareGPT's `conversations` of `from` / `value` turns, taken as they are.

use std::collections::HashSet;
use std::path::Path;

use camelid_chat::{Conversation, Role};
use serde::Deserialize;

use crate::text_file::{self, stem};
use crate::{DataError, LoadReport, Loaded};

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Option<Id>,
    conversations: Vec<Turn>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

#[derive(Deserialize)]
struct Turn {
    from: String,
    value: String,
}

/// Reads ShareGPT data: a JSON array, or JSON lines. Ids are the rows' own, else
/// `<file stem>:<item or line, from 1>`; where one comes a second time, `#` and
/// the item's number are put behind it.
///
/// Nothing is cleaned. A conversation is dropped, and counted, when it has no
/// turns, an unknown speaker, no assistant turn, or turns that do not alternate
/// beginning with the human (after an optional system message).
///
/// # Errors
/// JSON that is damaged, cut off or lacks a field; a file without usable rows.
pub fn load(path: &Path) -> Result<Loaded, DataError> {
    let name = stem(path);
    let mut report = LoadReport::new("conversations");
    let mut conversations = Vec::new();
    let mut seen = HashSet::new();
    text_file::for_each_json_item(path, |number, row: Row| {
        let mut id = match row.id {
            Some(Id::Text(text)) => text,
            Some(Id::Number(n)) => n.to_string(),
            None => format!("{name}:{number}"),
        };
        if !seen.insert(id.clone()) {
            id = format!("{id}#{number}");
            seen.insert(id.clone());
        }
        match conversation(&id, row.conversations) {
            Ok(conversation) => {
                report.keep();
                conversations.push(conversation);
            }
            Err(reason) => report.drop_item(reason, &id),
        }
    })?;
    Loaded { conversations, report }.not_empty(path)
}

fn conversation(id: &str, turns: Vec<Turn>) -> Result<Conversation, &'static str> {
    if turns.is_empty() {
        return Err("no turns");
    }
    let mut conversation = Conversation::new(id);
    for turn in turns {
        let role = Role::from_name(&turn.from).ok_or("unknown speaker")?;
        conversation.push(role, turn.value);
    }
    let roles: Vec<Role> = conversation.messages.iter().map(|m| m.role).collect();
    let spoken = match roles.split_first() {
        Some((Role::System, spoken)) => spoken,
        _ => &roles,
    };
    let alternates = spoken
        .iter()
        .enumerate()
        .all(|(i, role)| *role == if i % 2 == 0 { Role::User } else { Role::Assistant });
    if !alternates {
        Err("roles do not alternate")
    } else if spoken.len() < 2 {
        Err("no assistant turn")
    } else {
        Ok(conversation)
    }
}
