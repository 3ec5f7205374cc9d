//! Files of a page that live in the program.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::markdown;

/// A script or a style sheet.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where it is served, e.g. `/assets/page.css`.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub body: &'static str,
}

impl Asset {
    /// A JavaScript module or script.
    pub const fn script(path: &'static str, body: &'static str) -> Self {
        Self { path, content_type: "text/javascript; charset=utf-8", body }
    }

    /// A style sheet.
    pub const fn style(path: &'static str, body: &'static str) -> Self {
        Self { path, content_type: "text/css; charset=utf-8", body }
    }
}

/// What every page needs.
const SHARED: [Asset; 3] = [
    Asset::style("/assets/page.css", include_str!("page.css")),
    Asset::script("/assets/theme.js", include_str!("theme.js")),
    Asset::script("/assets/page.js", include_str!("page.js")),
];

/// Serves the shared files and `own` ones, and `POST /page/markdown`: `{"text": …}` to `{"html": …}`, by
/// which a page shows answers. A browser asks for a file again each time and is told in a few bytes
/// that it has it already.
pub fn router<S: Clone + Send + Sync + 'static>(own: &[Asset]) -> Router<S> {
    let router = Router::new().route("/page/markdown", post(to_html));
    SHARED.iter().chain(own).fold(router, |router, &asset| {
        let mut tag = camelid_files::digest::of_bytes(asset.body);
        tag.truncate(16);
        let tag = format!("\"{tag}\"");
        router.route(asset.path, get(move |headers: HeaderMap| async move { answer(asset, &tag, &headers) }))
    })
}

#[derive(Deserialize)]
struct Markdown {
    text: String,
}

#[derive(Serialize)]
struct AsHtml {
    html: String,
}

async fn to_html(Json(markdown): Json<Markdown>) -> Json<AsHtml> {
    Json(AsHtml { html: markdown::to_html(&markdown.text) })
}

fn answer(asset: Asset, tag: &str, headers: &HeaderMap) -> Response {
    let caching = [(header::ETAG, tag.to_owned()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    (caching, content_type, asset.body).into_response()
}
