//! Models in this process that keep within their context and know their version.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use camelid_chat::{Conversation, GenerateOptions, GeneratedText, Message, TextGenerator};
use camelid_files::digest::Sum;
use camelid_model::LocalGenerator;

use super::error::JudgeError;

/// A model in this process that keeps within its context and knows its version.
pub(super) struct Bounded {
    generator: LocalGenerator,
    version: String,
}

impl Bounded {
    /// Takes a model that was opened from `path`.
    ///
    /// # Errors
    /// [`JudgeError::Model`] when the files there cannot be looked at.
    pub fn new(generator: LocalGenerator, path: &Path) -> Result<Self, JudgeError> {
        let version = version(path)
            .map_err(|error| JudgeError::Model { path: path.to_owned(), message: error.to_string() })?;
        Ok(Self { generator, version })
    }

    /// What tells this model's files from others: a digest of their names, lengths and times of
    /// change.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl TextGenerator for Bounded {
    /// As [`LocalGenerator::generate`], with no more tokens than the context has room for.
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let conversation = Conversation { id: "prompt".into(), messages: messages.to_vec() };
        let prompt = self.generator.template().prompt(&conversation, self.generator.tokenizer())?.len();
        let context = self.generator.model().config().context_length();
        if prompt >= context {
            return Err(format!("the prompt takes {prompt} tokens, the model has room for {context}").into());
        }
        let max_new_tokens = options.max_new_tokens.min(context - prompt);
        let options = GenerateOptions { max_new_tokens, ..options.clone() };
        let mut text = self.generator.generate(messages, &options, on_text)?;
        text.model_version = Some(self.version.clone());
        Ok(text)
    }
}

/// The first twelve digits of a SHA-256 over every file at `path`.
fn version(path: &Path) -> std::io::Result<String> {
    let mut files: Vec<PathBuf> = if path.is_dir() {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?
    } else {
        vec![path.to_owned()]
    };
    files.sort();
    let mut sum = Sum::default();
    for file in files.iter().filter(|file| file.is_file()) {
        let facts = file.metadata()?;
        let changed = facts.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        sum.add(format!("{name}\0{}\0{changed}\0", facts.len()));
    }
    let mut digits = sum.finish();
    digits.truncate(12);
    Ok(digits)
}
