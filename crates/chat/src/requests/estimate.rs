//! What a batch will cost, before it is sent.

use std::collections::HashMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::request::{ChatRequest, Reply};

/// Bytes of a token, where no reply says better: about right for English.
const BYTES_PER_TOKEN: f64 = 4.0;
/// More tokens than any chat format puts around a message.
const TOKENS_AROUND_MESSAGE: usize = 16;

/// Prices per million tokens, in any one currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of a million tokens of prompts.
    pub prompt: f64,
    /// Of a million tokens of replies.
    pub new: f64,
}

impl Prices {
    /// Price of so many tokens.
    pub fn cost(&self, prompt_tokens: f64, new_tokens: f64) -> f64 {
        (self.prompt * prompt_tokens + self.new * new_tokens) / 1e6
    }
}

/// Prices per million tokens, `IN,OUT`.
impl FromStr for Prices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let price = |text: &str| text.trim().parse::<f64>().ok().filter(|p| *p >= 0.0 && p.is_finite());
        let both = text.split_once(',').and_then(|(prompt, new)| Some((price(prompt)?, price(new)?)));
        let (prompt, new) = both
            .ok_or_else(|| format!("`{text}` is no pair of prices; expected IN,OUT for a million tokens"))?;
        Ok(Self { prompt, new })
    }
}

/// What a batch will take, by [`Runner::estimate`](super::Runner::estimate).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Distinct requests whose reply is in the store: they cost nothing.
    pub stored: usize,
    /// Distinct requests that will be asked.
    pub new: usize,
    /// Expected tokens of the new prompts.
    pub prompt_tokens: f64,
    /// Expected tokens of the new replies.
    pub new_tokens: f64,
    /// Expected cost, where prices are known.
    pub cost: Option<f64>,
    /// A cost that will not be passed: a token for each byte of a prompt and 16 more for each
    /// message, and replies as long as the requests allow.
    pub cost_at_most: Option<f64>,
}

/// Prompt and reply of a request, in tokens, at most.
pub(super) fn most_tokens(request: &ChatRequest) -> (f64, f64) {
    let around = TOKENS_AROUND_MESSAGE * (request.messages.len() + 1);
    ((request.bytes() + around) as f64, request.options.max_new_tokens as f64)
}

/// Lengths of stored replies, by model and by the length that was allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    prompts: HashMap<String, Prompts>,
    replies: HashMap<(String, usize), Replies>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Prompts {
    bytes: usize,
    tokens: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Replies {
    count: usize,
    tokens: usize,
}

impl Measured {
    pub fn add(&mut self, request: &ChatRequest, reply: &Reply) {
        if let Some(tokens) = reply.prompt_tokens {
            let prompts = self.prompts.entry(request.model.clone()).or_default();
            prompts.bytes += request.bytes();
            prompts.tokens += tokens;
        }
        if let Some(tokens) = reply.new_tokens {
            let of = (request.model.clone(), request.options.max_new_tokens);
            let replies = self.replies.entry(of).or_default();
            replies.count += 1;
            replies.tokens += tokens;
        }
    }

    /// Tokens of a model's prompts and replies.
    pub fn tokens_of(&self, model: &str) -> (usize, usize) {
        let replies = self.replies.iter().filter(|((of, _), _)| of == model);
        let prompts = self.prompts.get(model).map_or(0, |prompts| prompts.tokens);
        (prompts, replies.map(|(_, replies)| replies.tokens).sum())
    }

    /// Prompt and reply of a request, in tokens, as stored ones of its kind were on average; where
    /// there are none, by four bytes to the token and as long as the request allows.
    pub fn expected_tokens(&self, request: &ChatRequest) -> (f64, f64) {
        let prompt = match self.prompts.get(&request.model) {
            Some(seen) if seen.bytes > 0 => seen.tokens as f64 / seen.bytes as f64,
            _ => 1.0 / BYTES_PER_TOKEN,
        };
        let allowed = request.options.max_new_tokens;
        let new = match self.replies.get(&(request.model.clone(), allowed)) {
            Some(seen) => seen.tokens as f64 / seen.count as f64,
            None => allowed as f64,
        };
        (prompt * request.bytes() as f64, new)
    }
}
