//! Generation on token ids.

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_chat::{GenerateOptions, StopReason};

use super::sampling::Sampler;
use crate::error::ModelError;
use crate::llama::{KvCache, Llama};

/// Tokens of a prompt that are run at once.
const PREFILL_CHUNK: usize = 512;

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedIds {
    /// The new tokens, without the stop id.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub reason: StopReason,
}

/// Continues `prompt` token by token.
///
/// `on_token` sees each new token and may end generation; that token counts.
/// Stop strings need a tokenizer and are left to [`generate_text`](super::generate_text).
/// `model` should be a `valid()` copy: on a training device every step would be
/// recorded for a backward pass that never comes.
///
/// # Errors
/// When an option is out of range, the prompt is empty, one of its ids is outside
/// the vocabulary, or the logits are not numbers.
pub fn generate_ids(
    model: &Llama,
    prompt: &[u32],
    options: &GenerateOptions,
    mut on_token: impl FnMut(u32) -> Result<ControlFlow<()>, ModelError>,
) -> Result<GeneratedIds, ModelError> {
    options.check()?;
    if prompt.is_empty() {
        return Err(ModelError::EmptyPrompt);
    }
    model.config().check_ids(prompt)?;
    let device = model.embed_tokens.weight.val().device();
    let room = prompt.len() + options.max_new_tokens.min(PREFILL_CHUNK);
    let mut cache = KvCache::new(model.config().num_hidden_layers, room);
    let mut sampler = Sampler::new(options);
    let mut seen = prompt.to_vec();
    let mut next = prompt;
    while let Some((chunk, rest)) = next.split_at_checked(PREFILL_CHUNK)
        && !rest.is_empty()
    {
        model.fill_cache(row(chunk, &device), &mut cache);
        next = rest;
    }
    let mut last = next.to_vec();

    let mut reason = StopReason::Length;
    while seen.len() - prompt.len() < options.max_new_tokens {
        let logits = model.forward_cached(row(&last, &device), &mut cache);
        let logits: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
        if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
            return Err(ModelError::NotANumber { position: seen.len() });
        }
        let id = sampler.choose(logits, &seen);
        if options.stop_ids.contains(&id) {
            reason = StopReason::StopId(id);
            break;
        }
        seen.push(id);
        if on_token(id)?.is_break() {
            reason = StopReason::Cancelled;
            break;
        }
        last = vec![id];
    }
    Ok(GeneratedIds { ids: seen.split_off(prompt.len()), reason })
}

/// Ids as a batch of one.
fn row(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let n = ids.len();
    Tensor::from_data(TensorData::new(ids, [1, n]), device)
}
