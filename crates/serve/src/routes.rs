//! Which request goes where.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use crate::chat::chat;
use crate::completions::completions;
use crate::embeddings::embeddings;
use crate::fastchat;
use crate::gate::{Gate, guard, with_slash};
use crate::info;
use crate::openapi::openapi;
use crate::page::pages;

/// The whole API.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, route) in [
        ("/models", get(info::models)),
        ("/models/{name}", get(info::model)),
        ("/chat/completions", post(chat)),
        ("/completions", post(completions)),
        ("/embeddings", post(embeddings)),
    ] {
        // Some clients are given an address without `/v1` and find what they need all the same.
        router = with_slash(router, &format!("/v1{path}"), route.clone());
        router = with_slash(router, path, route);
    }
    for (path, route) in [
        ("/health", get(info::health)),
        ("/ready", get(info::ready)),
        ("/metrics", get(info::metrics)),
        ("/tokenize", post(info::tokenize)),
        ("/detokenize", post(info::detokenize)),
        ("/tokenizer_info", get(info::tokenizer_info)),
        ("/openapi.json", get(openapi)),
    ] {
        router = with_slash(router, path, route);
    }
    let router = router.merge(fastchat::routes()).merge(pages()).with_state(app.clone());
    let gate = Gate {
        keys: app.settings.keys.clone(),
        log: app.log.clone(),
        metrics: app.metrics.clone(),
        open: &[],
    };
    guard(router, Arc::new(gate), &app.settings.cors)
}
