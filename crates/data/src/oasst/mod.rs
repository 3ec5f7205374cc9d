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

use crate::fields::Fields;
use crate::report::named;
use crate::rows::{Rows, in_words};
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

impl Trees {
    /// Chooses dialogues as [`dialogues`] does; the account of messages begins with these trees' own.
    ///
    /// # Errors
    /// As [`dialogues`].
    pub fn dialogues(self, filter: &Filter, selection: Selection) -> Result<Dialogues, DataError> {
        let mut chosen = dialogues(&self.trees, filter, selection)?;
        chosen.messages = self.report.then(chosen.messages);
        Ok(chosen)
    }
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

/// Reads trees from ready trees or flat messages, whichever `path` holds: a first row with a nested
/// `prompt` is a ready tree.
///
/// A row that is no tree or message is dropped, counted and named; a reply of a tree that is no
/// message takes what is below it along.
///
/// # Errors
/// A file that cannot be read, a damaged archive, a missing column, a file without messages.
pub fn read(path: &Path) -> Result<Trees, DataError> {
    let mut rows = Rows::open(path)?;
    let trees = if rows.look(8)?.iter().any(|record| is_tree(&record.fields)) {
        read_trees(rows)?
    } else {
        messages::read(rows)?
    };
    if trees.trees.is_empty() {
        return Err(DataError::Empty { what: path.display().to_string(), report: Box::new(trees.report) });
    }
    Ok(trees)
}

/// Reads a file and chooses dialogues from it: [`read`], then [`dialogues`].
///
/// # Errors
/// As [`read`]; also when no dialogue is left.
pub fn load(path: &Path, filter: &Filter, selection: Selection) -> Result<Dialogues, DataError> {
    let chosen = read(path)?.dialogues(filter, selection)?;
    if chosen.conversations.is_empty() {
        return Err(DataError::Empty { what: path.display().to_string(), report: Box::new(chosen.messages) });
    }
    Ok(chosen)
}

/// Whether a row is a ready tree.
pub(crate) fn is_tree(row: &Fields) -> bool {
    row.get("prompt").is_some_and(serde_json::Value::is_object)
}

/// Whether a row is a flat message.
pub(crate) fn is_message(row: &Fields) -> bool {
    ["message_id", "text", "role"].iter().all(|name| row.contains_key(*name))
}

/// Reads flat messages.
pub(crate) fn read_messages(rows: Rows) -> Result<Trees, DataError> {
    messages::read(rows)
}

/// Reads ready trees.
pub(crate) fn read_trees(mut rows: Rows) -> Result<Trees, DataError> {
    let mut trees: Vec<MessageTree> = Vec::new();
    let mut report = LoadReport::new("messages");
    rows.require(&["prompt"])?;
    while let Some(record) = rows.next_row(&mut report)? {
        let place = record.place;
        let id = crate::fields::id(&record.fields, "message_tree_id").unwrap_or_else(|| rows.numbered(place));
        match MessageTree::from_fields(&record.fields) {
            Err(problem) => report.drop_named(&problem.reason, named(&id, place, problem.detail)),
            Ok((tree, bad)) => {
                for note in record.notes {
                    report.change(in_words(note), named(&id, place, None));
                }
                for message in bad {
                    let detail = message.problem.detail;
                    report.drop_named(&message.problem.reason, named(&message.id, place, detail));
                    for _ in 0..message.below {
                        report.drop_named("below a dropped message", named(&message.id, place, None));
                    }
                }
                let count = tree.prompt.len();
                report.read += count;
                report.kept += count;
                trees.push(tree);
            }
        }
    }
    Ok(Trees { trees, report })
}
