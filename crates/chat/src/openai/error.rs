//! Why an endpoint gave no reply.

use crate::generate::OptionError;

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
    #[error("{url}: HTTP status {status} in {}: {}", attempts_of(*attempts), excerpt(text))]
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
    #[error("{url}: the reply is not a chat completion: {problem}: {}", excerpt(text))]
    Nonsense {
        /// Where the request went.
        url: String,
        /// What is wrong and what was expected.
        problem: String,
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
            | Self::Nonsense { text, .. } => Some(text),
            Self::Setting { .. } | Self::ApiKey { .. } | Self::Option(_) | Self::Connection { .. } => None,
        }
    }

    /// Attempts for which a server may charge although no reply came of them: those that timed
    /// out, broke off or were answered with nonsense.
    pub fn charged_attempts(&self) -> u32 {
        match self {
            Self::Timeout { attempts, .. } | Self::Truncated { attempts, .. } => *attempts,
            Self::Nonsense { .. } => 1,
            _ => 0,
        }
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
    const SHOWN: usize = 200;
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SHOWN).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{start:?}{more}")
}
