//! Asking for what the store lacks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{GeneratedText, TextGenerator};
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::error::{RequestError, RunError};
use super::estimate::{Estimate, Prices, most_tokens};
use super::ledger::Ledger;
use super::request::{ChatRequest, Reply};
use super::store::RequestStore;

/// How a batch is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Requests under way at a time. Default 4.
    pub concurrency: usize,
    /// Most requests begun in a minute, evenly spaced; `None` for no limit. Further attempts at a
    /// request that failed in passing are the generator's and not counted.
    pub requests_per_minute: Option<f64>,
    /// Prices, for the estimate and the spending limit.
    pub prices: Option<Prices>,
    /// Most that this runner may spend, in the currency of the prices.
    ///
    /// A request begins only if what is spent, what those under way may cost and what it may cost
    /// itself (see [`Estimate::cost_at_most`]) fit. A request that failed counts with all it may
    /// have cost where the server may charge for it.
    pub spending_limit: Option<f64>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { concurrency: 4, requests_per_minute: None, prices: None, spending_limit: None }
    }
}

impl RunSettings {
    fn check(&self) -> Result<(), RunError> {
        let refuse = |setting, found: String, expected| Err(RunError::Setting { setting, found, expected });
        if self.concurrency == 0 {
            return refuse("concurrency", "0".into(), "at least 1");
        }
        if let Some(rate) = self.requests_per_minute
            && !(rate > 0.0 && rate.is_finite())
        {
            return refuse("requests_per_minute", rate.to_string(), "a positive number");
        }
        for (setting, amount) in [
            ("prices.prompt", self.prices.map(|prices| prices.prompt)),
            ("prices.new", self.prices.map(|prices| prices.new)),
            ("spending_limit", self.spending_limit),
        ] {
            if let Some(amount) = amount
                && !(amount >= 0.0 && amount.is_finite())
            {
                return refuse(setting, amount.to_string(), "a number from 0");
            }
        }
        match (self.spending_limit, self.prices) {
            (Some(limit), None) => refuse(
                "spending_limit",
                format!("{limit} without `prices`"),
                "prices to hold spending against",
            ),
            _ => Ok(()),
        }
    }
}

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

/// Asks a model, in process or over HTTP, for what its store lacks.
pub struct Runner<'a> {
    pub(super) generator: &'a dyn TextGenerator,
    pub(super) store: &'a RequestStore,
    pub(super) settings: RunSettings,
    stop: Option<&'a AtomicBool>,
    ledger: Mutex<Ledger>,
}

impl fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("store", &self.store.path())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<'a> Runner<'a> {
    /// Joins a model and a store.
    ///
    /// # Errors
    /// When a setting is out of its range, or there is a spending limit without prices.
    pub fn new(
        generator: &'a dyn TextGenerator,
        store: &'a RequestStore,
        settings: RunSettings,
    ) -> Result<Self, RunError> {
        settings.check()?;
        Ok(Self { generator, store, settings, stop: None, ledger: Mutex::default() })
    }

    /// Ends a batch early when the flag is raised, e.g. by Ctrl-C. Requests under way at a server
    /// are waited for and kept, for they are paid.
    pub fn stop_on(self, flag: &'a AtomicBool) -> Self {
        Self { stop: Some(flag), ..self }
    }

    /// Spent so far by this runner, in the currency of the prices; 0 without prices.
    pub fn spent(&self) -> f64 {
        self.ledger().spent
    }

    /// What a batch will take.
    pub fn estimate(&self, requests: &[ChatRequest]) -> Estimate {
        let measured = self.store.measured();
        let mut estimate = Estimate {
            stored: 0,
            new: 0,
            prompt_tokens: 0.0,
            new_tokens: 0.0,
            cost: self.settings.prices.map(|_| 0.0),
            cost_at_most: self.settings.prices.map(|_| 0.0),
        };
        let mut seen = HashSet::new();
        for request in requests {
            let key = request.key();
            if self.store.get(&key).is_some() {
                estimate.stored += usize::from(seen.insert(key));
            } else if seen.insert(key) {
                let (prompt, new) = measured.expected_tokens(request);
                estimate.new += 1;
                estimate.prompt_tokens += prompt;
                estimate.new_tokens += new;
                estimate.cost = estimate.cost.map(|cost| cost + self.cost(prompt, new));
                estimate.cost_at_most = estimate.cost_at_most.map(|cost| cost + self.cost_at_most(request));
            }
        }
        estimate
    }

    /// The replies to `requests`, in their order: from the store where they are there, from the
    /// model otherwise. Equal requests are asked once. `progress` is called at the start and
    /// after each change, on the calling thread.
    ///
    /// # Errors
    /// [`RunError`] when the batch ended early; a request that came to nothing is an error in
    /// its place only, and is asked again by the next run.
    pub fn run(
        &self,
        requests: &[ChatRequest],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Result<Reply, RequestError>>, RunError> {
        let keys: Vec<String> = requests.iter().map(ChatRequest::key).collect();
        let mut outcomes: HashMap<&str, Result<Reply, RequestError>> = HashMap::new();
        let mut lacking = Vec::new();
        let mut seen = HashSet::new();
        for (index, key) in keys.iter().enumerate() {
            if !seen.insert(key.as_str()) {
                continue;
            }
            match self.store.get(key) {
                Some(reply) => {
                    outcomes.insert(key, Ok(reply));
                }
                None => lacking.push(index),
            }
        }
        let stored = outcomes.len();
        for (index, outcome) in Batch::new(self, requests, &keys, lacking, stored, progress).run()? {
            outcomes.insert(&keys[index], outcome);
        }
        let in_place = |(index, key): (usize, &String)| {
            outcomes[key.as_str()].clone().map_err(|error| RequestError { index, ..error })
        };
        Ok(keys.iter().enumerate().map(in_place).collect())
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cost(&self, prompt_tokens: f64, new_tokens: f64) -> f64 {
        self.settings.prices.map_or(0.0, |prices| prices.cost(prompt_tokens, new_tokens))
    }

    pub(super) fn cost_at_most(&self, request: &ChatRequest) -> f64 {
        let (prompt, new) = most_tokens(request);
        self.cost(prompt, new)
    }

    /// Cost by the token counts of a reply; where they are not known, the most it may be.
    pub(super) fn cost_of(&self, request: &ChatRequest, generated: &GeneratedText) -> f64 {
        let (prompt, new) = most_tokens(request);
        self.cost(
            generated.prompt_tokens.map_or(prompt, |tokens| tokens as f64),
            generated.new_tokens.map_or(new, |tokens| tokens as f64),
        )
    }
}
