//! Generation on text.

use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, GeneratedText, StopReason};
use tokenizers::Tokenizer;

use super::ids::generate_ids_cached;
use super::prompt_cache::{PREFILL_CHUNK, PromptCache};
use super::stop::StopFilter;
use super::stream::TextStream;
use crate::error::ModelError;
use crate::llama::Llama;

/// Continues the tokens of `prompt` and gives out text as it comes.
///
/// `on_text` sees each piece as soon as it is certain to be part of the result
/// (whole characters, no start of a stop string) and may end generation. The
/// pieces joined are the result's text.
///
/// # Errors
/// As [`generate_ids`](super::generate_ids), and when the tokenizer cannot decode.
pub fn generate_text(
    model: &Llama,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<GeneratedText, ModelError> {
    let room = prompt.len() + options.max_new_tokens.min(PREFILL_CHUNK);
    generate_text_cached(&mut PromptCache::with_room(model, room), tokenizer, prompt, options, on_text)
}

/// As [`generate_text`], with the cache's model; what `prompt` shares with the text seen
/// last is not computed again.
///
/// # Errors
/// As [`generate_text`].
pub fn generate_text_cached(
    cache: &mut PromptCache<'_>,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<GeneratedText, ModelError> {
    let mut stream = TextStream::new(tokenizer, prompt);
    let mut filter = StopFilter::new(&options.stop);
    let mut text = String::new();
    let mut met_stop = false;
    let mut show = |piece: &str, text: &mut String| {
        if piece.is_empty() {
            return ControlFlow::Continue(());
        }
        text.push_str(piece);
        on_text(piece)
    };
    let generated = generate_ids_cached(cache, prompt, options, |id| {
        let (piece, met) = filter.push(&stream.push(id)?);
        met_stop = met;
        let flow = show(&piece, &mut text);
        Ok(if met { ControlFlow::Break(()) } else { flow })
    })?;
    if !met_stop {
        // What was held back turns out to be neither a stop string nor half a character.
        let (piece, met) = filter.push(&stream.finish()?);
        met_stop = met;
        let rest = if met { piece } else { piece + &filter.finish() };
        if generated.reason != StopReason::Cancelled {
            // Nothing is left to cancel.
            let _ = show(&rest, &mut text);
        }
    }
    Ok(GeneratedText {
        text,
        prompt_tokens: Some(prompt.len()),
        new_tokens: Some(generated.ids.len()),
        reason: if met_stop { StopReason::StopString } else { generated.reason },
        model_version: None,
        own_temperature: false,
    })
}
