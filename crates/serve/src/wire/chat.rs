//! `POST /v1/chat/completions`.

use serde::Serialize;
use utoipa::ToSchema;

use super::fields::Fields;
use super::logprobs::ChatLogprobs;
use super::message::ChatMessage;
use super::models::Usage;
use super::sampling::{MOST_LOGPROBS, Sampling};
use super::tools::{ToolCall, ToolCallDelta, Tools};
use crate::error::ServeError;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// What the model may call.
    pub tools: Tools,
    /// How many alternatives of each token are told, if any are told at all.
    pub logprobs: Option<usize>,
    /// The rest.
    pub sampling: Sampling,
    /// Names of fields that mean nothing here.
    pub unknown: Vec<String>,
}

impl ChatRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the field that is not what it should be.
    pub fn read(body: &[u8]) -> Result<Self, ServeError> {
        let mut fields = Fields::of_body(body)?;
        let messages = ChatMessage::read_all(&mut fields)?;
        let tools = Tools::read(&mut fields)?;
        let wanted = fields.take("logprobs", "true or false")?.unwrap_or(false);
        let top = fields.count("top_logprobs", 0, MOST_LOGPROBS)?;
        if top.is_some_and(|top| top > 0) && !wanted {
            return Err(fields.wrong("top_logprobs", "set", "`logprobs` to be true with it"));
        }
        let sampling = Sampling::read(&mut fields, None)?;
        if sampling.max_tokens == Some(0) {
            return Err(fields.wrong("max_tokens", "0", "a whole number from 1"));
        }
        // What changes nothing here is no reason for a line in the log.
        for name in ["user", "metadata", "store", "parallel_tool_calls", "safety_identifier"] {
            fields.value(name);
        }
        let logprobs = wanted.then_some(top.unwrap_or(0));
        Ok(Self { messages, tools, logprobs, sampling, unknown: fields.unread() })
    }
}

/// An answer in one piece.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// The answer's name.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<ChatChoice>,
    /// Tokens read and written.
    pub usage: Usage,
    /// The server's version.
    pub system_fingerprint: &'static str,
}

/// One answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatChoice {
    /// Its number, from 0.
    pub index: usize,
    /// What the model says.
    pub message: ChatReply,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: &'static str,
}

/// What the model says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatReply {
    /// `assistant`.
    pub role: &'static str,
    /// The text; null where it calls tools and says nothing.
    pub content: Option<String>,
    /// Always null: no refusal is told apart.
    pub refusal: Option<String>,
    /// What it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A piece of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatChunk {
    /// The answer's name.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// The server's version.
    pub system_fingerprint: &'static str,
    /// What is new; empty in the chunk of the counts.
    pub choices: Vec<ChatChunkChoice>,
    /// The counts, in the last chunk; absent unless they were asked for, null before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

/// What is new of one answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatChunkChoice {
    /// The answer's number.
    pub index: usize,
    /// What is new.
    pub delta: ChatDelta,
    /// Log-probabilities of what is new.
    pub logprobs: Option<ChatLogprobs>,
    /// Null until the end.
    pub finish_reason: Option<&'static str>,
}

/// What is new of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ChatDelta {
    /// In the first chunk alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// More of its calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallDelta>,
}
