//! What a visitor is told when something cannot be done. Nothing of it names a model.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use camelid_files::program;
use serde_json::json;

use crate::arena::error::ArenaError;

/// Why a request is not answered.
#[derive(Debug)]
pub struct Fault {
    status: StatusCode,
    words: String,
    retry_after: Option<u64>,
}

impl Fault {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), retry_after: None }
    }

    /// What was sent cannot be used.
    pub fn wrong(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    /// There is no such thing.
    pub fn missing(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, words)
    }

    /// It is too late, or too early.
    pub fn conflict(words: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, words)
    }

    /// Too much of one address.
    pub fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let words = format!("That was a lot in a short time. Please wait {seconds} seconds.");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, words) }
    }

    /// Too much of all.
    pub fn busy() -> Self {
        let words = "Many people are asking right now. Please try again in a moment.";
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, words) }
    }

    /// Something of the arena itself fails; the log says what.
    pub fn ours(error: &ArenaError, words: &str) -> Self {
        camelid_files::say!("error: {}", program::message(error));
        let is_full = matches!(error, ArenaError::Store { cause, .. }
            if cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull));
        let status =
            if is_full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self::new(status, words)
    }
}

impl From<JsonRejection> for Fault {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "message": self.words } });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
