//! The description of the API, as OpenAPI 3.
//!
//! Requests are read by hand, so that an error names its field; the bodies here say what is read, and a
//! test holds them to the readers.
#![expect(dead_code, reason = "bodies are described here and read elsewhere")]

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

use crate::wire::{ChatChunk, ChatCompletion, Completion, EmbeddingList, ModelCard, ModelList};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "camelid serve",
        description = "OpenAI's API over a model of one's own, and what llama.cpp's and vLLM's servers have beside it. \
                       Fields that are not described are ignored, and named once in the log."
    ),
    paths(
        models,
        model,
        chat_completions,
        completions,
        embeddings,
        tokenize,
        detokenize,
        tokenizer_info,
        health,
        ready,
        metrics
    ),
    components(schemas(ChatChunk, ErrorBody))
)]
struct Description;

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    match Description::openapi().to_json() {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => Json(Value::from(error.to_string())).into_response(),
    }
}

/// What every error looks like.
#[derive(ToSchema)]
struct ErrorBody {
    /// The error.
    error: ErrorDetails,
}

/// An error.
#[derive(ToSchema)]
struct ErrorDetails {
    /// What is wrong and what was expected.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    r#type: String,
    /// The field at fault.
    param: Option<String>,
    /// A name for programs, e.g. `context_length_exceeded`.
    code: Option<String>,
}

/// A conversation to go on with.
#[derive(ToSchema)]
pub(crate) struct ChatBody {
    /// The conversation.
    messages: Vec<MessageBody>,
    /// The model or one of its adapters; none means the model.
    model: Option<String>,
    /// From 0, the likeliest token always, to 2. Default 1.
    temperature: Option<f32>,
    /// Sample from the fewest tokens whose probabilities reach this sum. Default 1.
    top_p: Option<f32>,
    /// Sample from so many likeliest tokens; 0 or -1 for all. Default 0.
    top_k: Option<i64>,
    /// Sample from tokens at least this probable relative to the likeliest. Default 0.
    min_p: Option<f32>,
    /// Makes tokens of the text so far less likely, as transformers does. Default 1.
    repetition_penalty: Option<f32>,
    /// Most new tokens; what the context has room for unless given.
    max_completion_tokens: Option<usize>,
    /// The older name of the same.
    max_tokens: Option<usize>,
    /// How many answers. Default 1.
    n: Option<usize>,
    /// The same seed gives the same answers. Another one each time unless given.
    seed: Option<i64>,
    /// A text at which the answer ends, or up to 16 of them.
    stop: Option<Vec<String>>,
    /// Token ids at which the answer ends.
    stop_token_ids: Option<Vec<u32>>,
    /// Added to logits, from -100 to 100, by token id.
    logit_bias: Option<std::collections::BTreeMap<String, f32>>,
    /// Taken off the logit of tokens that are in the answer already. Default 0.
    presence_penalty: Option<f32>,
    /// The same, times how often they are. Default 0.
    frequency_penalty: Option<f32>,
    /// Whether log-probabilities are told. Default false.
    logprobs: Option<bool>,
    /// Of how many alternatives of each token, up to 20.
    top_logprobs: Option<usize>,
    /// Whether the answer comes piece by piece, as server-sent events of `ChatChunk`. Default false.
    stream: Option<bool>,
    /// `include_usage`: whether a last chunk has the counts of tokens.
    stream_options: Option<Value>,
    /// `{"type": "text"}`, `json_object`, or `json_schema` with `json_schema.schema`.
    response_format: Option<Value>,
    /// A regular expression that the answer has to match (vLLM's extension).
    guided_regex: Option<String>,
    /// A grammar in Lark's syntax that the answer has to be of (vLLM's extension).
    guided_grammar: Option<String>,
    /// A JSON schema that the answer has to be of (vLLM's extension).
    guided_json: Option<Value>,
    /// Functions that the model may call, where its template tells it of them.
    tools: Option<Vec<Value>>,
    /// `auto`, `none`, `required`, or a function.
    tool_choice: Option<Value>,
}

/// A message.
#[derive(ToSchema)]
struct MessageBody {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    role: String,
    /// A text, or a list of parts of type `text`.
    content: Option<Value>,
    /// The speaker's name.
    name: Option<String>,
    /// The calls of an assistant's message.
    tool_calls: Option<Vec<Value>>,
    /// Which call a tool's message answers.
    tool_call_id: Option<String>,
}

/// Texts to continue.
#[derive(ToSchema)]
pub(crate) struct CompletionBody {
    /// A text, a list of texts, token ids, or a list of such lists.
    prompt: Value,
    /// The model or one of its adapters; none means the model.
    model: Option<String>,
    /// Whether the answer begins with the prompt. Default false.
    echo: Option<bool>,
    /// Of how many alternatives of each token log-probabilities are told, up to 20; with `echo` of the
    /// prompt's tokens too.
    logprobs: Option<usize>,
    /// Most new tokens; 0 with `echo` scores the prompt alone. Default 16.
    max_tokens: Option<usize>,
    /// As in a chat.
    temperature: Option<f32>,
    /// As in a chat.
    top_p: Option<f32>,
    /// As in a chat.
    n: Option<usize>,
    /// As in a chat.
    seed: Option<i64>,
    /// As in a chat.
    stop: Option<Vec<String>>,
    /// As in a chat.
    stream: Option<bool>,
    /// As in a chat.
    stream_options: Option<Value>,
}

