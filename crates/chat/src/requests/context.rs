//! What the requests of a batch share: whom they go to, where replies are kept, what they may cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::estimate::most_tokens;
use super::ledger::Ledger;
use super::request::{ChatRequest, Reply};
use super::settings::RunSettings;
use super::store::RequestStore;
use crate::{GeneratedText, TextGenerator};

/// How far a batch is. All counts are of distinct requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Requests of the batch.
    pub total: usize,
    /// Replies that were in the store.
    pub stored: usize,
    /// Replies that arrived.
    pub answered: usize,
    /// Requests that came to nothing.
    pub failed: usize,
    /// Requests among them that were never sent, because those before them had failed.
    pub not_asked: usize,
    /// Requests under way.
    pub under_way: usize,
    /// Spent by this runner, in the currency of the prices; 0 without prices.
    pub spent: f64,
}

impl Progress {
    /// Requests that need no more waiting for.
    pub fn done(&self) -> usize {
        self.stored + self.answered + self.failed
    }
}

/// Model, store, settings and books of a runner.
pub(super) struct Context<'a> {
    pub generator: &'a dyn TextGenerator,
    pub store: &'a RequestStore,
    pub settings: RunSettings,
    pub stop: Option<&'a AtomicBool>,
    pub ledger: Mutex<Ledger>,
    pub accepts: Option<Accepts<'a>>,
}

/// Whether a reply is one, or why it is none.
pub(super) type Accepts<'a> = &'a (dyn Fn(&Reply) -> Result<(), String> + Sync);

impl Context<'_> {
    /// The stored reply to the request with this key, where it is one.
    pub fn stored(&self, key: &str) -> Option<Reply> {
        self.store.get(key).filter(|reply| self.check(reply).is_ok())
    }

    pub fn check(&self, reply: &Reply) -> Result<(), String> {
        self.accepts.map_or(Ok(()), |accepts| accepts(reply))
    }

    pub fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cost(&self, prompt_tokens: f64, new_tokens: f64) -> f64 {
        self.settings.prices.map_or(0.0, |prices| prices.cost(prompt_tokens, new_tokens))
    }

    pub fn cost_at_most(&self, request: &ChatRequest) -> f64 {
        let (prompt, new) = most_tokens(request);
        self.cost(prompt, new)
    }

    /// Cost by the token counts of a reply; where they are not known, the most it may be.
    pub fn cost_of(&self, request: &ChatRequest, generated: &GeneratedText) -> f64 {
        let (prompt, new) = most_tokens(request);
        self.cost(
            generated.prompt_tokens.map_or(prompt, |tokens| tokens as f64),
            generated.new_tokens.map_or(new, |tokens| tokens as f64),
        )
    }
}
