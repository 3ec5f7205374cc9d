//! What FastChat asks of a worker.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use camelid_model::GenerateOptions;
use serde_json::{Value, json};

use crate::answer::{Answer, Piece};
use crate::app::App;
use crate::chat::chat_prompt;
use crate::completions::LogprobWriter;
use crate::embeddings::embed;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::generation::{blocking, sequences, target};
use crate::marks;
use crate::stream::{Frames, respond};
use crate::wire::{
    ChatMessage, CompletionLogprobs, Fields, PromptText, ResponseFormat, Sampling, Usage, finish_reason,
};

/// FastChat's limit where a request has none.
const DEFAULT_MAX_NEW_TOKENS: usize = 256;

/// The worker's routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/worker_generate_stream", post(generate_stream))
        .route("/worker_generate", post(generate))
        .route("/worker_get_embeddings", post(embeddings))
        .route("/worker_get_status", post(get_status))
        .route("/count_token", post(count_token))
        .route("/worker_get_conv_template", post(conv_template))
        .route("/model_details", post(model_details))
}

/// What a controller knows of a worker.
pub(crate) fn status(app: &App) -> Value {
    let names: Vec<&str> = app.model.get().map(|model| model.names().collect()).unwrap_or_default();
    json!({
        "model_names": names, "speed": 1, "queue_length": app.queue.running() + app.queue.waiting(),
        // FastChat passes over it; our controller sends such a worker requests as they came.
        "openai_api": true,
    })
}

async fn get_status(State(app): State<Arc<App>>) -> Json<Value> {
    Json(status(&app))
}

async fn conv_template(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "conv": app.marks.template() }))
}

async fn model_details(State(app): State<Arc<App>>) -> Result<Json<Value>, ServeError> {
    Ok(Json(json!({ "context_length": app.model()?.context })))
}

async fn count_token(State(app): State<Arc<App>>, body: Body) -> Result<Json<Value>, ServeError> {
    let mut fields = Fields::of_body(&app.body(body).await?)?;
    let prompt: String = fields.take("prompt", "a text")?.unwrap_or_default();
    let count = prompt_ids(&app, prompt).await?.0.len();
    Ok(Json(json!({ "count": count, "error_code": 0 })))
}

/// A prompt's tokens, and whether it is a conversation.
async fn prompt_ids(app: &Arc<App>, prompt: String) -> Result<(Vec<u32>, bool), ServeError> {
    blocking(app, move |model| match marks::messages(&prompt) {
        Some(messages) => {
            let messages: Vec<Value> = messages.iter().map(ChatMessage::for_template).collect();
            Ok((chat_prompt(model, &messages, &[])?, true))
        }
        None => {
            let encoded = model.tokens.tokenizer().encode_fast(prompt, true);
            let encoded = encoded.map_err(|error| ServeError::field("prompt", error.to_string()))?;
            Ok((encoded.get_ids().to_vec(), false))
        }
    })
    .await
}