/// Texts to turn into vectors.
#[derive(ToSchema)]
pub(crate) struct EmbeddingBody {
    /// A text, a list of texts, token ids, or a list of such lists.
    input: Value,
    /// The model.
    model: Option<String>,
    /// `float` or `base64`. Default `float`.
    encoding_format: Option<String>,
}

/// A text to cut into tokens.
#[derive(ToSchema)]
struct TokenizeBody {
    /// A text, without special tokens unless asked (llama.cpp's form).
    content: Option<String>,
    /// A text, with special tokens unless told not to (vLLM's form).
    prompt: Option<String>,
    /// A conversation, as the model's template writes it.
    messages: Option<Vec<MessageBody>>,
    /// Whether special tokens are added.
    add_special_tokens: Option<bool>,
}

/// Tokens to put together.
#[derive(ToSchema)]
struct DetokenizeBody {
    /// Token ids.
    tokens: Vec<u32>,
}

/// The models.
#[utoipa::path(get, path = "/v1/models", responses((status = 200, body = ModelList)))]
fn models() {}

/// One model.
#[utoipa::path(get, path = "/v1/models/{name}", params(("name" = String, Path)),
    responses((status = 200, body = ModelCard), (status = 404, body = ErrorBody)))]
fn model() {}

/// Goes on with a conversation.
#[utoipa::path(post, path = "/v1/chat/completions", request_body = ChatBody,
    responses((status = 200, body = ChatCompletion), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
fn chat_completions() {}

/// Continues texts.
#[utoipa::path(post, path = "/v1/completions", request_body = CompletionBody,
    responses((status = 200, body = Completion), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
fn completions() {}

/// Turns texts into vectors.
#[utoipa::path(post, path = "/v1/embeddings", request_body = EmbeddingBody,
    responses((status = 200, body = EmbeddingList), (status = "4XX", body = ErrorBody)))]
fn embeddings() {}

/// Cuts a text into tokens.
#[utoipa::path(post, path = "/tokenize", request_body = TokenizeBody,
    responses((status = 200, body = crate::info::Tokenized), (status = "4XX", body = ErrorBody)))]
fn tokenize() {}

/// Puts tokens together.
#[utoipa::path(post, path = "/detokenize", request_body = DetokenizeBody,
    responses((status = 200, description = "`content`, the text"), (status = "4XX", body = ErrorBody)))]
fn detokenize() {}

/// The tokens around a text (vLLM's form).
#[utoipa::path(get, path = "/tokenizer_info", responses((status = 200, body = crate::info::TokenizerInfo)))]
fn tokenizer_info() {}

/// Whether the model is loaded.
#[utoipa::path(get, path = "/health", responses((status = 200, description = "it is"), (status = 503, description = "not yet")))]
fn health() {}

/// Whether another request is welcome.
#[utoipa::path(get, path = "/ready", responses((status = 200, description = "it is"), (status = 503, description = "not now")))]
fn ready() {}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", body = String)))]
fn metrics() {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ServeError;
    use crate::wire::{ChatRequest, CompletionRequest, EmbeddingRequest};

    /// The described fields of a body that are not read: a value that none can take is an error that
    /// names its field, and one that is not read is left over.
    fn unread(
        schema: &str,
        base: Value,
        read: impl Fn(&[u8]) -> Result<Vec<String>, ServeError>,
    ) -> Vec<String> {
        let api: Value = serde_json::from_str(&Description::openapi().to_json().unwrap()).unwrap();
        let fields = api["components"]["schemas"][schema]["properties"].as_object().unwrap().clone();
        assert!(!fields.is_empty());
        let is_unread = |field: &String| {
            let mut body = base.clone();
            body[field] = json!({ "?": [] });
            matches!(read(body.to_string().as_bytes()), Ok(unknown) if unknown.contains(field))
        };
        fields.keys().filter(|field| is_unread(field)).cloned().collect()
    }

    #[test]
    fn every_described_field_is_read() {
        let messages = json!({ "messages": [{ "role": "user", "content": "x" }] });
        let chat = unread("ChatBody", messages, |body| ChatRequest::read(body).map(|read| read.unknown));
        let prompt = json!({ "prompt": "x" });
        let completion =
            unread("CompletionBody", prompt, |body| CompletionRequest::read(body).map(|read| read.unknown));
        let input = json!({ "input": "x" });
        let embedding =
            unread("EmbeddingBody", input, |body| EmbeddingRequest::read(body).map(|read| read.unknown));
        assert_eq!((chat, completion, embedding), (vec![], vec![], vec![]));
    }
}
