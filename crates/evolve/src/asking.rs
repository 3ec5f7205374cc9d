//! Putting requests to models: a seed for each, within the spending limit, every reply kept.

use std::sync::atomic::AtomicBool;

use camelid_chat::requests::{
    ChatRequest, NotAsked, Prices, Progress, Reply, RequestError, RequestStore, RunError, RunSettings, Runner,
};
use camelid_chat::{GenerateFailure, GenerateOptions, Message, Role, StopReason, TextGenerator};
use camelid_files::digest;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::EvolveError;
use crate::lineage::{Call, Task};

/// A model, and how it is asked.
#[derive(Clone)]
pub struct Model<'a> {
    /// Who replies.
    pub generator: &'a dyn TextGenerator,
    /// Its name in requests and lineage, which tells it apart from every other model.
    pub name: String,
    /// How it generates; the seed is each request's own.
    pub options: GenerateOptions,
    /// How fast it is asked, and its prices. The spending limit is the whole run's.
    pub settings: RunSettings,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The round, from 1; 0 for the seeds' own answers.
    pub round: usize,
    /// What is asked for.
    pub task: Task,
    /// How far the requests are.
    pub requests: Progress,
}

/// What a run asks with: where replies are kept, what it may spend, who can end it.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Where every reply is kept as it arrives.
    pub store: &'a RequestStore,
    /// Ends the run early when raised, e.g. by Ctrl-C.
    pub stop: Option<&'a AtomicBool>,
    /// Most that one run may spend at models whose prices are known, in the currency of the prices.
    pub spending_limit: Option<f64>,
}

/// A request for one row.
pub(crate) struct Asked {
    /// What is put to the model.
    pub prompt: String,
    /// Seed of sampling.
    pub seed: u64,
}

/// What came of a request.
pub(crate) struct Answered {
    /// The reply, or why the model refuses the request as it is.
    pub reply: Result<Reply, String>,
    /// What the lineage keeps of it.
    pub call: Call,
}

impl Answered {
    /// The reply's text and whether the limit of tokens ended it.
    pub(crate) fn text(&self) -> Result<(&str, bool), &str> {
        match &self.reply {
            Ok(reply) => Ok((&reply.text, reply.reason == StopReason::Length)),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The books of one run: what it has spent, and who watches it.
pub(crate) struct Books<'a> {
    desk: Desk<'a>,
    spent: f64,
    progress: &'a mut dyn FnMut(Stage),
}

impl<'a> Books<'a> {
    pub(crate) fn open(desk: Desk<'a>, progress: &'a mut dyn FnMut(Stage)) -> Self {
        Self { desk, spent: 0.0, progress }
    }

    /// Puts prompts to a model and gives what came of each, in their order.
    pub(crate) fn ask(
        &mut self,
        task: Task,
        model: &Model,
        round: usize,
        asked: Vec<Asked>,
    ) -> Result<Vec<Answered>, EvolveError> {
        let request = |asked: Asked| ChatRequest {
            model: model.name.clone(),
            messages: vec![Message::new(Role::User, asked.prompt)],
            options: GenerateOptions { seed: asked.seed, ..model.options.clone() },
        };
        let requests: Vec<ChatRequest> = asked.into_iter().map(request).collect();
        let outcomes = self.batch(task, model, round, &requests)?;
        let total = outcomes.len();
        let passing = |outcome: &Result<Reply, RequestError>| outcome.as_ref().is_err_and(passes);
        let failed = outcomes.iter().filter(|outcome| passing(outcome)).count();
        if let Some(Err(first)) = outcomes.iter().find(|outcome| passing(outcome)) {
            let first = first.clone();
            return Err(EvolveError::Unanswered { round, task: task.verb(), failed, total, first });
        }
        let answered = |(request, outcome): (&ChatRequest, Result<Reply, RequestError>)| Answered {
            call: call(task, model, request, outcome.as_ref().ok()),
            reply: outcome.map_err(|error| error.source.to_string()),
        };
        Ok(requests.iter().zip(outcomes).map(answered).collect())
    }

    /// One batch, within what is left of the spending limit.
    fn batch(
        &mut self,
        task: Task,
        model: &Model,
        round: usize,
        requests: &[ChatRequest],
    ) -> Result<Vec<Result<Reply, RequestError>>, EvolveError> {
        let limit = self.desk.spending_limit.filter(|_| model.settings.prices.is_some());
        let left = limit.map(|limit| (limit - self.spent).max(0.0));
        let settings = RunSettings { spending_limit: left, ..model.settings.clone() };
        let mut runner = Runner::new(model.generator, self.desk.store, settings)?;
        if let Some(stop) = self.desk.stop {
            runner = runner.stop_on(stop);
        }
        let before = self.spent;
        let outcomes = runner.run(requests, &mut |requests: Progress| {
            let requests = Progress { spent: before + requests.spent, ..requests };
            (self.progress)(Stage { round, task, requests });
        });
        self.spent += runner.spent();
        outcomes.map_err(|error| match (error, limit) {
            // Of the whole run, not of this batch.
            (RunError::SpendingLimit { next, left, total, .. }, Some(limit)) => {
                RunError::SpendingLimit { limit, spent: self.spent, next, left, total }.into()
            }
            (error, _) => error.into(),
        })
    }
}

fn call(task: Task, model: &Model, request: &ChatRequest, reply: Option<&Reply>) -> Call {
    let prompt_tokens = reply.and_then(|reply| reply.prompt_tokens);
    let new_tokens = reply.and_then(|reply| reply.new_tokens);
    let cost = |prices: Prices| Some(prices.cost(prompt_tokens? as f64, new_tokens? as f64));
    Call {
        task,
        model: model.name.clone(),
        request: request.key(),
        seed: request.options.seed,
        prompt_tokens,
        new_tokens,
        cost: model.settings.prices.and_then(cost),
    }
}

/// Whether another run may get a reply where this one got none. What a server holds back, or finds
/// wrong with the request itself, it will again.
fn passes(error: &RequestError) -> bool {
    let source = error.source.as_ref();
    source.downcast_ref::<GenerateFailure>().is_some_and(|failure| !failure.is_of_this_request)
        || source.is::<NotAsked>()
}

/// A number that depends on a run's seed, a row and a purpose, and on nothing else: not on the order
/// of replies, nor on how many rows there are.
pub(crate) fn hash(seed: u64, id: &str, purpose: &str) -> u32 {
    let hex = digest::of_bytes(format!("{seed}\n{id}\n{purpose}"));
    u32::from_str_radix(&hex[..8], 16).expect("a digest is hexadecimal")
}

/// A generator of numbers for a row and a purpose.
pub(crate) fn rng(seed: u64, id: &str, purpose: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(hash(seed, id, purpose).into())
}
