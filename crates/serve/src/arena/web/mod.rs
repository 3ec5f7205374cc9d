//! The arena over HTTP: pages, and what their script asks for.

mod api;
mod fault;
mod pages;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Arena;
use crate::page;
use crate::settings::Settings;

/// Most bytes of a request.
const LONGEST_REQUEST: usize = 256 << 10;

/// Serves an arena's pages until `stop` is ready; answers and votes under way then have as long to end as a
/// server's ([`Settings::grace`]).
///
/// # Errors
/// Where the listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    arena: Arc<Arena>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // Pieces of an answer are small and should not wait for each other.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let service = router(arena).into_make_service_with_connect_info::<SocketAddr>();
    let (tell, told) = oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = tell.send(());
    };
    let overdue = async {
        // An error says that nobody waits for a stop any more: all is served.
        match told.await {
            Ok(()) => tokio::time::sleep(Settings::default().grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        served = async { axum::serve(listener, service).with_graceful_shutdown(stop).await } => served,
        () = overdue => Ok(()),
    }
}

/// The arena's pages and what they ask for. It has to be served with the address of each connection, as
/// [`serve`] does: `router(arena).into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(arena: Arc<Arena>) -> Router {
    Router::new()
        .route("/", get(pages::battle))
        .route("/side-by-side", get(pages::side_by_side))
        .route("/direct", get(pages::direct))
        .route("/leaderboard", get(pages::leaderboard))
        .route("/leaderboard.json", get(pages::leaderboard_json))
        .route("/leaderboard.csv", get(pages::leaderboard_csv))
        .route("/about", get(pages::about))
        .route("/arena/turn", post(api::turn))
        .route("/arena/vote", post(api::vote))
        .route("/arena/report", post(api::report))
        .route("/health", get(|| async { "ok" }))
        .fallback(|| async { fault::Fault::missing("There is no such page.") })
        .with_state(arena)
        .merge(page::router(&pages::ASSETS))
        .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
}
