//! A failure with what whoever asks many questions has to know of it.

use std::error::Error;
use std::fmt;

/// Why a generator gave no reply, and what that means for other requests.
///
/// A generator may fail with any error; with this one [`requests`](crate::requests) knows whether to go
/// on. [`OpenAiClient`](crate::openai::OpenAiClient) does.
#[derive(Debug)]
pub struct GenerateFailure {
    /// The error itself.
    pub reason: Box<dyn Error + Send + Sync>,
    /// The text that came instead of a reply, e.g. half a JSON object.
    pub text: Option<String>,
    /// Attempts for which a server may charge although no reply came of them.
    pub charged_attempts: u32,
    /// Whether every other request must be expected to fail as well: a wrong key or address, no money
    /// left, nobody who listens.
    pub is_lasting: bool,
    /// Whether it lies in the one request, and says nothing about others.
    pub is_of_this_request: bool,
}

impl fmt::Display for GenerateFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for GenerateFailure {
    /// What caused [`reason`](Self::reason), in whose words this error speaks.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}
