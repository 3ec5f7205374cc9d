//! Flat messages, one per line or row, and the trees they make up.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MessageNode, MessageTree, Speaker, Trees};
use crate::parquet_file::Columns;
use crate::{DataError, LoadReport, text_file};

/// Replies deeper than this are structural damage: OASST1 has about a dozen levels.
const MAX_DEPTH: usize = 256;

/// One message as the flat formats have it. Other fields are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRow {
    /// Unique id.
    pub message_id: String,
    /// Id of the message replied to; `None` for a first prompt.
    #[serde(default)]
    pub parent_id: Option<String>,
    /// What was written.
    pub text: String,
    /// Who wrote it.
    pub role: Speaker,
    /// Language tag.
    #[serde(default)]
    pub lang: Option<String>,
    /// How many people reviewed it.
    #[serde(default)]
    pub review_count: Option<i64>,
    /// Outcome of the review.
    #[serde(default)]
    pub review_result: Option<bool>,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: Option<bool>,
    /// Place among its siblings, 0 the best.
    #[serde(default)]
    pub rank: Option<i64>,
    /// Whether a model wrote it.
    #[serde(default)]
    pub synthetic: Option<bool>,
    /// Id of its tree.
    pub message_tree_id: String,
    /// State of its tree.
    #[serde(default)]
    pub tree_state: Option<String>,
}

pub(super) fn read_json_lines(path: &Path) -> Result<Vec<MessageRow>, DataError> {
    let mut rows = Vec::new();
    text_file::for_each_json_line(path, |_, row| rows.push(row))?;
    Ok(rows)
}

/// Reads the columns of a [`MessageRow`] from the hub's Parquet. Only the review's
/// two, `synthetic` and `tree_state` may be absent.
pub(super) fn read_parquet(path: &Path) -> Result<Vec<MessageRow>, DataError> {
    let columns = Columns::read(
        path,
        &["message_id", "parent_id", "text", "role", "message_tree_id", "lang", "rank", "deleted"],
        &["review_count", "review_result", "synthetic", "tree_state"],
    )?;
    let present = |name: &'static str| -> Result<_, DataError> {
        let cells = columns.text(name)?.into_iter().enumerate();
        Ok(cells.map(move |(row, cell)| {
            cell.ok_or_else(|| DataError::Parquet {
                path: path.to_path_buf(),
                message: format!("row {}: \"{name}\" is null", row + 1),
            })
        }))
    };
    let mut ids = present("message_id")?;
    let mut texts = present("text")?;
    let mut roles = present("role")?;
    let mut tree_ids = present("message_tree_id")?;
    let mut parents = columns.text("parent_id")?.into_iter();
    let mut langs = columns.text("lang")?.into_iter();
    let mut states = columns.text("tree_state")?.into_iter();
    let ranks = columns.integers("rank")?;
    let review_counts = columns.integers("review_count")?;
    let review_results = columns.booleans("review_result")?;
    let deleted = columns.booleans("deleted")?;
    let synthetic = columns.booleans("synthetic")?;

    let mut rows = Vec::with_capacity(columns.len());
    while let (Some(id), Some(text), Some(role), Some(tree_id)) =
        (ids.next(), texts.next(), roles.next(), tree_ids.next())
    {
        let row = rows.len();
        rows.push(MessageRow {
            message_id: id?,
            parent_id: parents.next().flatten(),
            text: text?,
            role: speaker(path, row, &role?)?,
            lang: langs.next().flatten(),
            review_count: review_counts[row],
            review_result: review_results[row],
            deleted: deleted[row],
            rank: ranks[row],
            synthetic: synthetic[row],
            message_tree_id: tree_id?,
            tree_state: states.next().flatten(),
        });
    }
    Ok(rows)
}

fn speaker(path: &Path, row: usize, role: &str) -> Result<Speaker, DataError> {
    match role {
        "prompter" => Ok(Speaker::Prompter),
        "assistant" => Ok(Speaker::Assistant),
        other => Err(DataError::Parquet {
            path: path.to_path_buf(),
            message: format!("row {}: role \"{other}\", expected prompter or assistant", row + 1),
        }),
    }
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
