//! Many texts at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, GeneratedText};
use tokenizers::Tokenizer;

use super::prompt_cache::PromptCache;
use super::text::generate_text_cached;
use crate::engine::{Engine, EngineEvent, EngineOptions, EngineRequest, SequenceId};
use crate::error::ModelError;
use crate::llama::Llama;

/// Texts that are continued side by side at most.
const TOGETHER: usize = 128;

/// Continues each of `prompts` as [`generate_text`](super::generate_text) does, all of them together:
/// on the CPU their rows go through the model in one pass a step. What each becomes does not depend on the
/// others.
///
/// # Errors
/// As [`generate_text`](super::generate_text), for the first that fails.
pub fn generate_texts(
    model: &Llama,
    tokenizer: &Tokenizer,
    prompts: &[(Vec<u32>, GenerateOptions)],
) -> Result<Vec<GeneratedText>, ModelError> {
    let mut texts: Vec<Option<GeneratedText>> = prompts.iter().map(|_| None).collect();
    let options = EngineOptions { max_running: TOGETHER, ..EngineOptions::for_any_length(model) };
    if let Ok(mut engine) = Engine::new(model, tokenizer.clone(), options) {
        let mut places: BTreeMap<SequenceId, usize> = BTreeMap::new();
        for (place, (prompt, options)) in prompts.iter().enumerate() {
            match engine.submit(EngineRequest::new(prompt.clone(), options.clone())) {
                Ok(id) => drop(places.insert(id, place)),
                // More than there are blocks for: alone, with a cache of its own.
                Err(ModelError::CacheOverflow { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut pieces = vec![String::new(); prompts.len()];
        while !engine.is_idle() {
            for (id, event) in engine.step() {
                let Some(&place) = places.get(&id) else { continue };
                match event {
                    EngineEvent::Prompt { .. } => {}
                    EngineEvent::Text { text, .. } => pieces[place] += &text,
                    EngineEvent::Done(done) => {
                        texts[place] = Some(done.with_text(std::mem::take(&mut pieces[place])));
                    }
                    EngineEvent::Failed(error) => return Err(error),
                }
            }
        }
    }
    let mut cache = PromptCache::new(model);
    prompts
        .iter()
        .zip(texts)
        .map(|((prompt, options), text)| match text {
            Some(text) => Ok(text),
            None => {
                let go_on = &mut |_: &str| ControlFlow::Continue(());
                generate_text_cached(&mut cache, tokenizer, prompt, options, go_on)
            }
        })
        .collect()
}
