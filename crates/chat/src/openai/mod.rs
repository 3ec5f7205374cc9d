//! Any OpenAI-compatible endpoint as a [`TextGenerator`].
//!
//! A request that failed in passing (no connection, a timeout, a reply that broke off, HTTP 408,
//! 429 or 5xx) is tried again after a wait that doubles, or as long as the server's `Retry-After`
//! asks. Other errors, and replies that are whole but no chat completion, are final: the same
//! request would come to the same end, and a reply may be charged for. [`OpenAiError::is_lasting`]
//! tells those that every other request would meet as well.
//!
//! A server that refuses `max_tokens`, a temperature or a seed is taken at its word: the client asks
//! again otherwise, and goes on so; [`GeneratedText::own_temperature`] says which replies were made
//! at the server's own temperature.
//!
//! ```rust
//! # use std::io::{Read, Write};
//! use camelid_chat::openai::{OpenAiClient, OpenAiConfig};
//! use camelid_chat::{GenerateOptions, Message, Role};
//!
//! # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let base_url = format!("http://{}/v1", server.local_addr()?);
//! # let serving = std::thread::spawn(move || {
//! #     let (mut connection, _) = server.accept().unwrap();
//! #     let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
//! #     while !seen.ends_with(b"}") {
//! #         let count = connection.read(&mut buffer).unwrap();
//! #         seen.extend_from_slice(&buffer[..count]);
//! #     }
//! #     let body = r#"{"model": "tiny-1", "choices": [{"message": {"content": "7"}, "finish_reason": "stop"}],
//! #         "usage": {"prompt_tokens": 12, "completion_tokens": 1}}"#;
//! #     let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
//! #     connection.write_all((head + body).as_bytes()).unwrap();
//! # });
//! // A server of your own: vLLM, llama.cpp, Ollama, … For one that asks for a key, name the
//! // variable that holds it: `api_key_env: Some("OPENAI_API_KEY".into())`.
//! let client = OpenAiClient::new(OpenAiConfig::new(base_url, "tiny"))?;
//! let question = [Message::new(Role::User, "What is 3 + 4?")];
//! let answer = client.answer(&question, &GenerateOptions { max_new_tokens: 8, ..Default::default() })?;
//! assert_eq!(answer.text, "7");
//! assert_eq!((answer.prompt_tokens, answer.new_tokens), (Some(12), Some(1)));
//! assert_eq!(answer.model_version.as_deref(), Some("tiny-1"));
//! # serving.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backoff;
mod config;
mod error;
mod manner;
mod moderation;
mod stream;
mod wire;

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderValue, header};
use ureq::{Agent, Timeout};

pub use config::{LengthField, OpenAiConfig};
pub use error::OpenAiError;
pub use moderation::ModerationClient;

use manner::Manner;
use wire::Useless;

use crate::conversation::Message;
use crate::generate::{GenerateFailure, GenerateOptions, GeneratedText, TextGenerator};

/// Longest reply that is read, in bytes; no chat completion comes near it.
const LONGEST_REPLY: u64 = 64 << 20;
/// How often a wait looks whether it should end.
const GLANCE: Duration = Duration::from_millis(50);
/// Longest wait, all attempts together, for a server that has never replied.
const LONGEST_FOR_NOBODY: Duration = Duration::from_secs(3);
/// Most changes of manner before one reply: one for each parameter, and one more.
const MOST_CHANGES: u32 = 4;

/// A client of one model at one endpoint.
pub struct OpenAiClient {
    config: OpenAiConfig,
    url: String,
    authorization: Option<HeaderValue>,
    agent: Agent,
    waits: AtomicU64,
    /// What was learned of the server.
    manner: Mutex<Manner>,
    /// Whether the server ever replied, be it with an error.
    reached: AtomicBool,
    stop: Option<Arc<AtomicBool>>,
    is_streamed: bool,
}

