//! A model that continues texts, asked as one that answers messages.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use camelid_chat::{GenerateOptions, GeneratedText, Message, TextGenerator};

use crate::{GenerateRequest, LanguageModel};

/// A language model behind the door that batches of requests go through: the last message is its
/// prompt.
#[derive(Debug)]
pub struct Completing<M>(Mutex<M>);

impl<M> Completing<M> {
    /// Takes the model.
    pub fn new(model: M) -> Self {
        Self(Mutex::new(model))
    }
}

impl<M: LanguageModel + Send> TextGenerator for Completing<M> {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let prompt = messages.last().ok_or("nothing was asked")?;
        let mut model = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let request = GenerateRequest { context: &prompt.content, options };
        let completion = model.generate_until(&[request])?.pop().ok_or("the model answered nothing")?;
        if completion.cut_tokens > 0 {
            return Err(format!(
                "the prompt lost {} tokens to the model's context: the answer may have been among them",
                completion.cut_tokens
            )
            .into());
        }
        Ok(completion.text)
    }
}
