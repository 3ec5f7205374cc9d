//! OASST1: message trees, their filters and the dialogues chosen from them.
//!
//! Three file formats are read: ready trees (JSON lines, one nested tree per
//! line), flat messages (JSON lines, one message per line) and the hub's Parquet
//! with one message per row. JSON lines may be gzip-compressed.

mod messages;
mod select;
mod tree;

use std::path::Path;

use camelid_chat::Conversation;

use crate::text_file::{self, Lines};
use crate::{DataError, LoadReport};

pub use messages::{MessageRow, trees_from_messages};
pub use select::{Filter, Review, Selection, dialogues};
pub use tree::{MessageNode, MessageTree, Speaker};

/// Trees with the account of the messages they were built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees {
    /// The trees, in file order.
    pub trees: Vec<MessageTree>,
    /// Counts messages; dropped are those with structural damage.
    pub report: LoadReport,
}

/// Dialogues chosen from trees, with the account of what was left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialogues {
    /// One conversation per chosen path; its id is its last message's id.
    pub conversations: Vec<Conversation>,
    /// Counts messages: kept are those that passed the filter, chosen or not.
    pub messages: LoadReport,
    /// Counts trees: kept are those that gave at least one dialogue.
    pub trees: LoadReport,
}

/// Reads trees from ready trees, flat messages or Parquet, whichever `path` is.
///
/// # Errors
/// A file that cannot be read, a line that is not JSON or lacks a field (with
/// its number), a damaged archive, a missing column, a file without messages.
pub fn read(path: &Path) -> Result<Trees, DataError> {
    let trees = if text_file::is_parquet(path)? {
        trees_from_messages(messages::read_parquet(path)?)
    } else if is_ready_trees(path)? {
        read_ready_trees(path)?
    } else {
        trees_from_messages(messages::read_json_lines(path)?)
    };
    if trees.trees.is_empty() {
        return Err(DataError::Empty { what: path.display().to_string(), report: trees.report });
    }
    Ok(trees)
}

/// Reads a file and chooses dialogues from it: [`read`], then [`dialogues`].
///
/// # Errors
/// As [`read`]; also when no dialogue is left.
pub fn load(path: &Path, filter: &Filter, selection: Selection) -> Result<Dialogues, DataError> {
    let Trees { trees, report } = read(path)?;
    let mut chosen = dialogues(&trees, filter, selection)?;
    chosen.messages = report.then(chosen.messages);
    if chosen.conversations.is_empty() {
        return Err(DataError::Empty { what: path.display().to_string(), report: chosen.messages });
    }
    Ok(chosen)
}

/// A first line with a nested `prompt` is a ready tree.
fn is_ready_trees(path: &Path) -> Result<bool, DataError> {
    let mut lines = Lines::open(path)?;
    let Some((line, text)) = lines.next_line()? else {
        return Ok(false);
    };
    let value: serde_json::Value = text_file::parse_line(path, line, text)?;
    Ok(value.get("prompt").is_some_and(|prompt| prompt.is_object()))
}

fn read_ready_trees(path: &Path) -> Result<Trees, DataError> {
    let mut trees: Vec<MessageTree> = Vec::new();
    let mut report = LoadReport::new("messages");
    text_file::for_each_json_line(path, |_, tree: MessageTree| {
        let count = tree.prompt.len();
        report.read += count;
        report.kept += count;
        trees.push(tree);
    })?;
    Ok(Trees { trees, report })
}
