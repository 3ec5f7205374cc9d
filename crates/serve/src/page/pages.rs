//! The pages of a server: chat, and what its API is.

use axum::Router;
use axum::routing::get;

use super::assets::{Asset, router};
use super::shell::{Link, Page};

/// The ways between the pages of a server.
const LINKS: [Link; 2] = [Link { href: "/", words: "Chat" }, Link { href: "/docs", words: "API" }];

const ASSETS: [Asset; 3] = [
    Asset::style("/assets/chat.css", include_str!("chat.css")),
    Asset::script("/assets/chat.js", include_str!("chat.js")),
    Asset::script("/assets/docs.js", include_str!("docs.js")),
];

/// The chat page at `/` and the API's page at `/docs`, with their files.
pub(crate) fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    router(&ASSETS).route("/", get(chat)).route("/docs", get(docs))
}

async fn chat() -> Page<'static> {
    Page {
        title: "Chat",
        links: &LINKS,
        here: "/",
        main: include_str!("chat.html"),
        styles: &["/assets/chat.css"],
        scripts: &["/assets/chat.js"],
    }
}

async fn docs() -> Page<'static> {
    Page {
        title: "API",
        links: &LINKS,
        here: "/docs",
        main: include_str!("docs.html"),
        scripts: &["/assets/docs.js"],
        ..Page::default()
    }
}