async fn generate_stream(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Response {
    match begin(&app, &caller, body).await {
        Ok((answer, writer)) => respond(&app, answer, writer),
        // FastChat reads errors where it reads text.
        Err(error) => failure_frame(&error).into_response(),
    }
}

async fn generate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Json<Value> {
    let whole = async {
        let (mut answer, mut writer) = begin(&app, &caller, body).await?;
        while let Some(piece) = answer.next().await {
            writer.read(piece?.1);
        }
        Ok::<_, ServeError>(writer.state())
    };
    Json(whole.await.unwrap_or_else(|error| failure(&error)))
}

async fn begin(app: &Arc<App>, caller: &Caller, body: Body) -> Result<(Answer, WorkerWriter), ServeError> {
    let mut fields = Fields::of_body(&app.body(body).await?)?;
    let prompt: String =
        fields.take("prompt", "a text")?.ok_or_else(|| fields.missing("prompt", "a text"))?;
    let echo = fields.take("echo", "true or false")?.unwrap_or(false);
    let logprobs = fields.count("logprobs", 0, 20)?;
    let max_tokens = fields.count("max_new_tokens", 0, usize::MAX)?.or(Some(DEFAULT_MAX_NEW_TOKENS));
    let mut sampling = Sampling { max_tokens, ..Sampling::read(&mut fields, None)? };
    sampling.n = 1;
    sampling.response_format = ResponseFormat::Text;
    // FastChat's worker takes the likeliest token below this.
    let GenerateOptions { temperature, .. } = &mut sampling.options;
    if *temperature < 1e-5 {
        *temperature = 0.0;
    }
    let (model, target) = target(app, caller, &sampling.model)?;
    let shown = echo.then(|| prompt.clone());
    let (ids, is_chat) = prompt_ids(app, prompt).await?;
    if is_chat {
        sampling.options.stop.extend_from_slice(model.template.stop_strings());
        sampling.options.stop_ids.extend(model.template.stop_ids(model.tokens.tokenizer()));
    }
    let mut requests = sequences(app, model, &target, &sampling, &ids, "prompt")?;
    for sequence in &mut requests {
        sequence.logprobs = logprobs;
        sequence.prompt_logprobs = logprobs.filter(|_| echo);
    }
    let answer = app.answer(caller, requests)?;
    let writer = WorkerWriter {
        app: app.clone(),
        text: shown.unwrap_or_default(),
        echoed: echo.then(|| ids.clone()),
        usage: Usage::new(ids.len(), 0, 0),
        logprobs: logprobs.map(|_| (LogprobWriter::default(), CompletionLogprobs::default())),
        finish_reason: None,
    };
    Ok((answer, writer))
}

/// Writes the whole text again with each piece, as FastChat's protocol has it.
struct WorkerWriter {
    app: Arc<App>,
    text: String,
    /// The prompt's tokens, until their scores are told.
    echoed: Option<Vec<u32>>,
    usage: Usage,
    logprobs: Option<(LogprobWriter, CompletionLogprobs)>,
    finish_reason: Option<&'static str>,
}

impl WorkerWriter {
    fn read(&mut self, piece: Piece) {
        let Some(model) = self.app.model.get() else { return };
        match piece {
            Piece::Prompt { logprobs, .. } => {
                if let (Some((writer, told)), Some(ids)) = (&mut self.logprobs, self.echoed.take()) {
                    told.add(writer.prompt(&model.tokens, &ids, logprobs.as_deref()));
                }
            }
            Piece::Text { text, logprobs, tokens } => {
                self.text.push_str(&text);
                self.usage = Usage::new(self.usage.prompt_tokens, 0, self.usage.completion_tokens + tokens);
                if let Some((writer, told)) = &mut self.logprobs {
                    told.add(writer.tokens(&model.tokens, &logprobs));
                }
            }
            Piece::Done(finished) => {
                self.usage = Usage::new(finished.prompt_tokens, 0, finished.new_tokens);
                self.finish_reason = Some(finish_reason(finished.reason));
            }
        }
    }

    fn state(&self) -> Value {
        json!({
            "text": self.text,
            "error_code": 0,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
            },
            "logprobs": self.logprobs.as_ref().map(|(_, told)| told),
            "finish_reason": self.finish_reason,
        })
    }
}

impl Frames for WorkerWriter {
    fn begin(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    fn piece(&mut self, _index: usize, piece: Piece) -> Vec<Bytes> {
        let tells = !matches!(piece, Piece::Prompt { .. });
        self.read(piece);
        if tells { vec![frame(&self.state())] } else { Vec::new() }
    }

    fn end(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    fn failure(&mut self, error: &ServeError) -> Vec<Bytes> {
        vec![failure_frame(error)]
    }

    fn keep_alive(&self) -> Bytes {
        // Its text is the whole one each time: the same again says that nothing new came.
        frame(&self.state())
    }

    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }
}

fn frame(value: &Value) -> Bytes {
    Bytes::from(value.to_string() + "\0")
}

fn failure(error: &ServeError) -> Value {
    json!({ "text": camelid_files::program::message(error), "error_code": error.fastchat_code() })
}

/// The piece of a stream that says what went wrong.
pub(crate) fn failure_frame(error: &ServeError) -> Bytes {
    frame(&failure(error))
}

async fn embeddings(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Json<Value> {
    let vectors = async {
        let mut fields = Fields::of_body(&app.body(body).await?)?;
        let input = PromptText::read(&mut fields, "input")?;
        let (vectors, tokens) = embed(&app, &caller, input).await?;
        Ok::<_, ServeError>(json!({ "embedding": vectors, "token_num": tokens }))
    };
    Json(vectors.await.unwrap_or_else(|error| failure(&error)))
}
