//! The tree of messages, in the JSON shape of the OASST1 "ready trees" files.

use camelid_chat::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{self, Fields, Problem, Short};

/// Who wrote a message of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person who asks (`"prompter"`).
    Prompter,
    /// The one who answers (`"assistant"`).
    Assistant,
}

impl Speaker {
    /// The name used in the files: `"prompter"` or `"assistant"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Speaker::Prompter => "prompter",
            Speaker::Assistant => "assistant",
        }
    }

    /// The speaker of a row, by any name that data sets use.
    pub(super) fn of(fields: &Fields) -> Result<Speaker, Problem> {
        let name = fields::text(fields, "role")?;
        match Role::from_name(&name) {
            Some(Role::User) => Ok(Speaker::Prompter),
            Some(Role::Assistant) => Ok(Speaker::Assistant),
            _ => {
                Err(Problem::with("unknown speaker", format!("{name:?}; prompter or assistant is expected")))
            }
        }
    }

    /// The speaker whose turn follows this one's.
    pub fn other(self) -> Speaker {
        match self {
            Speaker::Prompter => Speaker::Assistant,
            Speaker::Assistant => Speaker::Prompter,
        }
    }
}

/// One message of a tree with the replies it received.
///
/// Fields are those of OASST1's `ready.trees.jsonl`; fields of the files that
/// are not listed here (labels, emojis, dates) are ignored; whole numbers and truth
/// values may be written as pandas and tables write them (`0.0`, `"True"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct MessageNode {
    /// Unique id of the message.
    pub message_id: String,
    /// Id of the message this one replies to; `None` for a tree's first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// What was written.
    pub text: String,
    /// Who wrote it.
    pub role: Speaker,
    /// Language tag (`en`, `pt-BR`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// How many people reviewed the message.
    pub review_count: Option<i64>,
    /// Outcome of the review; `None` when there is none yet.
    pub review_result: Option<bool>,
    /// Whether the message was deleted afterwards.
    pub deleted: Option<bool>,
    /// Place among its siblings, 0 the best; `None` when nobody ranked them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Whether a model wrote the message.
    pub synthetic: Option<bool>,
    /// The replies, in file order.
    pub replies: Vec<MessageNode>,
}

impl MessageNode {
    /// A message without replies, rank or review.
    pub fn new(message_id: impl Into<String>, role: Speaker, text: impl Into<String>) -> Self {
        Self {
            message_id: message_id.into(),
            parent_id: None,
            text: text.into(),
            role,
            lang: None,
            review_count: None,
            review_result: None,
            deleted: None,
            rank: None,
            synthetic: None,
            replies: Vec::new(),
        }
    }

    /// A message of these fields, without its replies.
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let message_id = fields::id(fields, "message_id")
            .ok_or_else(|| Problem::field("message_id", fields.get("message_id"), "an id"))?;
        Ok(Self {
            message_id,
            parent_id: fields::id(fields, "parent_id"),
            text: fields::text(fields, "text")?,
            role: Speaker::of(fields)?,
            lang: fields::optional_text(fields, "lang")?,
            review_count: fields::whole(fields, "review_count")?,
            review_result: fields::truth(fields, "review_result")?,
            deleted: fields::truth(fields, "deleted")?,
            rank: fields::whole(fields, "rank")?,
            synthetic: fields::truth(fields, "synthetic")?,
            replies: Vec::new(),
        })
    }

    /// Number of messages in this subtree, itself included.
    pub fn len(&self) -> usize {
        1 + self.replies.iter().map(MessageNode::len).sum::<usize>()
    }

    /// Always `false`: a node holds at least itself.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A whole conversation tree: a first prompt and everything said below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct MessageTree {
    /// Id of the tree; in OASST1 it equals the first message's id.
    pub message_tree_id: String,
    /// Collection state, `ready_for_export` for finished trees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree_state: Option<String>,
    /// The first prompt.
    pub prompt: MessageNode,
}

/// A message of a tree that cannot be used.
pub(super) struct BadMessage {
    /// Its id, or what there is in its place.
    pub id: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// Messages below it, which go with it.
    pub below: usize,
}

impl MessageTree {
    /// The tree of a row, and the messages that cannot be used: those take what is below them along.
    pub(super) fn from_fields(fields: &Fields) -> Result<(Self, Vec<BadMessage>), Problem> {
        let Some(Value::Object(root)) = fields.get("prompt") else {
            return Err(Problem::field("prompt", fields.get("prompt"), "a message"));
        };
        let mut bad = Vec::new();
        let prompt = node(root, &mut bad)?;
        let message_tree_id =
            fields::id(fields, "message_tree_id").unwrap_or_else(|| prompt.message_id.clone());
        Ok((Self { message_tree_id, tree_state: fields::optional_text(fields, "tree_state")?, prompt }, bad))
    }
}

impl TryFrom<Fields> for MessageNode {
    type Error = String;

    /// Strict: one bad message below refuses the whole.
    fn try_from(fields: Fields) -> Result<Self, String> {
        let mut bad = Vec::new();
        let message = node(&fields, &mut bad).map_err(|problem| problem.to_string())?;
        bad.pop().map_or(Ok(message), |bad| Err(bad.problem.to_string()))
    }
}

impl TryFrom<Fields> for MessageTree {
    type Error = String;

    /// Strict, as for [`MessageNode`].
    fn try_from(fields: Fields) -> Result<Self, String> {
        let (tree, mut bad) = Self::from_fields(&fields).map_err(|problem| problem.to_string())?;
        bad.pop().map_or(Ok(tree), |bad| Err(bad.problem.to_string()))
    }
}

fn node(fields: &Fields, bad: &mut Vec<BadMessage>) -> Result<MessageNode, Problem> {
    let mut message = MessageNode::from_fields(fields)?;
    let replies = match fields::get(fields, "replies") {
        None => return Ok(message),
        Some(Value::Array(replies)) => replies,
        other => return Err(Problem::field("replies", other, "a list of messages")),
    };
    for (index, reply) in replies.iter().enumerate() {
        let outcome = match reply {
            Value::Object(fields) => node(fields, bad),
            other => Err(Problem::with("a reply that is no message", Short(other).to_string())),
        };
        match outcome {
            Ok(reply) => message.replies.push(reply),
            Err(problem) => {
                let id = reply.as_object().and_then(|fields| fields::id(fields, "message_id"));
                let id = id.unwrap_or_else(|| format!("reply {} to {}", index + 1, message.message_id));
                bad.push(BadMessage { id, problem, below: below(reply) });
            }
        }
    }
    Ok(message)
}

/// Number of messages below one, whatever is wrong with them.
fn below(message: &Value) -> usize {
    let replies = message.get("replies").and_then(Value::as_array);
    replies.into_iter().flatten().map(|reply| 1 + below(reply)).sum()
}
