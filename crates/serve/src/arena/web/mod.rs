//! The arena over HTTP: pages, and what their script asks for.

mod api;
mod fault;
mod pages;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::Arena;
use crate::page;

/// Most bytes of a request.
const LONGEST_REQUEST: usize = 256 << 10;

/// The arena's pages and what they ask for. It has to be served with the address of each connection:
/// `axum::serve(listener, router(arena).into_make_service_with_connect_info::<SocketAddr>())`.
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
