//! `camelid controller`: many workers behind one address.
//!
//! Workers register, as FastChat's do with its controller, and beat their hearts. A request goes to the
//! worker of its model whose queue is shortest for its speed. When that worker breaks or declines before
//! the first token, the request is sent to another, and the client does not notice; what comes after the first
//! token cannot be taken back and ends with an error.

mod forward;
mod frames;
mod protocol;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;

use crate::gate::{Gate, guard, with_slash};
use crate::log::Log;
use crate::metrics::{Gauges, Metrics};
use crate::rate::Rates;
use crate::server::{BindError, listen, serve};
use crate::settings::Settings;
use crate::wire::{ModelCard, ModelList, unix_seconds};
use workers::Workers;

/// How often the controller looks for workers whose hearts stopped.
const LOOK: Duration = Duration::from_secs(1);

/// How long a controller waits for its workers.
#[derive(Clone, Copy, Debug)]
pub struct WorkerTimeouts {
    /// A worker that is not heard of for so long is forgotten.
    pub expiry: Duration,
    /// A stream of which a worker sends nothing for so long goes to another one, or ends with an error
    /// where it has begun. Our workers say every few seconds that they live; one of FastChat's is silent
    /// while a request waits there.
    pub stream: Duration,
}

/// FastChat's times.
impl Default for WorkerTimeouts {
    fn default() -> Self {
        Self { expiry: Duration::from_secs(90), stream: Duration::from_secs(100) }
    }
}

/// What the handlers share.
struct Inner {
    settings: Settings,
    timeouts: WorkerTimeouts,
    workers: Workers,
    rates: Arc<Rates>,
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    began: u64,
}

type Shared = Arc<Inner>;

/// A controller that listens.
pub struct Controller {
    shared: Shared,
    listener: TcpListener,
    address: SocketAddr,
}

impl Controller {
    /// Listens on `address`; port 0 takes a free one. Of the settings, those of a model and its queue mean
    /// nothing here, nor does a limit on tokens, which the workers count.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: impl ToSocketAddrs + std::fmt::Display,
        settings: Settings,
        log: Log,
        timeouts: WorkerTimeouts,
    ) -> Result<Self, BindError> {
        let (listener, address) = listen(address).await?;
        let shared = Arc::new(Inner {
            rates: Arc::new(Rates::new(settings.rates)),
            settings,
            timeouts,
            workers: Workers::new(timeouts.expiry),
            log: Arc::new(log),
            metrics: Arc::default(),
            began: unix_seconds(),
        });
        Ok(Self { shared, listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready, and gives what runs the grace of its settings to end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { shared, listener, address: _ } = self;
        let closing = watch::Sender::new(false);
        let serving =
            serve(listener, router(&shared), &shared.settings, shared.metrics.clone(), closing.subscribe());
        tokio::pin!(serving, stop);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = &mut stop, if !*closing.borrow() => drop(closing.send_replace(true)),
                () = &mut serving => return,
                _ = look.tick() => shared.workers.forget_the_silent(&shared.log),
            }
        }
    }
}

fn router(shared: &Shared) -> Router {
    let mut router = Router::new();
    for (path, route) in [
        ("/models", get(models)),
        ("/chat/completions", post(forward::chat)),
        ("/completions", post(forward::completions)),
        ("/embeddings", post(forward::embeddings)),
    ] {
        router = with_slash(router, &format!("/v1{path}"), route.clone());
        router = with_slash(router, path, route);
    }
    for (path, route) in [("/health", get(health)), ("/ready", get(health)), ("/metrics", get(metrics))] {
        router = with_slash(router, path, route);
    }
    let router = router.merge(protocol::routes()).with_state(shared.clone());
    let gate = Gate {
        keys: shared.settings.keys.clone(),
        log: shared.log.clone(),
        metrics: shared.metrics.clone(),
        // FastChat's workers have no keys.
        open: &protocol::PATHS,
    };
    guard(router, Arc::new(gate), &shared.settings.cors)
}

async fn models(State(shared): State<Shared>) -> Json<ModelList> {
    let card = |id: String| ModelCard {
        root: id.clone(),
        id,
        object: "model",
        created: shared.began,
        owned_by: "camelid",
        max_model_len: None,
    };
    Json(ModelList { object: "list", data: shared.workers.models().into_iter().map(card).collect() })
}

async fn health(State(shared): State<Shared>) -> Response {
    match shared.workers.count() {
        0 => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "no worker" }))).into_response(),
        workers => Json(json!({ "status": "ok", "workers": workers })).into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let (running, ready) = (shared.workers.in_flight(), shared.workers.count() > 0);
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, shared.metrics.text(Gauges { running, waiting: 0, ready, engine: None })).into_response()
}
