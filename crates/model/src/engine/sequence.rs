//! One sequence: what it has read and made, and what of it was given out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use camelid_chat::StopReason;
use tokenizers::Tokenizer;

use super::blocks::Chain;
use super::constraint::Constrained;
use super::request::{EngineEvent, EngineRequest, Finished, SequenceId, TokenLogprobs};
use crate::error::ModelError;
use crate::generate::sampling::{Sampler, likeliest};
use crate::generate::stop::StopFilter;
use crate::generate::stream::TextStream;

/// A sequence on its way.
pub(super) struct Sequence {
    pub id: SequenceId,
    /// Index of the model it goes through: 0 is the base.
    pub model: usize,
    /// The prompt and what was generated.
    pub ids: Vec<u32>,
    /// Positions whose keys and values the blocks hold.
    pub computed: usize,
    /// The block of each run of positions.
    pub blocks: Vec<u32>,
    /// The full blocks as a chain, and how many they are.
    pub chain: Chain,
    pub chained: usize,
    /// Tokens of the prompt that were there when it first ran; `None` before.
    pub cached_tokens: Option<usize>,
    request: EngineRequest,
    prompt_logprobs: Vec<TokenLogprobs>,
    /// Whether the prompt's event was given out.
    prompt_read: bool,
    sampler: Sampler,
    constrained: Option<Constrained>,
    /// How often each token was generated, where a penalty asks for it.
    counts: BTreeMap<u32, u32>,
    text: Output,
}

/// The logits that a step computed for one sequence: of some rows of its prompt, then of what follows
/// its last token.
#[derive(Default)]
pub(super) struct Computed<'a> {
    /// For each position asked for by [`Sequence::prompt_rows`].
    pub prompt: Vec<&'a [f32]>,
    /// Of the next token, when all tokens were read.
    pub next: Option<&'a [f32]>,
}

impl Sequence {
    pub fn new(
        id: SequenceId,
        model: usize,
        root: Chain,
        mut request: EngineRequest,
        constrained: Option<Constrained>,
        tokenizer: Arc<Tokenizer>,
    ) -> Self {
        let ids = std::mem::take(&mut request.prompt);
        Self {
            id,
            model,
            computed: 0,
            blocks: Vec::new(),
            chain: root,
            chained: 0,
            cached_tokens: None,
            prompt_logprobs: Vec::new(),
            prompt_read: false,
            sampler: Sampler::new(&request.options),
            constrained,
            counts: BTreeMap::new(),
            text: Output::new(tokenizer, &ids, &request, ids.len()),
            request,
            ids,
        }
    }

    /// Tokens of the prompt.
    pub fn prompt_len(&self) -> usize {
        self.text.prompt_tokens
    }

    /// Most positions whose keys and values may come from other sequences: the last token always has
    /// to be read, and so has all whose logits are asked for.
    pub fn reusable(&self) -> usize {
        match self.request.prompt_logprobs {
            Some(_) if self.prompt_logprobs.len() + 1 < self.prompt_len() => self.prompt_logprobs.len(),
            _ => self.ids.len() - 1,
        }
    }

    /// Positions among the next `rows` whose logits are asked for because of the prompt.
    pub fn prompt_rows(&self, rows: usize) -> std::ops::Range<usize> {
        let end = (self.computed + rows).min(self.prompt_len() - 1);
        match self.request.prompt_logprobs {
            Some(_) => self.prompt_logprobs.len().clamp(self.computed, end.max(self.computed))..end,
            None => end..end,
        }
    }

    /// Takes what a step computed. The sequence has ended when the last event says so.
    pub fn advance(&mut self, computed: &Computed<'_>) -> Vec<EngineEvent> {
        let mut events = Vec::new();
        if let Err(error) = self.take(computed, &mut events) {
            events.push(EngineEvent::Failed(error));
        }
        events
    }

    fn take(&mut self, computed: &Computed<'_>, events: &mut Vec<EngineEvent>) -> Result<(), ModelError> {
        let top = self.request.prompt_logprobs.unwrap_or(0);
        for logits in &computed.prompt {
            let position = self.prompt_logprobs.len() + 1;
            check(logits, position)?;
            self.prompt_logprobs.push(logprobs(logits, self.ids[position], top));
        }
        let Some(logits) = computed.next else { return Ok(()) };
        check(logits, self.ids.len())?;
        if !self.prompt_read {
            self.prompt_read = true;
            let wanted = self.request.prompt_logprobs.is_some();
            let logprobs = wanted.then(|| std::mem::take(&mut self.prompt_logprobs));
            // Their number still says that none is missing.
            self.request.prompt_logprobs = None;
            events.push(EngineEvent::Prompt { cached_tokens: self.cached_tokens.unwrap_or(0), logprobs });
            if self.request.options.max_new_tokens == 0 {
                return self.end(StopReason::Length, events);
            }
        }

        let id = self.choose(logits)?;
        let ends = self.request.options.stop_ids.contains(&id)
            || self.constrained.as_ref().is_some_and(|constrained| constrained.is_end(id));
        if ends {
            return self.end(StopReason::StopId(id), events);
        }
        let logprobs = self.request.logprobs.map(|top| logprobs(logits, id, top));
        let complete = match &mut self.constrained {
            Some(constrained) => constrained.push(id)?,
            None => false,
        };
        self.ids.push(id);
        if self.request.presence_penalty != 0.0 || self.request.frequency_penalty != 0.0 {
            *self.counts.entry(id).or_default() += 1;
        }
        let met = self.text.push(id, logprobs, events)?;
        if met {
            return self.end(StopReason::StopString, events);
        }
        if self.ids.len() - self.prompt_len() == self.request.options.max_new_tokens {
            return self.end(StopReason::Length, events);
        }
        if complete {
            return self.end(StopReason::TurnEnd, events);
        }
        Ok(())
    }

