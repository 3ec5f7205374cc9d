//! Why an endpoint gave no reply.

use serde_json::Value;

use crate::generate::{GenerateFailure, OptionError};

/// An endpoint gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiError {
    /// A setting of the client cannot be used.
    #[error("`{setting}` is {found}; expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        found: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// The API key cannot be read.
    #[error("the environment variable `{variable}`, which should hold the API key, {problem}")]
    ApiKey {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A setting of generation is out of its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// No connection, or one that broke before the reply began.
    #[error("{url}: no reply in {}: {message}", attempts_of(*attempts))]
    Connection {
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        message: String,
    },
    /// The server took longer than it may.
    #[error("{url}: no whole reply within {timeout_ms} ms in {}", attempts_of(*attempts))]
    Timeout {
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The time allowed, in milliseconds.
        timeout_ms: u64,
        /// What had come by then.
        text: String,
    },
    /// The server answered with an error.
    #[error("{url}: HTTP status {status} in {}: {}{}", attempts_of(*attempts), said(text), hint(url, *status, text))]
    Status {
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// The connection broke within the reply.
    #[error("{url}: the reply broke off after {} bytes in {}: {message}: {}", text.len(), attempts_of(*attempts), excerpt(text))]
    Truncated {
        /// Where the request went.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened.
        message: String,
        /// What had come by then.
        text: String,
    },
    /// A whole reply that is not a chat completion.
    #[error(
        "{url}: the reply is not a chat completion: {problem}: {}{}",
        excerpt(text),
        hint(url, 200, text)
    )]
    Nonsense {
        /// Where the request went.
        url: String,
        /// What is wrong and what was expected.
        problem: String,
        /// The reply.
        text: String,
    },
    /// A chat completion without an answer: the model refused, or came to its limit while it was
    /// still thinking.
    #[error("no answer: {reason}")]
    NoAnswer {
        /// Why, with the model's words.
        reason: String,
        /// The reply.
        text: String,
    },
}

impl OpenAiError {
    /// The text that came instead of a reply.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Timeout { text, .. }
            | Self::Status { text, .. }
            | Self::Truncated { text, .. }
            | Self::Nonsense { text, .. }
            | Self::NoAnswer { text, .. } => Some(text),
            Self::Setting { .. } | Self::ApiKey { .. } | Self::Option(_) | Self::Connection { .. } => None,
        }
    }

    /// Attempts for which a server may charge although no reply came of them: those that timed
    /// out, broke off or were answered with nonsense.
    pub fn charged_attempts(&self) -> u32 {
        match self {
            Self::Timeout { attempts, .. } | Self::Truncated { attempts, .. } => *attempts,
            Self::Nonsense { .. } | Self::NoAnswer { .. } => 1,
            _ => 0,
        }
    }

    /// Whether every other request to the same endpoint must be expected to fail as well: a wrong
    /// key or address, no such model, no money left, nobody who listens, a web page instead of an API.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Setting { .. } | Self::ApiKey { .. } | Self::Connection { .. } => true,
            Self::Status { status, text, .. } => match status {
                300..=399 | 401..=405 | 407 | 410 | 501 => true,
                429 => no_quota(text),
                _ => false,
            },
            Self::Nonsense { text, .. } => serde_json::from_str::<Value>(text).is_err(),
            Self::Option(_) | Self::Timeout { .. } | Self::Truncated { .. } | Self::NoAnswer { .. } => false,
        }
    }

    /// Whether it lies in the one request, and says nothing about others.
    pub fn is_of_this_request(&self) -> bool {
        match self {
            Self::Option(_) | Self::NoAnswer { .. } => true,
            Self::Status { status: 400 | 413 | 422, text, .. } => {
                let text = text.to_lowercase();
                ["context", "too long", "too large", "content"].iter().any(|part| text.contains(part))
            }
            _ => false,
        }
    }
}

impl From<OpenAiError> for GenerateFailure {
    fn from(error: OpenAiError) -> Self {
        Self {
            text: error.text().map(str::to_owned),
            charged_attempts: error.charged_attempts(),
            is_lasting: error.is_lasting(),
            is_of_this_request: error.is_of_this_request(),
            reason: error.into(),
        }
    }
}

/// Whether a server says that there is no money left, which no waiting mends.
pub(super) fn no_quota(text: &str) -> bool {
    let text = text.to_lowercase();
    ["insufficient_quota", "exceeded your current quota", "billing", "insufficient_balance", "credit balance"]
        .iter()
        .any(|part| text.contains(part))
}

/// A server's words: the message of an error object, or the beginning of the text.
fn said(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let message = ["/error/message", "/message", "/error", "/detail", "/detail/0/msg"]
        .iter()
        .find_map(|place| value.pointer(place).and_then(Value::as_str));
    match message {
        Some(message) => shortened(message, 500),
        None => excerpt(text),
    }
}

/// What the user can do, where that can be told.
fn hint(url: &str, status: u16, text: &str) -> &'static str {
    let page = text.trim_start().starts_with('<');
    let versioned =
        url.contains("/v1/") || url.contains("/v2/") || url.contains("/v3/") || url.contains("/v4/");
    match status {
        404 | 405 if !versioned && !text.contains("model") => {
            "; is `/v1` missing at the end of the base URL?"
        }
        401 | 403 if !page => "; is the API key right, and is the environment variable named that holds it?",
        _ if page => "; this is a web page and no API: is the base URL right? It usually ends with /v1",
        404 | 405 if !text.contains("model") => "; is the base URL right? It usually ends with /v1",
        _ => "",
    }
}

fn attempts_of(count: u32) -> String {
    match count {
        1 => "one attempt".to_owned(),
        count => format!("{count} attempts"),
    }
}

/// The beginning of a text, on one line.
fn excerpt(text: &str) -> String {
    shortened(text, 200)
}

fn shortened(text: &str, shown: usize) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(shown).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{start:?}{more}")
}
