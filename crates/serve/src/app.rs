//! What every request reaches: the model, the queue, the limits, the log.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::{Body, Bytes};
use camelid_model::EngineRequest;
use tokio::sync::watch;

use crate::answer::Answer;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::log::Log;
use crate::marks::ConversationMarks;
use crate::metrics::{Gauges, Metrics};
use crate::model::ServedModel;
use crate::queue::FairQueue;
use crate::rate::Rates;
use crate::settings::Settings;

/// The state that handlers share.
pub(crate) struct App {
    pub settings: Settings,
    /// There once it is loaded.
    pub model: OnceLock<ServedModel>,
    pub queue: Arc<FairQueue>,
    pub rates: Arc<Rates>,
    pub metrics: Arc<Metrics>,
    pub log: Arc<Log>,
    /// What keeps messages apart in prompts that FastChat writes.
    pub marks: ConversationMarks,
    /// True when the server is told to end.
    pub closing: watch::Sender<bool>,
}

impl App {
    pub fn new(settings: Settings, log: Log) -> Arc<Self> {
        Arc::new(Self {
            queue: FairQueue::new(settings.parallel, settings.most_waiting),
            rates: Arc::new(Rates::new(settings.rates)),
            model: OnceLock::new(),
            metrics: Arc::default(),
            log: Arc::new(log),
            marks: ConversationMarks::new(),
            closing: watch::Sender::new(false),
            settings,
        })
    }

    /// The model.
    ///
    /// # Errors
    /// While it is loading.
    pub fn model(&self) -> Result<&ServedModel, ServeError> {
        self.model.get().ok_or(ServeError::Unavailable("the model is being loaded; try again later"))
    }

    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub fn gauges(&self) -> Gauges {
        let engine = self.model.get().map(|model| model.engine.load());
        Gauges {
            running: engine.map_or(0, |load| load.running + load.waiting),
            waiting: self.queue.waiting(),
            ready: engine.is_some(),
            engine,
        }
    }

    /// A request's body.
    ///
    /// # Errors
    /// When it is too large, or does not come in time.
    pub async fn body(&self, body: Body) -> Result<Bytes, ServeError> {
        read_body(body, &self.settings).await
    }

    /// Lets a request for generation in, and puts its sequences into the queue.
    ///
    /// # Errors
    /// When a limit is reached, the queue is full, or the server is about to end.
    pub fn answer(&self, caller: &Caller, requests: Vec<EngineRequest>) -> Result<Answer, ServeError> {
        if self.is_closing() {
            return Err(ServeError::Unavailable("the server is about to end"));
        }
        self.admit(caller)?;
        let model = self.model()?;
        let ticket = self.queue.join(&caller.client, requests.len())?;
        caller.entry.generates();
        let closing = self.closing.subscribe();
        let (entry, timeout) = (caller.entry.clone(), self.settings.timeout);
        Ok(Answer::new(model.engine.clone(), ticket, requests, entry, timeout, closing))
    }

    /// Counts a request against its client's limits.
    ///
    /// # Errors
    /// When one is reached.
    pub fn admit(&self, caller: &Caller) -> Result<(), ServeError> {
        self.rates.enter(&caller.client, Instant::now())?;
        caller.entry.admitted(self.rates.clone(), caller.client.clone());
        Ok(())
    }
}

/// A request's body.
///
/// # Errors
/// When it is too large, or does not come in time.
pub(crate) async fn read_body(body: Body, settings: &Settings) -> Result<Bytes, ServeError> {
    let limit = settings.max_body;
    let read = axum::body::to_bytes(body, limit);
    match tokio::time::timeout(settings.read_timeout, read).await {
        Err(_) => Err(ServeError::SlowBody { seconds: settings.read_timeout.as_secs() }),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let too_large = std::error::Error::source(&error)
                .is_some_and(|cause| cause.to_string().contains("length limit exceeded"));
            Err(match too_large {
                true => ServeError::BodyTooLarge { limit },
                false => ServeError::Invalid { message: format!("the body broke off: {error}"), param: None },
            })
        }
    }
}
