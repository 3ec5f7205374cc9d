//! Counts of what a loader read, kept and dropped.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How many of the dropped items' names a report keeps per reason.
const EXAMPLES: usize = 8;

/// Items dropped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// How many.
    pub count: usize,
    /// Names (ids, lines) of the first eight.
    pub examples: Vec<String>,
}

/// What a loader did: `read = kept + dropped`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// What is counted, in the plural: `"messages"`, `"rows"`, …
    pub unit: String,
    /// Items read.
    pub read: usize,
    /// Items kept.
    pub kept: usize,
    /// Items dropped, by reason.
    pub dropped: BTreeMap<String, Dropped>,
}

impl LoadReport {
    /// An empty report that counts `unit`.
    pub fn new(unit: &str) -> Self {
        Self { unit: unit.to_string(), ..Self::default() }
    }

    /// Counts one item as read and kept.
    pub fn keep(&mut self) {
        self.read += 1;
        self.kept += 1;
    }

    /// Counts the item `name` as read and dropped for `reason`.
    pub fn drop_item(&mut self, reason: &str, name: &str) {
        self.read += 1;
        let dropped = self.dropped.entry(reason.to_string()).or_default();
        dropped.count += 1;
        if dropped.examples.len() < EXAMPLES {
            dropped.examples.push(name.to_string());
        }
    }

    /// Number of items dropped for `reason`.
    pub fn dropped_for(&self, reason: &str) -> usize {
        self.dropped.get(reason).map_or(0, |d| d.count)
    }

    /// Number of items dropped for any reason.
    pub fn dropped_in_all(&self) -> usize {
        self.dropped.values().map(|d| d.count).sum()
    }

    /// The report of two steps in a row, where `next` read what `self` kept.
    pub fn then(mut self, next: LoadReport) -> LoadReport {
        self.kept = next.kept;
        for (reason, dropped) in next.dropped {
            let entry = self.dropped.entry(reason).or_default();
            entry.count += dropped.count;
            let room = EXAMPLES - entry.examples.len();
            entry.examples.extend(dropped.examples.into_iter().take(room));
        }
        self
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} read, {} kept", self.read, self.unit, self.kept)?;
        for (reason, dropped) in &self.dropped {
            write!(f, ", {} dropped ({reason})", dropped.count)?;
        }
        Ok(())
    }
}

/// Conversations with the account of how they came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The conversations, in file order, ids unique and stable.
    pub conversations: Vec<camelid_chat::Conversation>,
    /// What was read, kept and dropped.
    pub report: LoadReport,
}

impl Loaded {
    /// `self`, or [`DataError::Empty`](crate::DataError::Empty) when there is no conversation.
    pub(crate) fn not_empty(self, path: &std::path::Path) -> Result<Self, crate::DataError> {
        if self.conversations.is_empty() {
            return Err(crate::DataError::Empty { what: path.display().to_string(), report: self.report });
        }
        Ok(self)
    }
}