    /// The next token.
    fn choose(&mut self, logits: &[f32]) -> Result<u32, ModelError> {
        // Copied only where something changes them: a vocabulary is large.
        let mut logits = Cow::Borrowed(logits);
        for (id, bias) in &self.request.logit_bias {
            logits.to_mut()[*id as usize] += bias;
        }
        for (id, count) in &self.counts {
            logits.to_mut()[*id as usize] -=
                self.request.presence_penalty + self.request.frequency_penalty * *count as f32;
        }
        if let Some(constrained) = &mut self.constrained {
            constrained.mask(logits.to_mut(), &self.request.options.stop_ids)?;
        }
        Ok(self.sampler.choose(logits, &self.ids))
    }

    /// The last events of a sequence that ends now.
    fn end(&mut self, reason: StopReason, events: &mut Vec<EngineEvent>) -> Result<(), ModelError> {
        let reason = self.text.finish(reason, events)?;
        events.push(EngineEvent::Done(self.finished(reason)));
        Ok(())
    }

    /// How the sequence ended, were it now and for this reason.
    pub fn finished(&self, reason: StopReason) -> Finished {
        Finished {
            reason,
            prompt_tokens: self.prompt_len(),
            cached_tokens: self.cached_tokens.unwrap_or(0),
            new_tokens: self.ids.len() - self.prompt_len(),
        }
    }
}

/// The text of a sequence, given out as far as it is certain.
struct Output {
    prompt_tokens: usize,
    stream: Option<TextStream<Arc<Tokenizer>>>,
    filter: StopFilter,
    /// Bytes of text that came from the tokenizer, and that were given out.
    decoded: usize,
    shown: usize,
    /// Tokens not yet given out, each with the number of bytes before its own.
    held: Vec<(usize, u32, Option<TokenLogprobs>)>,
}

impl Output {
    fn new(tokenizer: Arc<Tokenizer>, prompt: &[u32], request: &EngineRequest, prompt_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            stream: Some(TextStream::new(tokenizer, prompt)),
            filter: StopFilter::new(&request.options.stop),
            decoded: 0,
            shown: 0,
            held: Vec::new(),
        }
    }

    /// Takes the next token; says whether a stop string is complete.
    fn push(
        &mut self,
        id: u32,
        logprobs: Option<TokenLogprobs>,
        events: &mut Vec<EngineEvent>,
    ) -> Result<bool, ModelError> {
        self.held.push((self.decoded, id, logprobs));
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let piece = stream.push(id)?;
        self.decoded += piece.len();
        let (text, met) = self.filter.push(&piece);
        self.show(text, false, events);
        Ok(met)
    }

    /// Gives out what was held back, unless it is a stop string; says why the text ended.
    fn finish(
        &mut self,
        reason: StopReason,
        events: &mut Vec<EngineEvent>,
    ) -> Result<StopReason, ModelError> {
        let Some(stream) = self.stream.take() else { return Ok(reason) };
        if reason == StopReason::StopString {
            return Ok(reason);
        }
        let (text, met) = self.filter.push(&stream.finish()?);
        if met {
            self.show(text, false, events);
            return Ok(StopReason::StopString);
        }
        let rest = std::mem::replace(&mut self.filter, StopFilter::new(&[])).finish();
        self.show(text + &rest, true, events);
        Ok(reason)
    }

    /// Gives out `text` and the tokens that begin in it; at the end all of them.
    fn show(&mut self, text: String, all: bool, events: &mut Vec<EngineEvent>) {
        self.shown += text.len();
        let shown = self.shown;
        let count = match all {
            true => self.held.len(),
            false => self.held.iter().take_while(|(before, ..)| *before < shown).count(),
        };
        if text.is_empty() && count == 0 {
            return;
        }
        let tokens: Vec<_> = self.held.drain(..count).collect();
        events.push(EngineEvent::Text {
            text,
            ids: tokens.iter().map(|(_, id, _)| *id).collect(),
            logprobs: tokens.into_iter().filter_map(|(.., logprobs)| logprobs).collect(),
        });
    }
}

fn check(logits: &[f32], position: usize) -> Result<(), ModelError> {
    if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
        return Err(ModelError::NotANumber { position });
    }
    Ok(())
}

/// Logarithms of the probabilities of `id` and of the `top` likeliest.
fn logprobs(logits: &[f32], id: u32, top: usize) -> TokenLogprobs {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let log_sum = sum.ln();
    let of = |id: u32| (f64::from(logits[id as usize] - largest) - log_sum) as f32;
    let top = if top == 0 { Vec::new() } else { likeliest(logits, top) };
    TokenLogprobs { id, logprob: of(id), top: top.iter().map(|found| (found.id, of(found.id))).collect() }
}
