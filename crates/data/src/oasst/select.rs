//! Which messages count, and which paths through a tree become dialogues.

use std::collections::HashSet;

use camelid_chat::{Conversation, Role};
use serde::{Deserialize, Serialize};

use super::{Dialogues, MessageNode, MessageTree, Speaker};
use crate::{DataError, LoadReport};

/// What the review of a message must have said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// Anything.
    Any,
    /// Not rejected: accepted, or not reviewed.
    #[default]
    NotRejected,
    /// Accepted.
    Accepted,
}

/// Which messages may appear in a dialogue. A message that may not takes
/// everything below it away, since the replies lose their context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Languages to keep, e.g. `["en", "es"]`; `None` keeps all.
    pub langs: Option<Vec<String>>,
    /// Keep messages that were deleted afterwards.
    pub deleted: bool,
    /// Keep messages a model wrote.
    pub synthetic: bool,
    /// What the review must have said.
    pub review: Review,
    /// Tree states to keep; `None` keeps all. A tree without a state passes.
    pub tree_states: Option<Vec<String>>,
}

impl Default for Filter {
    /// All languages, no deleted, synthetic or rejected messages, and only trees
    /// that are `ready_for_export`.
    fn default() -> Self {
        Self {
            langs: None,
            deleted: false,
            synthetic: false,
            review: Review::default(),
            tree_states: Some(vec!["ready_for_export".to_string()]),
        }
    }
}

/// Which paths from a first prompt downwards become dialogues.
///
/// At each level replies are ordered by rank, the lowest number first, unranked
/// ones after the ranked, ties in file order. A path ends with an assistant's
/// message: a last prompt nobody answered is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The best-ranked reply at every level, one dialogue per tree, as QLoRA
    /// trains Guanaco ("the top reply at each level of the conversation tree").
    #[default]
    BestRanked,
    /// Every path.
    AllPaths,
    /// The `k` best-ranked replies at every level.
    TopK(usize),
}

impl Selection {
    fn breadth(self) -> Result<usize, DataError> {
        match self {
            Selection::BestRanked => Ok(1),
            Selection::AllPaths => Ok(usize::MAX),
            Selection::TopK(0) => {
                Err(DataError::Option("top-k selection needs k of at least 1, not 0".to_string()))
            }
            Selection::TopK(k) => Ok(k),
        }
    }
}

/// Chooses dialogues. Prompters become users; ids are those of the last message.
///
/// Structural damage is dropped, counted and named: wrong role order (a first
/// message that is no prompt, or a reply by the same side), a duplicate message
/// id, a `parent_id` that is not the message above. So are blank messages.
///
/// # Errors
/// [`DataError::Option`] for `TopK(0)`. No dialogue at all is not an error here.
pub fn dialogues(
    trees: &[MessageTree],
    filter: &Filter,
    selection: Selection,
) -> Result<Dialogues, DataError> {
    let breadth = selection.breadth()?;
    let mut sieve = Sieve { filter, seen: HashSet::new(), report: LoadReport::new("messages") };
    let mut tree_report = LoadReport::new("trees");
    let mut conversations = Vec::new();
    for tree in trees {
        if !state_passes(filter, tree) {
            sieve.drop_below(&tree.prompt, "tree state", "tree state");
            tree_report.drop_item("tree state", &tree.message_tree_id);
            continue;
        }
        let Some(root) = sieve.pass(&tree.prompt, None) else {
            tree_report.drop_item("first prompt dropped", &tree.message_tree_id);
            continue;
        };
        let before = conversations.len();
        collect(&root, breadth, &mut Vec::new(), &mut conversations);
        if conversations.len() > before {
            tree_report.keep();
        } else {
            tree_report.drop_item("no assistant reply", &tree.message_tree_id);
        }
    }
    Ok(Dialogues { conversations, messages: sieve.report, trees: tree_report })
}

fn state_passes(filter: &Filter, tree: &MessageTree) -> bool {
    match (&filter.tree_states, &tree.tree_state) {
        (Some(wanted), Some(state)) => wanted.contains(state),
        _ => true,
    }
}

/// A message that passed, with the replies that passed in order of rank.
struct Passed<'a> {
    message: &'a MessageNode,
    replies: Vec<Passed<'a>>,
}

struct Sieve<'a> {
    filter: &'a Filter,
    seen: HashSet<&'a str>,
    report: LoadReport,
}

impl<'a> Sieve<'a> {
    fn pass(&mut self, message: &'a MessageNode, parent: Option<&MessageNode>) -> Option<Passed<'a>> {
        if let Some(reason) = self.objection(message, parent) {
            self.drop_below(message, reason, "below a dropped message");
            return None;
        }
        self.report.keep();
        let mut replies: Vec<Passed<'a>> = Vec::with_capacity(message.replies.len());
        for reply in &message.replies {
            replies.extend(self.pass(reply, Some(message)));
        }
        replies.sort_by_key(|reply| (reply.message.rank.is_none(), reply.message.rank));
        Some(Passed { message, replies })
    }

    fn objection(&mut self, message: &'a MessageNode, parent: Option<&MessageNode>) -> Option<&'static str> {
        let filter = self.filter;
        let expected = parent.map_or(Speaker::Prompter, |p| p.role.other());
        let wrong_parent = match (&message.parent_id, parent) {
            (Some(id), Some(parent)) => *id != parent.message_id,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let wrong_lang = match (&filter.langs, &message.lang) {
            (Some(wanted), Some(lang)) => !wanted.contains(lang),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let wrong_review = match filter.review {
            Review::Any => false,
            Review::NotRejected => message.review_result == Some(false),
            Review::Accepted => message.review_result != Some(true),
        };
        if !self.seen.insert(&message.message_id) {
            Some("duplicate message id")
        } else if wrong_parent {
            Some("parent_id is not the message above")
        } else if message.role != expected {
            Some("role order")
        } else if message.deleted == Some(true) && !filter.deleted {
            Some("deleted")
        } else if message.synthetic == Some(true) && !filter.synthetic {
            Some("synthetic")
        } else if wrong_lang {
            Some("language")
        } else if wrong_review {
            Some("review")
        } else if message.text.trim().is_empty() {
            Some("blank text")
        } else {
            None
        }
    }

    fn drop_below(&mut self, message: &MessageNode, reason: &str, below: &str) {
        self.report.drop_item(reason, &message.message_id);
        for reply in &message.replies {
            self.drop_below(reply, below, below);
        }
    }
}

fn collect<'a>(
    at: &Passed<'a>,
    breadth: usize,
    path: &mut Vec<&'a MessageNode>,
    out: &mut Vec<Conversation>,
) {
    path.push(at.message);
    let before = out.len();
    for reply in at.replies.iter().take(breadth) {
        collect(reply, breadth, path, out);
    }
    if out.len() == before && at.message.role == Speaker::Assistant {
        let mut conversation = Conversation::new(&at.message.message_id);
        for message in path.iter() {
            let role = match message.role {
                Speaker::Prompter => Role::User,
                Speaker::Assistant => Role::Assistant,
            };
            conversation.push(role, &message.text);
        }
        out.push(conversation);
    }
    path.pop();
}
