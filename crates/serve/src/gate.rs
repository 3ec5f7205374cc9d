//! What every request goes through, whatever serves it: an entry in the log, a key, the origin.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::error::{Failure, ServeError};
use crate::keys::ApiKeys;
use crate::log::{Entry, Log};
use crate::metrics::Metrics;
use crate::settings::Cors;

/// Paths that need no key: health, pages, and what machines of one's own network say to each other.
const OPEN: [&str; 5] = ["/health", "/ready", "/", "/docs", "/openapi.json"];
const OPEN_FOLDERS: [&str; 2] = ["/assets/", "/page/"];

/// The door.
pub(crate) struct Gate {
    pub keys: Option<ApiKeys>,
    pub log: Arc<Log>,
    pub metrics: Arc<Metrics>,
    /// Further paths that need no key.
    pub open: &'static [&'static str],
}

/// Who asks, and where it is noted.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The key's name, else the address.
    pub client: String,
    pub entry: Arc<Entry>,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub std::net::IpAddr);

/// Puts the door before a router, and gives what it does not serve an error.
pub(crate) fn guard(router: Router, gate: Arc<Gate>, origins: &Cors) -> Router {
    router
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(middleware::from_fn_with_state(gate, enter))
        .layer(cors(origins))
}

/// A route at its path with a slash behind it and without.
pub(crate) fn with_slash<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    path: &str,
    route: MethodRouter<S>,
) -> Router<S> {
    router.route(&format!("{path}/"), route.clone()).route(path, route)
}

async fn unknown(request: Request) -> ServeError {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ServeError::UnknownPath { method, path }
}

/// Opens a request's entry in the log and asks for its key.
async fn enter(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let path = match path.strip_suffix('/') {
        Some(short) if !short.is_empty() => short.to_owned(),
        _ => path.to_owned(),
    };
    let entry = Entry::new(gate.log.clone(), gate.metrics.clone(), request.method().as_str(), &path);
    let open = OPEN.contains(&path.as_str())
        || gate.open.contains(&path.as_str())
        || OPEN_FOLDERS.iter().any(|folder| path.starts_with(folder));
    let client = match &gate.keys {
        Some(keys) if !open => keys.name_of(request.headers()).map(str::to_owned),
        _ => {
            let peer = request.extensions().get::<Peer>();
            Ok(peer.map_or_else(String::new, |peer| peer.0.to_string()))
        }
    };
    let response = match client {
        Ok(client) => {
            entry.set("client", client.as_str());
            request.extensions_mut().insert(Caller { client, entry: entry.clone() });
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let failure = response.extensions().get::<Failure>().map(|failure| failure.0.clone());
    entry.responds(response.status().as_u16(), failure.as_deref());
    response
}

fn cors(cors: &Cors) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(Any)
        .expose_headers([header::RETRY_AFTER]);
    match cors {
        Cors::Any => layer.allow_origin(Any),
        Cors::None => CorsLayer::new(),
        Cors::Origins(origins) => {
            let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
            layer.allow_origin(AllowOrigin::list(origins))
        }
    }
}
