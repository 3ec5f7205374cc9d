//! What a server allows and how it behaves.

use std::time::Duration;

use crate::client::{ClientError, check_address};
use crate::keys::ApiKeys;
use crate::rate::RateLimits;

/// Settings of a server; each has a default that suits a machine of one's own.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most sequences that are generated at once; others wait.
    pub parallel: usize,
    /// Most requests that wait.
    pub most_waiting: usize,
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// Most new tokens of an answer; `None` for what the context has room for.
    pub max_tokens: Option<usize>,
    /// Longest time for an answer, the queue included.
    pub timeout: Duration,
    /// Longest time for a request's head or body to arrive.
    pub read_timeout: Duration,
    /// Longest time that a client may take nothing of its stream.
    pub stall_timeout: Duration,
    /// After so long without an event a stream says that it still lives.
    pub keep_alive: Duration,
    /// Longest time that open answers get to end when the server is told to.
    pub grace: Duration,
    /// Most connections.
    pub max_connections: usize,
    /// Whether an unknown model's name means the model that there is.
    pub any_model: bool,
    /// Web pages of which origins may ask.
    pub cors: Cors,
    /// The keys that let requests in; `None` lets in all.
    pub keys: Option<ApiKeys>,
    /// How much each client may ask.
    pub rates: RateLimits,
    /// A controller to register with.
    pub controller: Option<ControllerLink>,
}

/// Web pages of which origins may ask, beside the server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// All.
    #[default]
    Any,
    /// None.
    None,
    /// These, e.g. `https://chat.example.org`.
    Origins(Vec<String>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallel: 16,
            most_waiting: 256,
            max_body: 8 << 20,
            max_tokens: None,
            timeout: Duration::from_secs(600),
            read_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            max_connections: 4096,
            any_model: false,
            cors: Cors::Any,
            keys: None,
            rates: RateLimits::default(),
            controller: None,
        }
    }
}

/// The controller to register with.
#[derive(Clone, Debug)]
pub struct ControllerLink {
    /// Its address, `http://HOST:PORT`.
    pub controller: String,
    /// The address at which the controller and its clients reach this server.
    pub worker: String,
    /// Time between heart beats.
    pub heart_beat: Duration,
}

impl ControllerLink {
    /// FastChat's time between heart beats.
    pub const HEART_BEAT: Duration = Duration::from_secs(45);

    /// Checks both addresses.
    ///
    /// # Errors
    /// When one is not `http://HOST:PORT`.
    pub fn check(&self) -> Result<(), ClientError> {
        check_address(&self.controller)?;
        check_address(&self.worker)
    }
}
