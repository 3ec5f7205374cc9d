//! Generation on token ids.

use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, StopReason};

use super::prompt_cache::{PREFILL_CHUNK, PromptCache};
use super::sampling::Sampler;
use crate::error::ModelError;
use crate::llama::Llama;

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
    on_token: impl FnMut(u32) -> Result<ControlFlow<()>, ModelError>,
) -> Result<GeneratedIds, ModelError> {
    let room = prompt.len() + options.max_new_tokens.min(PREFILL_CHUNK);
    generate_ids_cached(&mut PromptCache::with_room(model, room), prompt, options, on_token)
}

/// As [`generate_ids`], with the cache's model; what `prompt` shares with the text seen
/// last is not computed again.
///
/// # Errors
/// As [`generate_ids`].
pub fn generate_ids_cached(
    cache: &mut PromptCache<'_>,
    prompt: &[u32],
    options: &GenerateOptions,
    mut on_token: impl FnMut(u32) -> Result<ControlFlow<()>, ModelError>,
) -> Result<GeneratedIds, ModelError> {
    options.check()?;
    if prompt.is_empty() {
        return Err(ModelError::EmptyPrompt);
    }
    // Found here even where no token is asked for.
    cache.model().config().check_ids(prompt)?;
    let mut sampler = Sampler::new(options);
    let mut seen = prompt.to_vec();

    let mut reason = StopReason::Length;
    while seen.len() - prompt.len() < options.max_new_tokens {
        let id = sampler.choose(cache.logits_after(&seen)?, &seen);
        if options.stop_ids.contains(&id) {
            reason = StopReason::StopId(id);
            break;
        }
        seen.push(id);
        if on_token(id)?.is_break() {
            reason = StopReason::Cancelled;
            break;
        }
    }
    Ok(GeneratedIds { ids: seen.split_off(prompt.len()), reason })
}
