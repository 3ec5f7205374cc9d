//! Alpaca's `instruction` / `input` / `output` rows.

use std::path::Path;

use camelid_chat::{Conversation, Role};
use serde::{Deserialize, Serialize};

use crate::text_file::{self, stem};
use crate::{DataError, LoadReport, Loaded};

/// How a row's `input` joins its `instruction` in the user's message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputAs {
    /// On the next line, as LLaMA-Factory and FastChat do.
    #[default]
    NextLine,
    /// Under a heading, `"\n\n### Input:\n"`, as Stanford Alpaca's prompt has it.
    Section,
}

#[derive(Deserialize)]
struct Row {
    instruction: String,
    #[serde(default)]
    input: Option<String>,
    output: String,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    history: Option<Vec<(String, String)>>,
}

/// Reads Alpaca data: a JSON array, or JSON lines. `system` and `history`
/// (earlier question and answer pairs) are used where present. Ids are
/// `<file stem>:<item or line, from 1>`.
///
/// # Errors
/// JSON that is damaged, cut off or lacks a field; a file without usable rows.
pub fn load(path: &Path, input_as: InputAs) -> Result<Loaded, DataError> {
    let name = stem(path);
    let mut report = LoadReport::new("rows");
    let mut conversations = Vec::new();
    text_file::for_each_json_item(path, |number, row: Row| {
        let id = format!("{name}:{number}");
        if row.instruction.trim().is_empty() {
            report.drop_item("blank instruction", &id);
        } else if row.output.trim().is_empty() {
            report.drop_item("blank output", &id);
        } else {
            report.keep();
            conversations.push(conversation(id, row, input_as));
        }
    })?;
    Loaded { conversations, report }.not_empty(path)
}

fn conversation(id: String, row: Row, input_as: InputAs) -> Conversation {
    let mut conversation = Conversation::new(id);
    if let Some(system) = row.system.filter(|s| !s.trim().is_empty()) {
        conversation.push(Role::System, system);
    }
    for (question, answer) in row.history.unwrap_or_default() {
        conversation.push(Role::User, question);
        conversation.push(Role::Assistant, answer);
    }
    let asked = match (row.input.filter(|i| !i.trim().is_empty()), input_as) {
        (None, _) => row.instruction,
        (Some(input), InputAs::NextLine) => format!("{}\n{input}", row.instruction),
        (Some(input), InputAs::Section) => format!("{}\n\n### Input:\n{input}", row.instruction),
    };
    conversation.push(Role::User, asked);
    conversation.push(Role::Assistant, row.output);
    conversation
}
