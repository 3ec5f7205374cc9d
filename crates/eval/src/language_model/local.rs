//! A model in this process, asked with text.

use std::ops::ControlFlow;

use camelid_chat::{Conversation, Message, Role, Template};
use camelid_model::generate::argmax;
use camelid_model::{Llama, PromptCache, TokenizerFile, generate_text_cached, generate_texts};
use rayon::prelude::*;

use super::rolling::rolling_windows;
use super::{
    Completion, ContinuationScore, GenerateRequest, LanguageModel, Likelihood, LoglikelihoodRequest,
    ModelFailure, RollingRequest, RollingScore,
};

/// Positions whose logits are computed at once: a vocabulary of 50,000 takes 50 MB for them.
const PIECE: usize = 256;

/// Examples whose texts are generated side by side. What was finished is kept, batch by batch, so that a run
/// that is broken off loses few.
const BATCH: usize = 32;

/// A model with its tokenizer. Texts that begin alike, one after the other, share the keys and
/// values of their beginning.
#[derive(Debug)]
pub struct LocalModel<'a> {
    cache: PromptCache<'a>,
    tokenizer: &'a TokenizerFile,
    template: Option<Template>,
    /// What the tokenizer puts before every text.
    begin: Vec<u32>,
    beyond_context: bool,
}

