//! Messages in, text out.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::mpsc::channel;

use burn::module::Module;
use camelid_chat::{
    Conversation, GenerateOptions, GeneratedText, Message, StopReason, Template, TextGenerator,
};
use tokenizers::Tokenizer;

use super::text::generate_text;
use crate::engine::{Engine, EngineEvent, EngineOptions, EngineRequest, EngineThread, Finished};
use crate::error::ModelError;
use crate::llama::Llama;
use crate::notes::LoadNote;

/// A model in this process with its tokenizer and chat template.
///
/// It answers many threads at once: their sequences go through the model together, in an [`Engine`]
/// that starts with the first question. What a text becomes does not depend on that.
#[derive(Debug)]
pub struct LocalGenerator {
    model: Llama,
    tokenizer: Tokenizer,
    template: Template,
    notes: Vec<LoadNote>,
    /// `None` on a device that has no paged attention.
    engine: OnceLock<Option<EngineThread>>,
}

impl LocalGenerator {
    /// Joins the three. The model is taken as an inference copy, which shares
    /// its weights and tracks no gradients.
    ///
    /// # Errors
    /// When the tokenizer lacks a token that the template needs.
    pub fn new(model: &Llama, tokenizer: Tokenizer, template: Template) -> Result<Self, ModelError> {
        template.check_prompt(&tokenizer)?;
        Ok(Self { model: model.valid(), tokenizer, template, notes: Vec::new(), engine: OnceLock::new() })
    }

    /// With what its files' readers noted.
    pub(super) fn with_notes(mut self, notes: Vec<LoadNote>) -> Self {
        self.notes = notes;
        self
    }

    /// What of the files it was opened from was not taken as it stands there.
    pub fn notes(&self) -> &[LoadNote] {
        &self.notes
    }

    /// The model.
    pub fn model(&self) -> &Llama {
        &self.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The template that conversations are laid out by.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// As [`TextGenerator::generate`], with this crate's errors.
    ///
    /// Generation also ends where the template or the model's configuration
    /// says that a turn or text ends.
    ///
    /// # Errors
    /// When the conversation does not fit the template, or generation fails.
    pub fn answer(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, ModelError> {
        let conversation = Conversation { id: "prompt".into(), messages: messages.to_vec() };
        let prompt = self.template.prompt(&conversation, &self.tokenizer)?;
        let mut options = options.clone();
        options.stop.extend_from_slice(self.template.stop_strings());
        options.stop_ids.extend(self.template.stop_ids(&self.tokenizer));
        options.stop_ids.extend(&self.model.config().eos_token_ids);
        match self.engine() {
            Some(engine) => self.answer_beside_others(engine, prompt, options, on_text),
            None => generate_text(&self.model, &self.tokenizer, &prompt, &options, on_text),
        }
    }

    /// The engine, started if it was not.
    fn engine(&self) -> Option<&EngineThread> {
        let start = || {
            // Who asks here decides how far a text may go.
            let options = EngineOptions::for_any_length(&self.model);
            Some(EngineThread::start(Engine::new(&self.model, self.tokenizer.clone(), options).ok()?))
        };
        self.engine.get_or_init(start).as_ref()
    }

    fn answer_beside_others(
        &self,
        engine: &EngineThread,
        prompt: Vec<u32>,
        options: GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, ModelError> {
        let (events, received) = channel();
        // Whoever stopped listening has left.
        let listener = move |event| match events.send(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        match engine.submit(EngineRequest::new(prompt.clone(), options.clone()), listener) {
            Ok(_) => {}
            // More than there are blocks for: alone, with a cache of its own.
            Err(ModelError::CacheOverflow { .. }) => {
                return generate_text(&self.model, &self.tokenizer, &prompt, &options, on_text);
            }
            Err(error) => return Err(error),
        }
        let prompt_tokens = prompt.len();
        let mut text = String::new();
        let mut shown = 0;
        for event in received {
            match event {
                EngineEvent::Prompt { .. } => {}
                EngineEvent::Text { text: piece, ids, .. } => {
                    shown += ids.len();
                    text.push_str(&piece);
                    if !piece.is_empty() && on_text(&piece).is_break() {
                        let reason = StopReason::Cancelled;
                        let done = Finished { reason, prompt_tokens, cached_tokens: 0, new_tokens: shown };
                        return Ok(done.with_text(text));
                    }
                }
                EngineEvent::Done(done) => return Ok(done.with_text(text)),
                EngineEvent::Failed(error) => return Err(error),
            }
        }
        Err(ModelError::EngineEnded)
    }
}

impl Drop for LocalGenerator {
    /// When it is gone, so is what its engine held: weights that something else may want to change.
    fn drop(&mut self) {
        if let Some(Some(engine)) = self.engine.get() {
            engine.stop();
        }
    }
}

impl TextGenerator for LocalGenerator {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.answer(messages, options, on_text)?)
    }
}
