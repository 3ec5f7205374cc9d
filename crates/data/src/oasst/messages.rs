//! Flat messages, one per line or row, and the trees they make up.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Trees;
use super::tree::{MessageNode, MessageTree, Speaker};
use crate::fields::{self, Fields, Problem};
use crate::report::named;
use crate::rows::{Rows, in_words};
use crate::{DataError, LoadReport};

/// Replies deeper than this are structural damage: OASST1 has about a dozen levels.
const MAX_DEPTH: usize = 256;

/// One message as the flat formats have it. Other fields are ignored; whole numbers
/// and truth values may be written as pandas and tables write them (`0.0`, `"True"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct MessageRow {
    /// Unique id.
    pub message_id: String,
    /// Id of the message replied to; `None` for a first prompt.
    pub parent_id: Option<String>,
    /// What was written.
    pub text: String,
    /// Who wrote it.
    pub role: Speaker,
    /// Language tag.
    pub lang: Option<String>,
    /// How many people reviewed it.
    pub review_count: Option<i64>,
    /// Outcome of the review.
    pub review_result: Option<bool>,
    /// Whether it was deleted.
    pub deleted: Option<bool>,
    /// Place among its siblings, 0 the best.
    pub rank: Option<i64>,
    /// Whether a model wrote it.
    pub synthetic: Option<bool>,
    /// Id of its tree.
    pub message_tree_id: String,
    /// State of its tree.
    pub tree_state: Option<String>,
}

impl TryFrom<Fields> for MessageRow {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        Self::from_fields(&fields).map_err(|problem| problem.to_string())
    }
}

impl MessageRow {
    fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let message = MessageNode::from_fields(fields)?;
        Ok(Self {
            message_tree_id: fields::id(fields, "message_tree_id")
                .ok_or_else(|| Problem::field("message_tree_id", fields.get("message_tree_id"), "an id"))?,
            tree_state: fields::optional_text(fields, "tree_state")?.filter(|state| !state.is_empty()),
            message_id: message.message_id,
            parent_id: message.parent_id,
            text: message.text,
            role: message.role,
            lang: message.lang,
            review_count: message.review_count,
            review_result: message.review_result,
            deleted: message.deleted,
            rank: message.rank,
            synthetic: message.synthetic,
        })
    }
}

/// Columns of a table without which replies cannot be ranked or filtered.
const NEEDED: [&str; 8] =
    ["message_id", "parent_id", "text", "role", "message_tree_id", "lang", "rank", "deleted"];

/// Columns that may be absent.
const OPTIONAL: [&str; 4] = ["review_count", "review_result", "synthetic", "tree_state"];

/// Reads messages and joins them into trees. Rows that are no message are dropped and named.
pub(super) fn read(mut rows: Rows) -> Result<Trees, DataError> {
    rows.require(&NEEDED)?;
    rows.only(&[NEEDED.as_slice(), &OPTIONAL].concat());
    let mut bad = LoadReport::new("messages");
    let mut messages = Vec::new();
    while let Some(record) = rows.next_row(&mut bad)? {
        let place = record.place;
        let id = fields::id(&record.fields, "message_id").unwrap_or_else(|| rows.numbered(place));
        match MessageRow::from_fields(&record.fields) {
            Ok(message) => {
                for note in record.notes {
                    bad.change(in_words(note), named(&id, place, None));
                }
                messages.push(message);
            }
            Err(problem) => bad.drop_named(&problem.reason, named(&id, place, problem.detail)),
        }
    }
    let Trees { trees, report } = trees_from_messages(messages);
    bad.read += report.read;
    Ok(Trees { trees, report: bad.then(report) })
}

/// Where a message hangs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Unknown,
    /// At this depth below a first prompt.
    Depth(usize),
    Damaged(&'static str),
}

