//! What benchmarks need of a model, under the names of lm-evaluation-harness.
//!
//! The three questions are those of its `LM` class (`lm_eval/api/model.py`), asked in batches so
//! that an implementation may share work or ask a server several things at once. Texts go in, and
//! how they become tokens is the model's own affair. Answers come in the order of the requests, or
//! not at all.

mod local;
mod rolling;

use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, TextGenerator};

pub use local::LocalModel;

/// What a model or an endpoint says when it fails.
pub type ModelFailure = Box<dyn std::error::Error + Send + Sync>;

/// A model that benchmarks are put to.
pub trait LanguageModel {
    /// Log-likelihood of each continuation after its context, and whether greedy decoding would have
    /// written it.
    ///
    /// Both are tokenised together, so that a token's leading space is where the tokenizer puts it;
    /// spaces that end the context count to the continuation. An empty context stands for the token
    /// that begins a text. A context for which there is no room loses its beginning. Requests with
    /// one context, one after the other, share its computation.
    ///
    /// # Errors
    /// Whatever keeps the implementation from answering; a continuation without a token.
    fn loglikelihood(
        &mut self,
        requests: &[LoglikelihoodRequest<'_>],
    ) -> Result<Vec<ContinuationScore>, ModelFailure>;

    /// Log-likelihood of each whole text, in windows that slide over it: every token counts once, the
    /// first after the token that begins a text. A text's own is the [`total`](RollingScore::total) of
    /// its windows.
    ///
    /// # Errors
    /// Whatever keeps the implementation from answering.
    fn loglikelihood_rolling(
        &mut self,
        requests: &[RollingRequest<'_>],
    ) -> Result<Vec<RollingScore>, ModelFailure>;

    /// Continues each context until one of its stop texts, the end of the text or of the allowed
    /// length. A context that leaves no room for that length loses its beginning.
    ///
    /// # Errors
    /// Whatever keeps the implementation from answering.
    fn generate_until(&mut self, requests: &[GenerateRequest<'_>]) -> Result<Vec<Completion>, ModelFailure>;

    /// How many examples to ask about at once: several where the model answers them in less time than
    /// one after the other. Whatever fails is asked again alone.
    fn batch(&self) -> usize {
        1
    }
}

/// A continuation to be scored after a context; lm-evaluation-harness's `(context, continuation)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoglikelihoodRequest<'a> {
    /// What comes before and is not scored.
    pub context: &'a str,
    /// What is scored.
    pub continuation: &'a str,
}

/// A text to be scored as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingRequest<'a> {
    /// The text.
    pub text: &'a str,
    /// Tokens that the model reads at once; all that its context has room for unless given.
    pub window: Option<usize>,
    /// Tokens that each window after the first scores; as many as it reads unless given, so that a
    /// window's first token has one before it (lm-evaluation-harness's way). A smaller stride gives
    /// every token at least `window − stride + 1` before it.
    pub stride: Option<usize>,
}

impl<'a> RollingRequest<'a> {
    /// A text in lm-evaluation-harness's windows.
    pub fn new(text: &'a str) -> Self {
        Self { text, window: None, stride: None }
    }
}

/// A context to be continued.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateRequest<'a> {
    /// What comes before: a prompt, or with a chat template the user's message.
    pub context: &'a str,
    /// How: lm-evaluation-harness's `until`, `max_gen_toks` and `temperature` are
    /// [`stop`](GenerateOptions::stop), [`max_new_tokens`](GenerateOptions::max_new_tokens) and
    /// [`temperature`](GenerateOptions::temperature).
    pub options: &'a GenerateOptions,
}

/// How likely a run of tokens is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// Sum of the tokens' natural log-probabilities.
    pub sum: f64,
    /// How many tokens.
    pub tokens: usize,
    /// Whether each token is the likeliest at its place.
    pub is_greedy: bool,
}

impl Likelihood {
    /// Of no token at all.
    pub const NOTHING: Self = Self { sum: 0.0, tokens: 0, is_greedy: true };

    /// Of both runs of tokens, one after the other.
    pub fn and(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            tokens: self.tokens + other.tokens,
            is_greedy: self.is_greedy && other.is_greedy,
        }
    }
}

/// A continuation's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContinuationScore {
    /// Of the continuation.
    pub likelihood: Likelihood,
    /// Tokens of the context.
    pub context_tokens: usize,
    /// Tokens cut off its beginning, since the model's context has no room for them.
    pub cut_tokens: usize,
}

/// A text's score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RollingScore {
    /// One a window; none for a text without a token.
    pub windows: Vec<Likelihood>,
}

impl RollingScore {
    /// Of the whole text.
    pub fn total(&self) -> Likelihood {
        self.windows.iter().copied().fold(Likelihood::NOTHING, Likelihood::and)
    }
}

/// A continued context.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What was generated, and why it ended.
    pub text: GeneratedText,
    /// Tokens cut off the context's beginning.
    pub cut_tokens: usize,
}

/// A generator that only answers messages, such as an HTTP endpoint: it can be asked for
/// completions, each context being the user's message, and knows no log-likelihoods.
#[derive(Debug)]
pub struct MessagesOnly<G>(pub G);

impl<G: TextGenerator> LanguageModel for MessagesOnly<G> {
    fn loglikelihood(
        &mut self,
        _: &[LoglikelihoodRequest<'_>],
    ) -> Result<Vec<ContinuationScore>, ModelFailure> {
        Err(NO_LIKELIHOODS.into())
    }

    fn loglikelihood_rolling(&mut self, _: &[RollingRequest<'_>]) -> Result<Vec<RollingScore>, ModelFailure> {
        Err(NO_LIKELIHOODS.into())
    }

    fn generate_until(&mut self, requests: &[GenerateRequest<'_>]) -> Result<Vec<Completion>, ModelFailure> {
        let completion = |request: &GenerateRequest<'_>| {
            let messages = [Message::new(Role::User, request.context)];
            let text = self.0.generate(&messages, request.options, &mut |_| ControlFlow::Continue(()))?;
            Ok(Completion { text, cut_tokens: 0 })
        };
        requests.iter().map(completion).collect()
    }
}

const NO_LIKELIHOODS: &str =
    "a generator that only answers messages gives no log-likelihoods; use a model in this process";
