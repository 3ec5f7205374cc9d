//! Texts that begin alike, each computed from where it differs.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::ModelError;
use crate::llama::{KvCache, Llama};

/// Tokens of a prompt that are run at once.
pub(super) const PREFILL_CHUNK: usize = 512;

/// A model with the keys and values of the text it saw last. The next text costs only
/// what comes after the part that both begin with: the examples before a question, the
/// question before each of its answers.
///
/// The model should be a `valid()` copy: on a training device every step would be
/// recorded for a backward pass that never comes.
#[derive(Clone, Debug)]
pub struct PromptCache<'a> {
    model: &'a Llama,
    cache: KvCache,
    /// The ids whose keys and values `cache` holds.
    seen: Vec<u32>,
}

impl<'a> PromptCache<'a> {
    /// An empty cache.
    pub fn new(model: &'a Llama) -> Self {
        Self::with_room(model, PREFILL_CHUNK)
    }

    /// An empty cache that takes memory for `room` positions at first use and grows when
    /// they are full.
    pub fn with_room(model: &'a Llama, room: usize) -> Self {
        Self { model, cache: KvCache::new(model.config().num_hidden_layers, room), seen: Vec::new() }
    }

    /// The model.
    pub fn model(&self) -> &'a Llama {
        self.model
    }

    /// Logits of what follows `ids`, as many as the vocabulary has tokens.
    ///
    /// # Errors
    /// When `ids` is empty, an id is outside the vocabulary, or the logits are not numbers.
    pub fn logits_after(&mut self, ids: &[u32]) -> Result<Vec<f32>, ModelError> {
        let last = ids.len().checked_sub(1).ok_or(ModelError::EmptyPrompt)?;
        let start = self.keep(ids, last)?;
        let start = self.fill(ids, start, last);
        let logits = self.model.forward_cached(self.row(&ids[start..]), &mut self.cache);
        self.seen.extend_from_slice(&ids[start..]);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        self.check(&logits, ids.len())?;
        Ok(logits)
    }

    /// Logits of what follows each of the prefixes `ids[..from + 1]`, …, `ids[..ids.len()]`,
    /// one after the other: `(ids.len() - from) * vocab_size` values. Ask in pieces of a few
    /// hundred positions, since vocabularies are large; nothing is computed twice.
    ///
    /// # Errors
    /// When `from` is not below the number of ids, an id is outside the vocabulary, or the
    /// logits are not numbers.
    pub fn logits_from(&mut self, ids: &[u32], from: usize) -> Result<Vec<f32>, ModelError> {
        if from >= ids.len() {
            return Err(ModelError::EmptyPrompt);
        }
        let start = self.keep(ids, from)?;
        let start = self.fill(ids, start, from);
        if start < from {
            self.model.fill_cache(self.row(&ids[start..from]), &mut self.cache);
            self.seen.extend_from_slice(&ids[start..from]);
        }
        let logits = self.model.forward_cached_all(self.row(&ids[from..]), &mut self.cache);
        self.seen.extend_from_slice(&ids[from..]);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        self.check(&logits, ids.len())?;
        Ok(logits)
    }

    /// Forgets everything after what the seen text shares with `ids`, at most `most` ids,
    /// and returns how many stay.
    fn keep(&mut self, ids: &[u32], most: usize) -> Result<usize, ModelError> {
        self.model.config().check_ids(ids)?;
        let shared = self.seen.iter().zip(&ids[..most]).take_while(|(a, b)| a == b).count();
        self.cache.truncate(shared);
        self.seen.truncate(shared);
        Ok(shared)
    }

    /// Runs whole chunks of `ids` from `start` on that end at `end` or before, and returns
    /// where the rest begins.
    fn fill(&mut self, ids: &[u32], mut start: usize, end: usize) -> usize {
        while end - start >= PREFILL_CHUNK {
            let chunk = &ids[start..start + PREFILL_CHUNK];
            self.model.fill_cache(self.row(chunk), &mut self.cache);
            self.seen.extend_from_slice(chunk);
            start += PREFILL_CHUNK;
        }
        start
    }

    /// Ids as a batch of one.
    fn row(&self, ids: &[u32]) -> Tensor<2, Int> {
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let n = ids.len();
        Tensor::from_data(TensorData::new(ids, [1, n]), &self.model.embed_tokens.weight.val().device())
    }

    fn check(&self, logits: &[f32], position: usize) -> Result<(), ModelError> {
        if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
            return Err(ModelError::NotANumber { position });
        }
        Ok(())
    }
}
