//! A question to a model, its key, and the reply.

use crate::{GenerateOptions, Message, StopReason};
use serde::{Deserialize, Serialize};

/// A question to a model, with everything that determines the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The model's name. Where two endpoints serve different models under one name, it should
    /// tell them apart.
    pub model: String,
    /// The dialogue so far; the last message is usually the user's.
    pub messages: Vec<Message>,
    /// How the reply is generated.
    pub options: GenerateOptions,
}

impl ChatRequest {
    /// SHA-256, in lower-case hexadecimal, of the request's canonical JSON: the fields of every
    /// object sorted by name, no spaces, numbers in their shortest form.
    pub fn key(&self) -> String {
        let written = serde_json::to_string(self).expect("a request is plain data");
        let mut value: serde_json::Value = serde_json::from_str(&written).expect("written as JSON");
        value.sort_all_objects();
        camelid_files::digest::of_bytes(value.to_string())
    }

    /// Bytes of all messages' texts.
    pub(super) fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.content.len()).sum()
    }
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The request's key.
    pub key: String,
    /// The text, as generated.
    pub text: String,
    /// Why the text ended: [`StopReason::Length`] means that it was cut off.
    pub reason: StopReason,
    /// Tokens of the prompt, where the server or model says.
    pub prompt_tokens: Option<usize>,
    /// Tokens of the reply, where the server or model says.
    pub new_tokens: Option<usize>,
    /// The version of the model that answered, in the server's words.
    pub model_version: Option<String>,
    /// A server that takes no temperature used its own instead of the one asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_temperature: bool,
    /// When the reply arrived, in seconds since 1970-01-01 UTC.
    pub unix_seconds: u64,
}
