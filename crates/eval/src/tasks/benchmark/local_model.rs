//! A model in this process, asked with text.

use std::ops::ControlFlow;

use camelid_chat::{Conversation, Message, Role, Template};
use camelid_model::generate::argmax;
use camelid_model::{GenerateOptions, Llama, PromptCache, TokenizerFile, generate_text_cached};
use rayon::prelude::*;

use super::error::ModelFailure;
use super::model::{Completion, LanguageModel, Likelihood, Likelihoods};

/// Positions whose logits are computed at once: a vocabulary of 50,000 takes 50 MB for them.
const PIECE: usize = 256;

/// A model with its tokenizer. Texts that begin alike, one after the other, share the keys and
/// values of their beginning.
#[derive(Debug)]
pub struct LocalModel<'a> {
    cache: PromptCache<'a>,
    tokenizer: &'a TokenizerFile,
    template: Option<Template>,
    beyond_context: bool,
}

impl<'a> LocalModel<'a> {
    /// Joins the two. `model` should be a `valid()` copy, which tracks no gradients.
    ///
    /// With a template a prompt is the user's message and the model continues the assistant's
    /// turn; without, the model continues the prompt itself.
    ///
    /// # Errors
    /// When the tokenizer lacks a token that the template needs.
    pub fn new(
        model: &'a Llama,
        tokenizer: &'a TokenizerFile,
        template: Option<Template>,
    ) -> Result<Self, ModelFailure> {
        if let Some(template) = &template {
            template.check_prompt(&tokenizer.tokenizer)?;
        }
        Ok(Self { cache: PromptCache::new(model), tokenizer, template, beyond_context: false })
    }

    /// The same model with prompts of any length: nothing is cut off their beginning, and positions
    /// beyond the model's context are computed like any other.
    #[must_use]
    pub fn beyond_context(self) -> Self {
        Self { beyond_context: true, ..self }
    }

    /// Log-likelihood of each continuation after `context`: one pass over the context, then one
    /// over each continuation of more than one token.
    ///
    /// # Errors
    /// When `context` or a continuation is empty, or the model fails.
    pub fn log_likelihoods_of_ids(
        &mut self,
        context: &[u32],
        continuations: &[Vec<u32>],
    ) -> Result<Vec<Likelihood>, ModelFailure> {
        let after_context = self.cache.logits_after(context)?;
        let mut found = Vec::with_capacity(continuations.len());
        for continuation in continuations {
            let (&first, rest) = continuation.split_first().ok_or("a continuation has no tokens")?;
            let mut likelihood = of_token(&after_context, first);
            if !rest.is_empty() {
                let ids = [context, &continuation[..rest.len()]].concat();
                let logits = self.cache.logits_from(&ids, context.len())?;
                likelihood = likelihood.and(of_tokens(&logits, rest));
            }
            found.push(likelihood);
        }
        Ok(found)
    }

    /// Log-likelihood of `ids[from..]` given what precedes each.
    ///
    /// # Errors
    /// When `from` is 0 or beyond the end, or the model fails.
    pub fn log_likelihood_from(&mut self, ids: &[u32], from: usize) -> Result<Likelihood, ModelFailure> {
        let mut start = from.checked_sub(1).filter(|_| from < ids.len()).ok_or("no token to score")?;
        let mut total = Likelihood { sum: 0.0, tokens: 0, is_greedy: true };
        while start + 1 < ids.len() {
            let end = (start + PIECE).min(ids.len() - 1);
            let logits = self.cache.logits_from(&ids[..end], start)?;
            total = total.and(of_tokens(&logits, &ids[start + 1..end + 1]));
            start = end;
        }
        Ok(total)
    }