impl<'a> LocalModel<'a> {
    /// Joins the two. `model` should be a `valid()` copy, which tracks no gradients.
    ///
    /// With a template a context is the user's message and the model continues the assistant's
    /// turn; without, the model continues the context itself.
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
        let begin = begin(tokenizer)?;
        Ok(Self { cache: PromptCache::new(model), tokenizer, template, begin, beyond_context: false })
    }

    /// The same model with contexts of any length: nothing is cut off their beginning, and positions
    /// beyond those it was made for are computed like any other.
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
        continuations: &[impl AsRef<[u32]>],
    ) -> Result<Vec<Likelihood>, ModelFailure> {
        let after_context = self.cache.logits_after(context)?;
        let mut found = Vec::with_capacity(continuations.len());
        for continuation in continuations {
            let continuation = continuation.as_ref();
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
        let mut total = Likelihood::NOTHING;
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

    /// What stands before a text so that its first token can be scored: what the tokenizer puts there,
    /// else the token that begins texts, else the one that ends them. Empty where there is neither.
    fn prefix(&self) -> Vec<u32> {
        if self.begin.is_empty() {
            self.tokenizer.bos_id().or(self.tokenizer.eos_id()).into_iter().collect()
        } else {
            self.begin.clone()
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, ModelFailure> {
        Ok(self.tokenizer.tokenizer.encode(text, false)?.get_ids().to_vec())
    }

    /// A text as one that begins here: what ends a text is left out, since more is to follow.
    fn encode_begun(&self, text: &str) -> Result<Vec<u32>, ModelFailure> {
        Ok([self.begin.as_slice(), &self.encode(text)?].concat())
    }

    fn encode_message(&self, template: &Template, text: &str) -> Result<Vec<u32>, ModelFailure> {
        let messages = vec![Message::new(Role::User, text)];
        let conversation = Conversation { id: "prompt".into(), messages };
        Ok(template.prompt(&conversation, &self.tokenizer.tokenizer)?)
    }

    fn encode_context(&self, text: &str) -> Result<Vec<u32>, ModelFailure> {
        match &self.template {
            Some(template) => self.encode_message(template, text),
            None => self.encode_begun(text),
        }
    }

    /// Ids of a context and of its continuation; see [`LanguageModel::loglikelihood`]. After a chat
    /// template each is tokenised alone.
    fn encode_pair(&self, request: &LoglikelihoodRequest<'_>) -> Result<(Vec<u32>, Vec<u32>), ModelFailure> {
        let LoglikelihoodRequest { context, continuation } = *request;
        if let Some(template) = &self.template {
            return Ok((self.encode_message(template, context)?, self.encode(continuation.trim_start())?));
        }
        let kept = context.trim_end();
        let mut start = self.encode_begun(kept)?;
        let whole = self.encode_begun(&format!("{context}{continuation}"))?;
        let tail = whole.get(start.len()..).unwrap_or_default().to_vec();
        if start.is_empty() {
            start = self.prefix();
        }
        Ok((start, tail))
    }
}

impl LanguageModel for LocalModel<'_> {
    fn loglikelihood(
        &mut self,
        requests: &[LoglikelihoodRequest<'_>],
    ) -> Result<Vec<ContinuationScore>, ModelFailure> {
        let room = self.room();
        let pairs =
            requests.iter().map(|request| self.encode_pair(request)).collect::<Result<Vec<_>, _>>()?;
        let mut scores = Vec::with_capacity(pairs.len());
        // The last token of a continuation is scored but not read.
        let cut_of = |(context, continuation): &(Vec<u32>, Vec<u32>)| {
            cut(context, room, continuation.len().saturating_sub(1))
        };
        let mut rest = pairs.as_slice();
        while let Some(first) = rest.first() {
            let cut = cut_of(first)?;
            let mut same = 1;
            while let Some(next) = rest.get(same)
                && next.0 == first.0
                && cut_of(next)? == cut
            {
                same += 1;
            }
            let (group, others) = rest.split_at(same);
            let continuations: Vec<&[u32]> = group.iter().map(|pair| pair.1.as_slice()).collect();
            let found = self.log_likelihoods_of_ids(&first.0[cut..], &continuations)?;
            scores.extend(found.into_iter().map(|likelihood| ContinuationScore {
                likelihood,
                context_tokens: first.0.len(),
                cut_tokens: cut,
            }));
            rest = others;
        }
        Ok(scores)
    }

    fn loglikelihood_rolling(
        &mut self,
        requests: &[RollingRequest<'_>],
    ) -> Result<Vec<RollingScore>, ModelFailure> {
        let mut scores = Vec::with_capacity(requests.len());
        for request in requests {
            // A text's windows lie over its own tokens; the last of those before it begins the first.
            let mut ids = self.prefix();
            let mut before = ids.len();
            ids.extend(self.encode(request.text)?);
            if before == 0 && !ids.is_empty() {
                // No token begins a text: the first one is what the others follow.
                before = 1;
            }
            let window = request.window.unwrap_or(usize::MAX).min(self.room());
            let stride = request.stride.unwrap_or(window);
            let mut windows = Vec::new();
            for place in rolling_windows(ids.len() - before, window, stride) {
                let start = before + place.read.start;
                let start = if place.scored.start == 0 { start - 1 } else { start };
                let read = &ids[start..before + place.scored.end];
                windows.push(self.log_likelihood_from(read, before + place.scored.start - start)?);
            }
            scores.push(RollingScore { windows });
        }
        Ok(scores)
    }

    fn generate_until(&mut self, requests: &[GenerateRequest<'_>]) -> Result<Vec<Completion>, ModelFailure> {
        let (mut prompts, mut cuts) = (Vec::new(), Vec::new());
        for request in requests {
            let context = self.encode_context(request.context)?;
            let cut = cut(&context, self.room(), request.options.max_new_tokens)?;
            let mut options = request.options.clone();
            options.stop_ids.extend(&self.cache.model().config().eos_token_ids);
            options.stop_ids.extend(self.tokenizer.eos_id());
            if let Some(template) = &self.template {
                options.stop.extend_from_slice(template.stop_strings());
                options.stop_ids.extend(template.stop_ids(&self.tokenizer.tokenizer));
            }
            prompts.push((context[cut..].to_vec(), options));
            cuts.push(cut);
        }
        let tokenizer = &self.tokenizer.tokenizer;
        let texts = match prompts.as_slice() {
            // Alone it can begin with what the text before it began with.
            [(prompt, options)] => {
                let go_on = &mut |_: &str| ControlFlow::Continue(());
                vec![generate_text_cached(&mut self.cache, tokenizer, prompt, options, go_on)?]
            }
            many => generate_texts(self.cache.model(), tokenizer, many)?,
        };
        let completion = |(text, cut_tokens)| Completion { text, cut_tokens };
        Ok(texts.into_iter().zip(cuts).map(completion).collect())
    }

    fn batch(&self) -> usize {
        BATCH
    }
}

/// What the tokenizer puts before every text: all that precedes a text's own tokens.
fn begin(tokenizer: &TokenizerFile) -> Result<Vec<u32>, ModelFailure> {
    let own = tokenizer.tokenizer.encode("a", false)?;
    let framed = tokenizer.tokenizer.encode("a", true)?;
    let (own, framed) = (own.get_ids(), framed.get_ids());
    let at = framed.windows(own.len().max(1)).position(|ids| ids == own).unwrap_or(0);
    Ok(framed[..at].to_vec())
}

/// How many tokens to leave out at a context's beginning, so that `more` fit behind the rest.
fn cut(context: &[u32], room: usize, more: usize) -> Result<usize, ModelFailure> {
    if context.is_empty() {
        return Err("the context has no tokens, and no token begins a text".into());
    }
    let cut = (context.len() + more).saturating_sub(room);
    if cut >= context.len() {
        return Err(format!("{more} tokens leave no room for a context within the model's {room}").into());
    }
    Ok(cut)
}

/// Of tokens whose logits lie one vocabulary after the other.
fn of_tokens(logits: &[f32], ids: &[u32]) -> Likelihood {
    let vocabulary = logits.len() / ids.len();
    // Collected first: a parallel sum would depend on how the work was split.
    let each: Vec<Likelihood> =
        logits.par_chunks_exact(vocabulary).zip(ids).map(|(row, id)| of_token(row, *id)).collect();
    each.into_iter().fold(Likelihood::NOTHING, Likelihood::and)
}

/// Log of the softmax of `logits` at `id`.
fn of_token(logits: &[f32], id: u32) -> Likelihood {
    let best = argmax(logits);
    let largest = logits[best as usize];
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    let sum = f64::from(logits[id as usize] - largest) - sum.ln();
    Likelihood { sum, tokens: 1, is_greedy: best == id }
}
