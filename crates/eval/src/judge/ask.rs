//! Asking for replies, and a dry run of it to learn what will be asked.

use std::fmt;

use camelid_chat::StopReason;

use camelid_chat::requests::{
    ChatRequest, Estimate, Progress, Reply, RequestError, RequestStore, RunError, Runner,
};

/// What a batch of requests is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A model's answers to the questions of a turn.
    Answers {
        /// The model's name.
        model: String,
        /// The turn, from 1.
        turn: usize,
    },
    /// Judgments.
    Judgments,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers { model, turn } => write!(f, "answers of {model}, turn {turn}"),
            Self::Judgments => f.write_str("judgments"),
        }
    }
}

impl Stage {
    /// The stage with what failed and what was spent so far, in words.
    pub fn progressed(&self, progress: &Progress) -> String {
        let mut words = self.to_string();
        if progress.failed > 0 {
            words += &format!(", {} failed", progress.failed);
        }
        if progress.spent > 0.0 {
            words += &format!(", {:.2} spent", progress.spent);
        }
        words
    }
}

/// A request that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoReply {
    /// Why.
    pub reason: String,
    /// The text that came instead of a reply; empty where nothing came.
    pub text: String,
}

/// Whoever gives the replies to batches of requests.
pub trait Ask {
    /// The replies, in the order of the requests.
    ///
    /// # Errors
    /// [`RunError`] when the batch ended early.
    fn ask(
        &mut self,
        stage: &Stage,
        requests: &[ChatRequest],
    ) -> Result<Vec<Result<Reply, NoReply>>, RunError>;
}

/// Asks the model, and tells how far it is.
pub struct Live<'a> {
    runner: &'a Runner<'a>,
    progress: &'a mut dyn FnMut(&Stage, Progress),
}

impl<'a> Live<'a> {
    /// Asks through `runner`; `progress` is called at the start of a batch and after each change.
    pub fn new(runner: &'a Runner<'a>, progress: &'a mut dyn FnMut(&Stage, Progress)) -> Self {
        Self { runner, progress }
    }
}

impl Ask for Live<'_> {
    fn ask(
        &mut self,
        stage: &Stage,
        requests: &[ChatRequest],
    ) -> Result<Vec<Result<Reply, NoReply>>, RunError> {
        let replies = self.runner.run(requests, &mut |progress| (self.progress)(stage, progress))?;
        let no_reply = |error: RequestError| NoReply {
            reason: error.source.to_string(),
            text: error.text().unwrap_or_default().to_owned(),
        };
        Ok(replies.into_iter().map(|reply| reply.map_err(no_reply)).collect())
    }
}

/// Asks nobody: stored replies are given as they are, and a stand-in for each of the others.
///
/// A stand-in is the request's key over and over, so that equal ones come of equal requests only; it
/// has as many bytes as its reply may have tokens. At a token for every four bytes that
/// is a reply of a quarter of the allowed length, a usual one; at a token for every byte, the
/// longest possible. So [`Estimate::cost`] and [`Estimate::cost_at_most`] both hold.
pub struct DryRun<'a> {
    store: &'a RequestStore,
    requests: Vec<ChatRequest>,
}

impl<'a> DryRun<'a> {
    /// A dry run with the replies of `store`.
    pub fn new(store: &'a RequestStore) -> Self {
        Self { store, requests: Vec::new() }
    }

    /// What `runner` will take for everything that was asked so far.
    pub fn estimate(&self, runner: &Runner) -> Estimate {
        runner.estimate(&self.requests)
    }
}

impl Ask for DryRun<'_> {
    fn ask(
        &mut self,
        _stage: &Stage,
        requests: &[ChatRequest],
    ) -> Result<Vec<Result<Reply, NoReply>>, RunError> {
        self.requests.extend_from_slice(requests);
        let reply = |request: &ChatRequest| {
            let key = request.key();
            self.store.get(&key).unwrap_or_else(|| Reply {
                text: key.chars().cycle().take(request.options.max_new_tokens).collect(),
                key,
                reason: StopReason::Length,
                prompt_tokens: None,
                new_tokens: None,
                model_version: None,
                own_temperature: false,
                unix_seconds: 0,
            })
        };
        Ok(requests.iter().map(|request| Ok(reply(request))).collect())
    }
}
