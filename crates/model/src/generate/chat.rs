//! Messages in, text out.

use std::ops::ControlFlow;

use burn::module::Module;
use camelid_chat::{Conversation, GenerateOptions, GeneratedText, Message, Template, TextGenerator};
use tokenizers::Tokenizer;

use super::text::generate_text;
use crate::error::ModelError;
use crate::llama::Llama;
use crate::notes::LoadNote;

/// A model in this process with its tokenizer and chat template.
#[derive(Debug)]
pub struct LocalGenerator {
    model: Llama,
    tokenizer: Tokenizer,
    template: Template,
    notes: Vec<LoadNote>,
}

impl LocalGenerator {
    /// Joins the three. The model is taken as an inference copy, which shares
    /// its weights and tracks no gradients.
    ///
    /// # Errors
    /// When the tokenizer lacks a token that the template needs.
    pub fn new(model: &Llama, tokenizer: Tokenizer, template: Template) -> Result<Self, ModelError> {
        template.check_prompt(&tokenizer)?;
        Ok(Self { model: model.valid(), tokenizer, template, notes: Vec::new() })
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
        generate_text(&self.model, &self.tokenizer, &prompt, &options, on_text)
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
