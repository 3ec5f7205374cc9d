//! Connections, from the first to the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use camelid_model::ModelError;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::app::App;
use crate::closing::told;
use crate::fastchat::keep_registered;
use crate::gate::Peer;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::model::{Served, ServedModel};
use crate::routes::router;
use crate::settings::Settings;

/// How long a listener that cannot accept waits before it tries again: all files are open, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address.
    pub address: String,
    /// What the system said.
    pub cause: std::io::Error,
}

/// Why a server ended or never began. `E` is why its model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError<E> {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The model could not be opened.
    #[error("{0}")]
    Load(E),
    /// The model was opened and cannot be served.
    #[error(transparent)]
    Model(ModelError),
    /// Opening the model broke off.
    #[error("opening the model broke off")]
    LoadBroken,
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: impl ToSocketAddrs + std::fmt::Display,
        settings: Settings,
        log: Log,
    ) -> Result<Self, BindError> {
        let (listener, address) = listen(address).await?;
        Ok(Self { app: App::new(settings, log), listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready; then takes nothing new, hands back what waits, and gives what runs
    /// the grace of its settings to end. `load` opens the model while requests are told to wait.
    ///
    /// # Errors
    /// When the model cannot be opened.
    pub async fn run<E: Send + 'static>(
        self,
        load: impl FnOnce() -> Result<Served, E> + Send + 'static,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServerError<E>> {
        let Self { app, listener, address: _ } = self;
        let mut loading = tokio::task::spawn_blocking(move || {
            let served = load().map_err(ServerError::Load)?;
            ServedModel::start(served).map_err(ServerError::Model)
        });
        let serving =
            serve(listener, router(&app), &app.settings, app.metrics.clone(), app.closing.subscribe());
        tokio::pin!(serving, stop);
        let mut is_loading = true;
        loop {
            tokio::select! {
                loaded = &mut loading, if is_loading => {
                    is_loading = false;
                    let model = loaded.unwrap_or(Err(ServerError::LoadBroken))?;
                    // Nobody else sets it.
                    let _ = app.model.set(model);
                    if let Some(link) = &app.settings.controller {
                        tokio::spawn(keep_registered(app.clone(), link.clone()));
                    }
                }
                () = &mut stop, if !app.is_closing() => drop(app.closing.send_replace(true)),
                () = &mut serving => return Ok(()),
            }
        }
    }
}

/// Listens on an address, and says which it is.
pub(crate) async fn listen(
    address: impl ToSocketAddrs + std::fmt::Display,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let shown = address.to_string();
    let failed = |cause| BindError { address: shown.clone(), cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves connections until `closing` says true and the last one ended or its grace is over.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    metrics: Arc<Metrics>,
    mut closing: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = told(&mut closing) => break,
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            router: router.clone(),
            peer: Peer(peer.ip()),
            read_timeout: settings.read_timeout,
            closing: closing.clone(),
            metrics: metrics.clone(),
            _place: place,
        };
        connections.spawn(connection.serve(stream));
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Those that are still open after it are dropped with the set.
    let _ = tokio::time::timeout(settings.grace, ended).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
    // The semaphore is never closed.
    let place = places.clone().acquire_owned().await.ok();
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

struct Connection {
    router: Router,
    peer: Peer,
    read_timeout: Duration,
    closing: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        // Pieces of an answer are small and should not wait for each other.
        let _ = stream.set_nodelay(true);
        self.metrics.connection(true);
        let (router, peer) = (self.router, self.peer);
        let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.read_timeout)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // How a connection breaks off is the client's affair.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = told(&mut self.closing) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        self.metrics.connection(false);
    }
}
