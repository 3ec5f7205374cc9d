//! Models behind HTTP: the API that every client speaks, and the arena in which people choose the
//! better of two answers.
//!
//! What a model writes is untrusted wherever it is shown: [`markdown`] is the one way from an answer
//! to a page, and [`page`] forbids every script that is not the page's own.

mod answer;
mod app;
pub mod arena;
mod chat;
mod client;
mod closing;
mod completions;
mod controller;
mod embeddings;
mod error;
mod fastchat;
mod gate;
mod generation;
mod info;
mod keys;
mod log;
pub mod markdown;
mod marks;
mod metrics;
mod model;
mod openapi;
pub mod page;
mod queue;
mod rate;
mod reply;
mod routes;
mod server;
mod settings;
mod stream;
mod tokens;
pub mod wire;

pub use client::ClientError;
pub use controller::{Controller, WorkerTimeouts};
pub use error::ServeError;
pub use keys::{ApiKeys, KeysError};
pub use log::Log;
pub use model::Served;
pub use rate::RateLimits;
pub use server::{BindError, Server, ServerError};
pub use settings::{ControllerLink, Cors, Settings};
