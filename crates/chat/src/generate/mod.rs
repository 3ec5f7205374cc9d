//! Messages in, text out: the one door to a model, in this process or elsewhere.

mod failure;
mod options;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

pub use failure::GenerateFailure;
pub use options::{GenerateOptions, OptionError};

use crate::conversation::Message;

/// Whatever answers a conversation, in this process or elsewhere.
pub trait TextGenerator: Send + Sync {
    /// Writes the assistant's next message. `on_text` sees it piece by piece and
    /// may end it early.
    ///
    /// # Errors
    /// Whatever keeps the implementation from answering; a [`GenerateFailure`] says what it means for
    /// other requests.
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>>;
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// `max_new_tokens` were made.
    Length,
    /// A stop id came up.
    StopId(u32),
    /// A stop string came up.
    StopString,
    /// The turn ended; a server does not say by which token or string.
    TurnEnd,
    /// A server's content filter held text back.
    ContentFilter,
    /// The callback asked to stop.
    Cancelled,
}

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// The new text, without the stop string.
    pub text: String,
    /// Number of tokens in the prompt; `None` where a server does not say.
    pub prompt_tokens: Option<usize>,
    /// Number of tokens made, those of a stop string included; `None` where a
    /// server does not say.
    pub new_tokens: Option<usize>,
    /// Why it ended.
    pub reason: StopReason,
    /// Which version of the model answered, in a server's words.
    pub model_version: Option<String>,
    /// A server that takes no temperature used its own instead of the one asked for.
    pub own_temperature: bool,
}
