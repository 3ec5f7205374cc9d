//! What can go wrong between a batch of requests and its replies.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use crate::GenerateFailure;

/// One request came to nothing; the others of its batch go on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("request {index} to `{model}` (key {}…): {source}", key.get(..12).unwrap_or(key))]
pub struct RequestError {
    /// Place of the request among those of its batch, from 0.
    pub index: usize,
    /// The request's key.
    pub key: String,
    /// The model that was asked.
    pub model: String,
    /// Why there is no reply.
    pub source: Arc<dyn Error + Send + Sync>,
}

impl RequestError {
    /// The text that came instead of a reply, e.g. half a JSON object; `None` where nothing came.
    pub fn text(&self) -> Option<&str> {
        if let Some(Filtered { text }) = self.source.downcast_ref() {
            return Some(text);
        }
        if let Some(Refused { text, .. }) = self.source.downcast_ref() {
            return Some(text);
        }
        self.source.downcast_ref::<GenerateFailure>()?.text.as_deref()
    }
}

/// The reply was held back, or cut off, by the server's content filter.
#[derive(Debug, thiserror::Error)]
#[error("stopped by the content filter")]
pub struct Filtered {
    /// What came before it stopped.
    pub text: String,
}

/// The reply is not what was asked for: see [`Runner::accepting`](super::Runner::accepting).
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// The reply.
    pub text: String,
}

/// The request was never sent: those before it failed in a way that this one would meet as well.
#[derive(Debug, thiserror::Error)]
#[error("not asked, after {failures} failures in a row")]
pub struct NotAsked {
    /// How many requests had failed in a row.
    pub failures: usize,
}

/// The store of replies cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("{}: cannot {action} the store of replies: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the file open; two would pay for the same replies.
    #[error("{}: the store of replies is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something, but not a single stored reply.
    #[error("{}: not a store of replies: line 1: {problem}; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with its first line.
        problem: String,
    },
}

/// Why a batch ended early. Whatever had arrived by then is in the store.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting is out of its range.
    #[error("`{setting}` is {found}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        found: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// The next request could pass the spending limit.
    #[error(
        "the spending limit of {limit} would be passed: {spent:.4} is spent and the next request may cost \
         {next:.4}; {left} of {total} requests are left, the replies so far are kept"
    )]
    SpendingLimit {
        /// The limit, in the currency of the prices.
        limit: f64,
        /// Spent so far by this runner.
        spent: f64,
        /// What the next request may cost at most.
        next: f64,
        /// Distinct requests without a reply.
        left: usize,
        /// Distinct requests of the batch.
        total: usize,
    },
    /// The flag of [`Runner::stop_on`](super::Runner::stop_on) was raised.
    #[error("interrupted: {left} of {total} requests are left, the replies so far are kept")]
    Interrupted {
        /// Distinct requests without a reply.
        left: usize,
        /// Distinct requests of the batch.
        total: usize,
    },
    /// A reply could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}
