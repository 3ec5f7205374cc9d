//! What tasks need of a model.

use std::ops::ControlFlow;

use camelid_chat::{Message, Role};
use camelid_model::{GenerateOptions, GeneratedText, TextGenerator};

use super::error::ModelFailure;

/// A model that tasks are put to.
pub trait LanguageModel {
    /// Log-likelihood of each continuation after `context`, which is computed once for all.
    ///
    /// # Errors
    /// Whatever keeps the implementation from answering.
    fn log_likelihoods(
        &mut self,
        context: &str,
        continuations: &[String],
    ) -> Result<Likelihoods, ModelFailure>;

    /// Log-likelihood of a text in windows that slide over it; see
    /// [`Perplexity`](super::Perplexity).
    ///
    /// # Errors
    /// As [`LanguageModel::log_likelihoods`].
    fn text_log_likelihoods(
        &mut self,
        text: &str,
        window: usize,
        stride: usize,
    ) -> Result<Vec<Likelihood>, ModelFailure>;

    /// Continues a text.
    ///
    /// # Errors
    /// As [`LanguageModel::log_likelihoods`].
    fn complete(&mut self, prompt: &str, options: &GenerateOptions) -> Result<Completion, ModelFailure>;
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

/// Continuations of one context.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihoods {
    /// One a continuation.
    pub continuations: Vec<Likelihood>,
    /// Tokens of the context.
    pub context_tokens: usize,
    /// Tokens cut off its beginning, since the model's context has no room for them.
    pub cut_tokens: usize,
}

/// A completed text.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// What was generated, and why it ended.
    pub text: GeneratedText,
    /// Tokens cut off the prompt's beginning.
    pub cut_tokens: usize,
}

/// A generator that only answers messages, such as an HTTP endpoint: it can be asked for
/// completions, each prompt being the user's message, and knows no log-likelihoods.
#[derive(Debug)]
pub struct Answers<G>(pub G);

impl<G: TextGenerator> LanguageModel for Answers<G> {
    fn log_likelihoods(&mut self, _: &str, _: &[String]) -> Result<Likelihoods, ModelFailure> {
        Err(NO_LIKELIHOODS.into())
    }

    fn text_log_likelihoods(&mut self, _: &str, _: usize, _: usize) -> Result<Vec<Likelihood>, ModelFailure> {
        Err(NO_LIKELIHOODS.into())
    }

    fn complete(&mut self, prompt: &str, options: &GenerateOptions) -> Result<Completion, ModelFailure> {
        let messages = [Message::new(Role::User, prompt)];
        let text = self.0.generate(&messages, options, &mut |_| ControlFlow::Continue(()))?;
        Ok(Completion { text, cut_tokens: 0 })
    }
}

const NO_LIKELIHOODS: &str =
    "a generator that only answers messages gives no log-likelihoods; use a model in this process";