    /// Tokens the model's context has room for.
    fn room(&self) -> usize {
        match self.beyond_context {
            true => usize::MAX,
            false => self.cache.model().config().context_length(),
        }
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, ModelFailure> {
        Ok(self.tokenizer.tokenizer.encode(text, special)?.get_ids().to_vec())
    }

    fn encode_message(&self, template: &Template, text: &str) -> Result<Vec<u32>, ModelFailure> {
        let messages = vec![Message::new(Role::User, text)];
        let conversation = Conversation { id: "prompt".into(), messages };
        Ok(template.prompt(&conversation, &self.tokenizer.tokenizer)?)
    }

    fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, ModelFailure> {
        match &self.template {
            Some(template) => self.encode_message(template, text),
            None => self.encode(text, true),
        }
    }

    /// Ids of the context and of each continuation.
    ///
    /// Both are tokenised together, so that a token's leading space is where the tokenizer puts
    /// it; spaces that end the context count to the continuation, as in lm-evaluation-harness.
    /// After a chat template each is tokenised alone.
    fn encode_pairs(
        &self,
        context: &str,
        continuations: &[String],
    ) -> Result<(Vec<u32>, Vec<Vec<u32>>), ModelFailure> {
        if let Some(template) = &self.template {
            let context = self.encode_message(template, context)?;
            let alone = |c: &String| self.encode(c.trim_start(), false);
            return Ok((context, continuations.iter().map(alone).collect::<Result<_, _>>()?));
        }
        let kept = context.trim_end();
        let spaces = &context[kept.len()..];
        let start = self.encode(kept, true)?;
        let tail = |c: &String| {
            let whole = self.encode(&format!("{kept}{spaces}{c}"), true)?;
            Ok(whole.get(start.len()..).unwrap_or_default().to_vec())
        };
        let tails = continuations.iter().map(tail).collect::<Result<_, ModelFailure>>()?;
        Ok((start, tails))
    }
}

impl LanguageModel for LocalModel<'_> {
    fn log_likelihoods(
        &mut self,
        context: &str,
        continuations: &[String],
    ) -> Result<Likelihoods, ModelFailure> {
        let (context, continuations) = self.encode_pairs(context, continuations)?;
        let longest = continuations.iter().map(Vec::len).max().unwrap_or_default();
        let cut = cut(&context, self.room(), longest)?;
        let found = self.log_likelihoods_of_ids(&context[cut..], &continuations)?;
        Ok(Likelihoods { continuations: found, context_tokens: context.len(), cut_tokens: cut })
    }

    fn text_log_likelihoods(
        &mut self,
        text: &str,
        window: usize,
        stride: usize,
    ) -> Result<Vec<Likelihood>, ModelFailure> {
        let ids = self.encode(text, true)?;
        let window = window.min(self.room());
        // At least one token before those that are scored, in every window.
        let before = window.saturating_sub(stride).max(1);
        if window <= before {
            return Err(format!("a window of {window} tokens has no room to score any").into());
        }
        let mut windows = Vec::new();
        let mut scored = 1;
        while scored < ids.len() {
            let start = scored.saturating_sub(before);
            let end = (start + window).min(ids.len());
            windows.push(self.log_likelihood_from(&ids[start..end], scored - start)?);
            scored = end;
        }
        Ok(windows)
    }

    fn complete(&mut self, prompt: &str, options: &GenerateOptions) -> Result<Completion, ModelFailure> {
        let prompt = self.encode_prompt(prompt)?;
        let cut = cut(&prompt, self.room(), options.max_new_tokens)?;
        let mut options = options.clone();
        options.stop_ids.extend(&self.cache.model().config().eos_token_ids);
        options.stop_ids.extend(self.tokenizer.eos_id());
        if let Some(template) = &self.template {
            options.stop.extend_from_slice(template.stop_strings());
            options.stop_ids.extend(template.stop_ids(&self.tokenizer.tokenizer));
        }
        let tokenizer = &self.tokenizer.tokenizer;
        let go_on = &mut |_: &str| ControlFlow::Continue(());
        let text = generate_text_cached(&mut self.cache, tokenizer, &prompt[cut..], &options, go_on)?;
        Ok(Completion { text, cut_tokens: cut })
    }
}

impl Likelihood {
    /// Of both runs of tokens, one after the other.
    fn and(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            tokens: self.tokens + other.tokens,
            is_greedy: self.is_greedy && other.is_greedy,
        }
    }
}

/// How many tokens to leave out at the beginning, so that `more` fit behind the rest.
fn cut(prompt: &[u32], room: usize, more: usize) -> Result<usize, ModelFailure> {
    if prompt.is_empty() {
        return Err("the prompt has no tokens".into());
    }
    let cut = (prompt.len() + more).saturating_sub(room);
    if cut >= prompt.len() {
        return Err(format!("{more} tokens leave no room for a prompt in a context of {room}").into());
    }
    Ok(cut)
}

/// Of tokens whose logits lie one vocabulary after the other.
fn of_tokens(logits: &[f32], ids: &[u32]) -> Likelihood {
    let vocabulary = logits.len() / ids.len();
    // Collected first: a parallel sum would depend on how the work was split.
    let each: Vec<Likelihood> =
        logits.par_chunks_exact(vocabulary).zip(ids).map(|(row, id)| of_token(row, *id)).collect();
    each.into_iter().reduce(Likelihood::and).unwrap_or(Likelihood { sum: 0.0, tokens: 0, is_greedy: true })
}

/// Log of the softmax of `logits` at `id`.
fn of_token(logits: &[f32], id: u32) -> Likelihood {
    let best = argmax(logits);
    let largest = logits[best as usize];
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    let sum = f64::from(logits[id as usize] - largest) - sum.ln();
    Likelihood { sum, tokens: 1, is_greedy: best == id }
}