/// Joins messages into trees, in the order in which first prompts appear;
/// siblings keep their order.
///
/// Messages with structural damage are counted and named in the report: a second
/// message with the same id, an orphan (its parent is not there) and whatever
/// hangs below it, a cycle, a reply that names another tree than its parent, and
/// replies more than 256 levels deep.
pub fn trees_from_messages(rows: Vec<MessageRow>) -> Trees {
    let mut report = LoadReport::new("messages");
    let mut index_of: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    let mut unique: Vec<MessageRow> = Vec::with_capacity(rows.len());
    for row in rows {
        if index_of.contains_key(&row.message_id) {
            report.drop_item("duplicate message id", &row.message_id);
        } else {
            index_of.insert(row.message_id.clone(), unique.len());
            unique.push(row);
        }
    }

    let parents: Vec<Option<Option<usize>>> =
        unique.iter().map(|row| row.parent_id.as_ref().map(|id| index_of.get(id).copied())).collect();
    let places = places(&unique, &parents);

    // Deepest first, so every message is complete when it moves into its parent;
    // the stable sort keeps siblings in file order.
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(unique.len());
    for (index, place) in places.iter().enumerate() {
        match place {
            Place::Depth(depth) => {
                report.keep();
                order.push((*depth, index));
            }
            Place::Damaged(reason) => report.drop_item(reason, &unique[index].message_id),
            Place::Unknown => report.drop_item("cycle", &unique[index].message_id),
        }
    }
    order.sort_by_key(|&(depth, index)| (std::cmp::Reverse(depth), index));

    let mut replies: Vec<Vec<MessageNode>> = Vec::new();
    replies.resize_with(unique.len(), Vec::new);
    let mut cells: Vec<Option<MessageRow>> = unique.into_iter().map(Some).collect();
    let mut trees = Vec::new();
    for (_, index) in order {
        let Some(row) = cells[index].take() else {
            continue;
        };
        let tree = (row.message_tree_id.clone(), row.tree_state.clone());
        let node = node(row, std::mem::take(&mut replies[index]));
        match parents[index].flatten() {
            Some(parent) => replies[parent].push(node),
            None => trees.push(MessageTree { message_tree_id: tree.0, tree_state: tree.1, prompt: node }),
        }
    }
    Trees { trees, report }
}

/// Follows each message up to a first prompt, or to what is wrong above it.
fn places(rows: &[MessageRow], parents: &[Option<Option<usize>>]) -> Vec<Place> {
    let mut places = vec![Place::Unknown; rows.len()];
    let mut on_trail = vec![false; rows.len()];
    for start in 0..rows.len() {
        let mut trail = Vec::new();
        let mut at = start;
        let mut above = loop {
            if places[at] != Place::Unknown {
                break places[at];
            }
            if on_trail[at] {
                break Place::Damaged("cycle");
            }
            on_trail[at] = true;
            trail.push(at);
            match parents[at] {
                None => break Place::Unknown,
                Some(None) => break Place::Damaged("orphan"),
                Some(Some(parent)) => at = parent,
            }
        };
        for &index in trail.iter().rev() {
            on_trail[index] = false;
            above = match (above, parents[index].flatten()) {
                (Place::Unknown, _) => Place::Depth(0),
                (Place::Depth(_), Some(parent))
                    if rows[parent].message_tree_id != rows[index].message_tree_id =>
                {
                    Place::Damaged("reply in another tree")
                }
                (Place::Depth(depth), _) if depth + 1 < MAX_DEPTH => Place::Depth(depth + 1),
                (Place::Depth(_), _) => Place::Damaged("too deep"),
                (damaged, _) => damaged,
            };
            places[index] = above;
        }
    }
    places
}

fn node(row: MessageRow, replies: Vec<MessageNode>) -> MessageNode {
    MessageNode {
        message_id: row.message_id,
        parent_id: row.parent_id,
        text: row.text,
        role: row.role,
        lang: row.lang,
        review_count: row.review_count,
        review_result: row.review_result,
        deleted: row.deleted,
        rank: row.rank,
        synthetic: row.synthetic,
        replies,
    }
}
