//! What a server says of itself and its tokenizer.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::chat::chat_prompt;
use crate::error::ServeError;
use crate::generation::{blocking, tokenise};
use crate::wire::{ChatMessage, Fields, ModelCard, ModelList, Tools};

/// `GET /v1/models`.
pub(crate) async fn models(State(app): State<Arc<App>>) -> Result<Json<ModelList>, ServeError> {
    Ok(Json(app.model()?.list()))
}

/// `GET /v1/models/NAME`.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<ModelCard>, ServeError> {
    let model = app.model()?;
    let target = model.find(&name, false)?;
    Ok(Json(model.card(&target.name)))
}

/// `GET /health`: whether requests are answered at all.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    match app.model.get() {
        Some(_) => Json(json!({ "status": "ok" })).into_response(),
        None => status("loading model"),
    }
}

/// `GET /ready`: whether another request is welcome here.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.model.get() {
        None => status("loading model"),
        Some(_) if app.is_closing() => status("ending"),
        Some(_) if app.queue.waiting() >= app.settings.most_waiting => status("queue full"),
        Some(_) => Json(json!({ "status": "ready" })).into_response(),
    }
}

fn status(words: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": words }))).into_response()
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, app.metrics.text(app.gauges())).into_response()
}

/// The tokens of a text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokenized {
    /// The ids.
    pub tokens: Vec<u32>,
    /// How many they are.
    pub count: usize,
    /// How many a prompt and its answer may be together.
    pub max_model_len: usize,
}

/// `POST /tokenize`: of `content` as llama.cpp does, without special tokens unless asked; of `prompt`
/// as vLLM does, with them unless told not to; of `messages` as a chat's prompt.
pub(crate) async fn tokenize(State(app): State<Arc<App>>, body: Body) -> Result<Json<Tokenized>, ServeError> {
    let mut fields = Fields::of_body(&app.body(body).await?)?;
    let expected = "true or false";
    let special = fields.take("add_special_tokens", expected)?;
    let special: Option<bool> = special.or(fields.take("add_special", expected)?);
    let max_model_len = app.model()?.context;
    let content: Option<String> = fields.take("content", "a text")?;
    let prompt: Option<String> = fields.take("prompt", "a text")?;
    let tokens = match (content, prompt) {
        (Some(text), _) => tokenise(&app, text, special.unwrap_or(false)).await?,
        (None, Some(text)) => tokenise(&app, text, special.unwrap_or(true)).await?,
        (None, None) => {
            let Some(messages) = fields.value("messages") else {
                return Err(fields.missing("content", "a text, or a `prompt`, or `messages`"));
            };
            let mut fields = Fields::of_body(
                json!({ "messages": messages, "tools": fields.value("tools") }).to_string().as_bytes(),
            )?;
            let messages = ChatMessage::read_all(&mut fields)?;
            let messages: Vec<Value> = messages.iter().map(ChatMessage::for_template).collect();
            let tools = Tools::read(&mut fields)?.list;
            blocking(&app, move |model| chat_prompt(model, &messages, &tools)).await?
        }
    };
    Ok(Json(Tokenized { count: tokens.len(), tokens, max_model_len }))
}

/// `POST /detokenize`: `tokens` to `content`, which vLLM calls `prompt`.
pub(crate) async fn detokenize(State(app): State<Arc<App>>, body: Body) -> Result<Json<Value>, ServeError> {
    let mut fields = Fields::of_body(&app.body(body).await?)?;
    let expected = "a list of token ids";
    let tokens: Vec<u32> =
        fields.take("tokens", expected)?.ok_or_else(|| fields.missing("tokens", expected))?;
    let vocabulary = app.model()?.vocabulary;
    if let Some(id) = tokens.iter().find(|id| **id as usize >= vocabulary) {
        return Err(fields.wrong("tokens", &format!("a list with {id}"), &format!("ids below {vocabulary}")));
    }
    let text = blocking(&app, move |model| {
        let decoded = model.tokens.tokenizer().decode(&tokens, false);
        decoded.map_err(|error| ServeError::field("tokens", format!("cannot be decoded: {error}")))
    })
    .await?;
    Ok(Json(json!({ "content": text, "prompt": text })))
}

/// The tokens around a text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenizerInfo {
    /// What begins a text.
    pub bos_token: Option<String>,
    /// What ends one.
    pub eos_token: Option<String>,
}

/// `GET /tokenizer_info`, as vLLM has it and lm-evaluation-harness asks for it.
pub(crate) async fn tokenizer_info(State(app): State<Arc<App>>) -> Result<Json<TokenizerInfo>, ServeError> {
    let model = app.model()?;
    let text = |id: u32| model.tokens.text(id);
    let eos_token = model.end_ids.first().copied().map(text);
    Ok(Json(TokenizerInfo { bos_token: model.begin_id.map(text), eos_token }))
}