/// The API key is left out.
impl std::fmt::Debug for OpenAiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiClient").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OpenAiClient {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL, the environment variable of the API key or `extra_body` cannot be used.
    pub fn new(config: OpenAiConfig) -> Result<Self, OpenAiError> {
        let url = config.url()?;
        config.check_body()?;
        let authorization = config.api_key_env.as_deref().map(authorization).transpose()?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would lose its body, and the key would go to whoever is named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .max_idle_connections_per_host(64)
            .timeout_connect(Some(Duration::from_millis(config.connect_timeout_ms)))
            .timeout_global(Some(Duration::from_millis(config.timeout_ms)))
            .build()
            .into();
        let manner = Mutex::new(Manner::new(config.length_field));
        let (waits, reached) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { config, url, authorization, agent, waits, manner, reached, stop: None, is_streamed: false })
    }

    /// Ends waits and further attempts when the flag is raised, e.g. by Ctrl-C.
    pub fn stop_on(self, flag: Arc<AtomicBool>) -> Self {
        Self { stop: Some(flag), ..self }
    }

    /// Asks for replies in pieces (server-sent events): [`TextGenerator::generate`] hands each on as it
    /// comes, and closes the connection when it is told to end. A server that replies in one piece all
    /// the same is read so. Once a piece was handed on, a reply that breaks off is an error and is not
    /// asked for again.
    pub fn streamed(self) -> Self {
        Self { is_streamed: true, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &OpenAiConfig {
        &self.config
    }

    /// As [`TextGenerator::generate`], with this module's errors and the text in one piece.
    ///
    /// # Errors
    /// [`OpenAiError`], after the last attempt.
    pub fn answer(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
    ) -> Result<GeneratedText, OpenAiError> {
        self.ask(messages, options, None)
    }

    /// Asks until there is a reply or no more hope of one; with `on_text`, in pieces.
    fn ask(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        mut on_text: Option<OnText<'_, '_>>,
    ) -> Result<GeneratedText, OpenAiError> {
        options.check()?;
        let (mut attempts, mut changes, mut waited) = (0, 0, Duration::ZERO);
        loop {
            attempts += 1;
            let manner = self.manner();
            let body = wire::request(&self.config, manner, messages, options, on_text.is_some());
            let failure = match self.attempt(&body, on_text.as_deref_mut()) {
                Ok(Reply::Whole(text)) => {
                    let answer = self.read(text, manner)?;
                    if let Some(on_text) = on_text {
                        // The text came whole: there is nothing left to end.
                        let _ = on_text(&answer.text);
                    }
                    return Ok(answer);
                }
                Ok(Reply::Streamed(generated)) => {
                    return Ok(GeneratedText { own_temperature: !manner.temperature, ..generated });
                }
                Err(failure) => failure,
            };
            if let Failure::Status { status, text, .. } = &failure
                && let Some(other) = manner.after(*status, text)
                && changes < MOST_CHANGES
            {
                *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = other;
                changes += 1;
                attempts -= 1;
                continue;
            }
            let drawn = backoff::draw(self.config.seed, self.waits.fetch_add(1, Ordering::Relaxed));
            let wait =
                backoff::wait_ms(self.config.first_wait_ms, self.config.longest_wait_ms, attempts, drawn)
                    .max(failure.asked_wait_ms());
            let nobody =
                matches!(failure, Failure::Connection { .. }) && !self.reached.load(Ordering::Relaxed);
            let again = attempts <= self.config.retries
                && wait <= self.config.longest_wait_ms
                && !(nobody && waited + Duration::from_millis(wait) > LONGEST_FOR_NOBODY);
            if !failure.is_passing() || !again || !self.wait(Duration::from_millis(wait)) {
                return Err(self.error(failure, attempts));
            }
            waited += Duration::from_millis(wait);
        }
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, text: String, manner: Manner) -> Result<GeneratedText, OpenAiError> {
        match wire::reply(&text) {
            Ok(generated) => Ok(GeneratedText { own_temperature: !manner.temperature, ..generated }),
            Err(Useless::Nonsense(problem)) => {
                Err(OpenAiError::Nonsense { url: self.url.clone(), problem, text })
            }
            Err(Useless::NoAnswer(reason)) => Err(OpenAiError::NoAnswer { reason, text }),
        }
    }

    /// Sends the request once; the text of a whole reply with status 200, or what came of its pieces.
    fn attempt(&self, body: &[u8], on_text: Option<OnText<'_, '_>>) -> Result<Reply, Failure> {
        let mut request = self.agent.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = request.send(body).map_err(|error| match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                Failure::Connection { message: error.to_string(), passing: true }
            }
            ureq::Error::Timeout(_) => Failure::Timeout { text: String::new() },
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
                Failure::Connection { message: error.to_string(), passing: false }
            }
            other => Failure::Connection { message: other.to_string(), passing: true },
        })?;
        self.reached.store(true, Ordering::Relaxed);
        let status = response.status().as_u16();
        let asked_wait_ms = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| backoff::retry_after_ms(value.to_str().ok()?, SystemTime::now()));
        let in_pieces = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.trim_start().starts_with("text/event-stream"))
        });
        if let Some(on_text) = on_text
            && in_pieces
            && status == 200
        {
            return stream::read(response.into_body().into_reader(), on_text).map(Reply::Streamed);
        }
        let mut bytes = Vec::new();
        let read = response.into_body().into_reader().take(LONGEST_REPLY).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if status != 200 {
            return Err(Failure::Status { status, asked_wait_ms: asked_wait_ms.unwrap_or(0), text });
        }
        match read {
            Ok(_) => Ok(Reply::Whole(text)),
            Err(error) if is_timeout(&error) => Err(Failure::Timeout { text }),
            Err(error) => Err(Failure::Truncated { message: error.to_string(), text }),
        }
    }

    /// Waits, unless told to stop.
    fn wait(&self, mut left: Duration) -> bool {
        let stopped = || self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed));
        while !left.is_zero() && !stopped() {
            let slice = left.min(GLANCE);
            std::thread::sleep(slice);
            left -= slice;
        }
        !stopped()
    }

    fn error(&self, failure: Failure, attempts: u32) -> OpenAiError {
        let url = self.url.clone();
        match failure {
            Failure::Connection { message, .. } => OpenAiError::Connection { url, attempts, message },
            Failure::Timeout { text } | Failure::BegunLate { text } => {
                OpenAiError::Timeout { url, attempts, timeout_ms: self.config.timeout_ms, text }
            }
            Failure::Status { status, text, .. } => OpenAiError::Status { url, attempts, status, text },
            Failure::Truncated { message, text } => OpenAiError::Truncated { url, attempts, message, text },
            Failure::Begun { message, text } => OpenAiError::Truncated { url, attempts, message, text },
            Failure::Useless { useless: Useless::Nonsense(problem), text } => {
                OpenAiError::Nonsense { url, problem, text }
            }
            Failure::Useless { useless: Useless::NoAnswer(reason), text } => {
                OpenAiError::NoAnswer { reason, text }
            }
        }
    }
}

