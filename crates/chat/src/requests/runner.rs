//! Asking for what the store lacks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::batch::Batch;
use super::context::{Context, Progress};
use super::error::{RequestError, RunError};
use super::estimate::Estimate;
use super::request::{ChatRequest, Reply};
use super::settings::RunSettings;
use super::store::RequestStore;
use crate::TextGenerator;

/// Asks a model, in process or over HTTP, for what its store lacks.
pub struct Runner<'a>(Context<'a>);

impl fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("store", &self.0.store.path())
            .field("settings", &self.0.settings)
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
        Ok(Self(Context { generator, store, settings, stop: None, ledger: Mutex::default(), accepts: None }))
    }

    /// Ends a batch early when the flag is raised, e.g. by Ctrl-C. Requests under way at a server
    /// are waited for and kept, for they are paid.
    pub fn stop_on(self, flag: &'a AtomicBool) -> Self {
        Self(Context { stop: Some(flag), ..self.0 })
    }

    /// Takes only replies that `accepts` takes. Another fails its request with the words that `accepts`
    /// gives, is not stored, and is asked for again by the next run; so is one that was stored before.
    pub fn accepting(self, accepts: &'a (dyn Fn(&Reply) -> Result<(), String> + Sync)) -> Self {
        Self(Context { accepts: Some(accepts), ..self.0 })
    }

    /// Spent so far by this runner, in the currency of the prices; 0 without prices.
    pub fn spent(&self) -> f64 {
        self.0.ledger().spent
    }

    /// What a batch will take.
    pub fn estimate(&self, requests: &[ChatRequest]) -> Estimate {
        let measured = self.0.store.measured();
        let mut estimate = Estimate {
            stored: 0,
            new: 0,
            prompt_tokens: 0.0,
            new_tokens: 0.0,
            cost: self.0.settings.prices.map(|_| 0.0),
            cost_at_most: self.0.settings.prices.map(|_| 0.0),
        };
        let mut seen = HashSet::new();
        for request in requests {
            let key = request.key();
            if self.0.stored(&key).is_some() {
                estimate.stored += usize::from(seen.insert(key));
            } else if seen.insert(key) {
                let (prompt, new) = measured.expected_tokens(request);
                estimate.new += 1;
                estimate.prompt_tokens += prompt;
                estimate.new_tokens += new;
                estimate.cost = estimate.cost.map(|cost| cost + self.0.cost(prompt, new));
                estimate.cost_at_most = estimate.cost_at_most.map(|cost| cost + self.0.cost_at_most(request));
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
            match self.0.stored(key) {
                Some(reply) => {
                    outcomes.insert(key, Ok(reply));
                }
                None => lacking.push(index),
            }
        }
        let stored = outcomes.len();
        for (index, outcome) in Batch::new(&self.0, requests, &keys, lacking, stored, progress).run()? {
            outcomes.insert(&keys[index], outcome);
        }
        let in_place = |(index, key): (usize, &String)| {
            outcomes[key.as_str()].clone().map_err(|error| RequestError { index, ..error })
        };
        Ok(keys.iter().enumerate().map(in_place).collect())
    }
}
