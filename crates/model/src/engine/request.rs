//! What is asked of an engine, and what it answers.

use camelid_chat::{GenerateOptions, GeneratedText, OptionError, StopReason};

use super::constraint::Constraint;
use crate::error::ModelError;

/// A sequence of an engine, from its submission to its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

/// One sequence to continue.
#[derive(Clone, Debug, Default)]
pub struct EngineRequest {
    /// The tokens to continue.
    pub prompt: Vec<u32>,
    /// Sampling, stopping and length; 0 new tokens read the prompt alone.
    pub options: GenerateOptions,
    /// Name of an adapter that the engine holds; `None` is the base.
    pub adapter: Option<String>,
    /// The logarithm of the probability of each new token, beside those of this many likeliest tokens.
    pub logprobs: Option<usize>,
    /// The same for the tokens of the prompt but the first, which nothing comes before.
    pub prompt_logprobs: Option<usize>,
    /// Added to the logits of these tokens; −∞ forbids one.
    pub logit_bias: Vec<(u32, f32)>,
    /// Taken off the logit of every token that was generated before.
    pub presence_penalty: f32,
    /// Taken off the logit of a token each time that it was generated before.
    pub frequency_penalty: f32,
    /// What the text has to be.
    pub constraint: Option<Constraint>,
}

impl EngineRequest {
    /// Continues `prompt`, as [`generate_text`](crate::generate_text) does.
    pub fn new(prompt: Vec<u32>, options: GenerateOptions) -> Self {
        Self { prompt, options, ..Self::default() }
    }

    /// Checks what can be checked without the model.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        self.options.check()?;
        if self.prompt.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        for (option, value) in
            [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            if !value.is_finite() {
                return Err(OptionError { option, found: value.to_string(), expected: "a number" }.into());
            }
        }
        if let Some((_, value)) = self.logit_bias.iter().find(|(_, v)| v.is_nan() || *v == f32::INFINITY) {
            let expected = "a number, or −∞";
            return Err(OptionError { option: "logit_bias", found: value.to_string(), expected }.into());
        }
        Ok(())
    }
}

/// How probable a token was.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability by the model's own logits: before biases, penalties,
    /// temperature and filters.
    pub logprob: f32,
    /// The likeliest tokens with theirs, likeliest first, equal ones by rising id.
    pub top: Vec<(u32, f32)>,
}

/// What happened to a sequence. `Done` and `Failed` are its last events.
#[derive(Debug)]
pub enum EngineEvent {
    /// The prompt was read; comes once, before any text.
    Prompt {
        /// Tokens of the prompt whose keys and values were there already.
        cached_tokens: usize,
        /// Those of the second to the last token of the prompt, if asked for.
        logprobs: Option<Vec<TokenLogprobs>>,
    },
    /// Text that is certain to be part of the result: whole characters, no start of a stop string.
    Text {
        /// The text.
        text: String,
        /// The new tokens that it begins or goes on with. A token whose text is held back comes with
        /// the text; those of a stop string never come.
        ids: Vec<u32>,
        /// One for each of `ids` if asked for, else none.
        logprobs: Vec<TokenLogprobs>,
    },
    /// It ended.
    Done(Finished),
    /// It cannot go on.
    Failed(ModelError),
}

/// How a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Why. A constraint after which nothing can follow ends a turn.
    pub reason: StopReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them whose keys and values were there already.
    pub cached_tokens: usize,
    /// Tokens made, those of a stop string included, a stop id not.
    pub new_tokens: usize,
}

impl Finished {
    /// With the text that was given out.
    pub fn with_text(self, text: String) -> GeneratedText {
        GeneratedText {
            text,
            prompt_tokens: Some(self.prompt_tokens),
            new_tokens: Some(self.new_tokens),
            reason: self.reason,
            model_version: None,
            own_temperature: false,
        }
    }
}

/// What an engine is doing, and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Sequences that have blocks.
    pub running: usize,
    /// Sequences that wait for them.
    pub waiting: usize,
    /// Blocks of the cache that sequences hold.
    pub blocks_used: usize,
    /// Blocks of the cache.
    pub blocks_total: usize,
    /// Sequences that ended, in any way.
    pub finished: u64,
    /// Sequences whose blocks were taken for others, to be computed again later.
    pub preempted: u64,
    /// Tokens of prompts whose keys and values were computed, those of preempted sequences again.
    pub prompt_tokens: u64,
    /// Tokens of prompts whose keys and values were there already.
    pub cached_tokens: u64,
    /// Tokens made.
    pub new_tokens: u64,
    /// Forward passes.
    pub steps: u64,
}
