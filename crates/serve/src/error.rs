//! What can go wrong with a request, and how OpenAI's API says it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use camelid_files::program;
use camelid_model::ModelError;
use serde_json::{Value, json};

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The body or one of its fields is not what it should be.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what was expected.
        message: String,
        /// The field at fault.
        param: Option<String>,
    },
    /// The prompt leaves no room for an answer. It is never cut.
    #[error(
        "this model's context has room for {context} tokens, but the {param} take {prompt}; shorten them"
    )]
    ContextOverflow {
        /// Tokens of the context.
        context: usize,
        /// Tokens of the prompt.
        prompt: usize,
        /// `messages` or `prompt`.
        param: &'static str,
    },
    /// No model has this name.
    #[error("the model `{model}` does not exist; there are {known}")]
    UnknownModel {
        /// The name asked for.
        model: String,
        /// The names there are.
        known: String,
    },
    /// Nothing is served at this path.
    #[error("nothing is served at {method} {path}; /docs lists what is")]
    UnknownPath {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
    },
    /// No API key, or a wrong one.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The body is longer than the limit.
    #[error("the body is longer than the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body did not come in full in time.
    #[error("the request's body did not arrive within {seconds} seconds")]
    SlowBody {
        /// The limit.
        seconds: u64,
    },
    /// This key has asked too much.
    #[error("{message}")]
    RateLimited {
        /// Which limit, and how much of it there is.
        message: String,
        /// Seconds until another request can be let in.
        retry_after: u64,
    },
    /// Too many requests wait already.
    #[error("{waiting} requests wait already, which is the most; try again later")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The model is not there yet, or the server is about to end.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The answer took too long.
    #[error("the answer was not complete within {seconds} seconds")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// No worker could answer, or all that were asked failed.
    #[error("no worker could answer: {0}")]
    Worker(String),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl ServeError {
    /// A field that is wrong.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param.into()) }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::ContextOverflow { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::UnknownModel { .. } | Self::UnknownPath { .. } => StatusCode::NOT_FOUND,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded { .. } | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Worker(_) => StatusCode::BAD_GATEWAY,
            Self::Model(error) if is_of_the_request(error) => StatusCode::BAD_REQUEST,
            Self::Model(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// OpenAI's name of the kind of error.
    fn kind(&self) -> &'static str {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// OpenAI's code, where it has one.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::ContextOverflow { .. } => Some("context_length_exceeded"),
            Self::UnknownModel { .. } => Some("model_not_found"),
            Self::UnknownPath { .. } => Some("unknown_url"),
            Self::Unauthorized(_) => Some("invalid_api_key"),
            Self::RateLimited { .. } => Some("rate_limit_exceeded"),
            Self::Overloaded { .. } => Some("overloaded"),
            Self::TimedOut { .. } => Some("timeout"),
            _ => None,
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::ContextOverflow { param, .. } => Some(param),
            Self::UnknownModel { .. } => Some("model"),
            _ => None,
        }
    }

    /// FastChat's code of the same (its `constants.py`).
    pub(crate) fn fastchat_code(&self) -> u32 {
        match self {
            Self::Invalid { .. } => 40302,
            Self::ContextOverflow { .. } => 40303,
            Self::UnknownModel { .. } => 40301,
            Self::Unauthorized(_) => 40102,
            Self::RateLimited { .. } => 42901,
            Self::Overloaded { .. } | Self::Unavailable(_) => 42903,
            Self::Worker(_) => 50005,
            Self::TimedOut { .. } => 50006,
            Self::Model(error) if is_of_the_request(error) => 40302,
            _ => 50001,
        }
    }

    /// `{"error": {message, type, param, code}}`, as clients parse it.
    pub fn body(&self) -> Value {
        json!({ "error": {
            "message": program::message(self), "type": self.kind(), "param": self.param(), "code": self.code(),
        }})
    }
}

/// Whether the model refuses what was asked rather than fails.
fn is_of_the_request(error: &ModelError) -> bool {
    matches!(
        error,
        ModelError::Option(_)
            | ModelError::EmptyPrompt
            | ModelError::TokenOutOfRange { .. }
            | ModelError::Chat(_)
            | ModelError::Constraint { .. }
            | ModelError::ContextOverflow { .. }
            | ModelError::CacheOverflow { .. }
    )
}

impl IntoResponse for ServeError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        if let Self::RateLimited { retry_after, .. } = &self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
        } else if matches!(self, Self::Overloaded { .. } | Self::Unavailable(_)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        if matches!(self, Self::Unauthorized(_)) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The log and the counters read it there.
        response.extensions_mut().insert(Failure(program::message(&self)));
        response
    }
}

/// What went wrong, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Failure(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_what_openai_says_it_is() {
        for (error, status, kind, param, code) in [
            (ServeError::field("top_p", "wrong"), 400, "invalid_request_error", json!("top_p"), json!(null)),
            (
                ServeError::ContextOverflow { context: 8, prompt: 9, param: "messages" },
                400,
                "invalid_request_error",
                json!("messages"),
                json!("context_length_exceeded"),
            ),
            (
                ServeError::UnknownModel { model: "gpt-4o".into(), known: "tiny".into() },
                404,
                "invalid_request_error",
                json!("model"),
                json!("model_not_found"),
            ),
            (
                ServeError::Unauthorized("no key"),
                401,
                "invalid_request_error",
                json!(null),
                json!("invalid_api_key"),
            ),
            (
                ServeError::RateLimited { message: "slow down".into(), retry_after: 3 },
                429,
                "rate_limit_error",
                json!(null),
                json!("rate_limit_exceeded"),
            ),
            (ServeError::Unavailable("loading"), 503, "server_error", json!(null), json!(null)),
            (
                ServeError::Model(ModelError::NotANumber { position: 1 }),
                500,
                "server_error",
                json!(null),
                json!(null),
            ),
            (
                ServeError::Model(ModelError::EmptyPrompt),
                400,
                "invalid_request_error",
                json!(null),
                json!(null),
            ),
        ] {
            let body = error.body();
            assert_eq!(error.status().as_u16(), status, "{body}");
            assert_eq!((&body["error"]["type"], &body["error"]["param"]), (&json!(kind), &param), "{body}");
            assert_eq!(body["error"]["code"], code, "{body}");
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn a_client_is_told_when_to_come_again() {
        let response =
            ServeError::RateLimited { message: "slow down".into(), retry_after: 7 }.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
    }
}
