//! The tree of messages, in the JSON shape of the OASST1 "ready trees" files.

use serde::{Deserialize, Serialize};

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
/// are not listed here (labels, emojis, dates) are ignored on reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageNode {
    /// Unique id of the message.
    pub message_id: String,
    /// Id of the message this one replies to; `None` for a tree's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// What was written.
    pub text: String,
    /// Who wrote it.
    pub role: Speaker,
    /// Language tag (`en`, `pt-BR`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// How many people reviewed the message.
    #[serde(default)]
    pub review_count: Option<i64>,
    /// Outcome of the review; `None` when there is none yet.
    #[serde(default)]
    pub review_result: Option<bool>,
    /// Whether the message was deleted afterwards.
    #[serde(default)]
    pub deleted: Option<bool>,
    /// Place among its siblings, 0 the best; `None` when nobody ranked them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Whether a model wrote the message.
    #[serde(default)]
    pub synthetic: Option<bool>,
    /// The replies, in file order.
    #[serde(default)]
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
pub struct MessageTree {
    /// Id of the tree; in OASST1 it equals the first message's id.
    pub message_tree_id: String,
    /// Collection state, `ready_for_export` for finished trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_state: Option<String>,
    /// The first prompt.
    pub prompt: MessageNode,
}