impl TextGenerator for OpenAiClient {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        if self.is_streamed {
            return Ok(self.ask(messages, options, Some(on_text)).map_err(GenerateFailure::from)?);
        }
        let answer = self.answer(messages, options).map_err(GenerateFailure::from)?;
        // The text came whole: there is nothing left to end.
        let _ = on_text(&answer.text);
        Ok(answer)
    }
}

/// What sees a reply piece by piece and may end it.
type OnText<'a, 'b> = &'a mut (dyn FnMut(&str) -> ControlFlow<()> + 'b);

/// A reply with status 200.
enum Reply {
    /// The text of its body.
    Whole(String),
    /// What its pieces came to.
    Streamed(GeneratedText),
}

/// Why one attempt came to nothing.
enum Failure {
    Connection {
        message: String,
        passing: bool,
    },
    Timeout {
        text: String,
    },
    Status {
        status: u16,
        asked_wait_ms: u64,
        text: String,
    },
    Truncated {
        message: String,
        text: String,
    },
    /// Broken off after pieces were handed on.
    Begun {
        message: String,
        text: String,
    },
    /// Out of time after pieces were handed on.
    BegunLate {
        text: String,
    },
    /// Whole chunks that are no reply.
    Useless {
        useless: Useless,
        text: String,
    },
}

impl Failure {
    /// Whether another attempt may fare better.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connection { passing, .. } => *passing,
            Self::Begun { .. } | Self::BegunLate { .. } | Self::Useless { .. } => false,
            Self::Timeout { .. } | Self::Truncated { .. } => true,
            Self::Status { status: 429, text, .. } => !error::no_quota(text),
            Self::Status { status, .. } => matches!(status, 408 | 500..),
        }
    }

    fn asked_wait_ms(&self) -> u64 {
        match self {
            Self::Status { asked_wait_ms, .. } => *asked_wait_ms,
            _ => 0,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == std::io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

fn authorization(variable: &str) -> Result<HeaderValue, OpenAiError> {
    let problem = |problem| OpenAiError::ApiKey { variable: variable.to_owned(), problem };
    let key = std::env::var(variable).map_err(|_| problem("is not set"))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
        .map_err(|_| problem("holds characters that a header cannot"))?;
    value.set_sensitive(true);
    Ok(value)
}
