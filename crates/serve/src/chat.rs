//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use camelid_model::TokenLogprobs;
use serde_json::{Value, json};

use crate::answer::{Answer, Piece};
use crate::app::App;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::generation::{blocking, check_constraint, sequences, target};
use crate::model::ServedModel;
use crate::reply::{ReplyDelta, ReplyParser};
use crate::stream::{DONE, Frames, event, respond};
use crate::tokens::TokenTexts;
use crate::wire::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta, ChatLogprobs, ChatMessage, ChatReply,
    ChatRequest, FunctionCall, ResponseFormat, TokenLogprob, ToolCall, ToolChoice, Tools, TopLogprob, Usage,
    finish_reason, new_id, unix_seconds,
};

/// What answers say of the server.
pub(crate) const FINGERPRINT: &str = concat!("camelid-", env!("CARGO_PKG_VERSION"));

/// Answers a conversation.
pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    let mut request = ChatRequest::read(&app.body(body).await?)?;
    app.log.unknown_fields("/v1/chat/completions", &request.unknown);
    let (model, target) = target(&app, &caller, &request.sampling.model)?;
    caller.entry.set("stream", request.sampling.stream);
    caller.entry.set_text("messages", || request.messages.iter().map(ChatMessage::for_template).collect());
    if let Some(schema) = forced_call(&request.tools)? {
        request.sampling.response_format = ResponseFormat::JsonSchema(schema);
    }
    check_constraint(&app, &request.sampling).await?;
    let prompt = prompt(&app, &request).await?;
    request.sampling.options.stop.extend_from_slice(model.template.stop_strings());
    request.sampling.options.stop_ids.extend(model.template.stop_ids(model.tokens.tokenizer()));
    let mut requests = sequences(&app, model, &target, &request.sampling, &prompt, "messages")?;
    requests.iter_mut().for_each(|sequence| sequence.logprobs = request.logprobs);
    let answer = app.answer(&caller, requests)?;
    let writer = ChatWriter::new(&app, model, target.name, &request, prompt.len());
    match request.sampling.stream {
        true => Ok(respond(&app, answer, writer)),
        false => Ok(Json(whole(answer, writer, &caller).await?).into_response()),
    }
}

/// The conversation as the model's template writes it.
async fn prompt(app: &Arc<App>, request: &ChatRequest) -> Result<Vec<u32>, ServeError> {
    let messages: Vec<Value> = request.messages.iter().map(ChatMessage::for_template).collect();
    let tools = request.tools.offered().to_vec();
    blocking(app, move |model| chat_prompt(model, &messages, &tools)).await
}

/// A conversation's tokens.
///
/// # Errors
/// When the model's template refuses it.
pub(crate) fn chat_prompt(
    model: &ServedModel,
    messages: &[Value],
    tools: &[Value],
) -> Result<Vec<u32>, ServeError> {
    model.template.api_prompt(messages, tools, model.tokens.tokenizer()).map_err(|error| {
        let param =
            if matches!(error, camelid_chat::ChatError::NoTools { .. }) { "tools" } else { "messages" };
        ServeError::field(param, error.to_string())
    })
}

/// What the text has to be where the model must call a function.
fn forced_call(tools: &Tools) -> Result<Option<Value>, ServeError> {
    let parameters = |tool: &Value| match tool["function"].get("parameters") {
        Some(schema) if schema.is_object() => schema.clone(),
        _ => json!({ "type": "object" }),
    };
    match &tools.choice {
        ToolChoice::Function(name) => {
            let tool = tools.list.iter().find(|tool| tool["function"]["name"] == **name);
            Ok(tool.map(parameters).map(compact))
        }
        ToolChoice::Required => {
            let call = |tool: &Value| {
                json!({
                    "type": "object", "required": ["name", "arguments"], "additionalProperties": false,
                    "properties": { "name": { "const": tool["function"]["name"] }, "arguments": parameters(tool) },
                })
            };
            Ok(Some(compact(json!({ "anyOf": tools.list.iter().map(call).collect::<Vec<_>>() }))))
        }
        ToolChoice::Auto | ToolChoice::None => Ok(None),
    }
}

/// The schema without white space between tokens (llguidance's extension): nobody reads a call, and a
/// weak model might write nothing else.
fn compact(mut schema: Value) -> Value {
    schema["x-guidance"] = json!({ "whitespace_flexible": false });
    schema
}

/// Writes an answer as chunks, or gathers it.
struct ChatWriter {
    app: Arc<App>,
    id: String,
    created: u64,
    model: String,
    include_usage: bool,
    prompt_tokens: usize,
    cached_tokens: usize,
    new_tokens: usize,
    logprobs: bool,
    parsers: Vec<ReplyParser>,
}

impl ChatWriter {
    fn new(
        app: &Arc<App>,
        model: &ServedModel,
        name: String,
        request: &ChatRequest,
        prompt_tokens: usize,
    ) -> Self {
        let parser = ReplyParser::new(&model.template, &request.tools);
        Self {
            app: app.clone(),
            id: new_id("chatcmpl-"),
            created: unix_seconds(),
            model: name,
            include_usage: request.sampling.stream_options.include_usage,
            prompt_tokens,
            cached_tokens: 0,
            new_tokens: 0,
            logprobs: request.logprobs.is_some(),
            parsers: vec![parser; request.sampling.n],
        }
    }

    fn usage(&self) -> Usage {
        Usage::new(self.prompt_tokens, self.cached_tokens, self.new_tokens)
    }

    fn told(&self, logprobs: &[TokenLogprobs]) -> Option<ChatLogprobs> {
        let model = self.app.model.get()?;
        self.logprobs.then(|| ChatLogprobs {
            content: logprobs.iter().map(|token| token_logprob(&model.tokens, token)).collect(),
            refusal: None,
        })
    }

    /// Counts a piece.
    fn note(&mut self, index: usize, piece: &Piece) {
        match piece {
            // The choices after the first share its prompt.
            Piece::Prompt { cached_tokens, .. } if index == 0 => self.cached_tokens = *cached_tokens,
            Piece::Done(finished) => self.new_tokens += finished.new_tokens,
            _ => {}
        }
    }

    fn reason(&self, index: usize, reason: camelid_model::StopReason) -> &'static str {
        match finish_reason(reason) {
            "stop" if self.parsers[index].has_calls() => "tool_calls",
            reason => reason,
        }
    }

    fn chunk(&self, choices: Vec<ChatChunkChoice>, usage: Option<Usage>) -> Bytes {
        event(&ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: FINGERPRINT,
            choices,
            usage: self.include_usage.then_some(usage),
        })
    }

    fn delta(&self, index: usize, delta: ChatDelta, logprobs: Option<ChatLogprobs>) -> Bytes {
        self.chunk(vec![ChatChunkChoice { index, delta, logprobs, finish_reason: None }], None)
    }

    fn deltas(
        &self,
        index: usize,
        deltas: Vec<ReplyDelta>,
        mut logprobs: Option<ChatLogprobs>,
    ) -> Vec<Bytes> {
        let mut frames = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let delta = match delta {
                ReplyDelta::Text(text) if text.is_empty() && logprobs.is_none() => continue,
                ReplyDelta::Text(text) => ChatDelta { content: Some(text), ..ChatDelta::default() },
                ReplyDelta::Call(call) => ChatDelta { tool_calls: vec![call], ..ChatDelta::default() },
            };
            frames.push(self.delta(index, delta, logprobs.take()));
        }
        // Text that is held back until it is clear what it is has its probabilities told at once.
        if frames.is_empty() && logprobs.as_ref().is_some_and(|told| !told.content.is_empty()) {
            frames.push(self.delta(index, ChatDelta::default(), logprobs));
        }
        frames
    }
}

impl Frames for ChatWriter {
    fn begin(&mut self) -> Vec<Bytes> {
        let delta =
            || ChatDelta { role: Some("assistant"), content: Some(String::new()), ..ChatDelta::default() };
        (0..self.parsers.len()).map(|index| self.delta(index, delta(), None)).collect()
    }

    fn piece(&mut self, index: usize, piece: Piece) -> Vec<Bytes> {
        self.note(index, &piece);
        match piece {
            Piece::Prompt { .. } => Vec::new(),
            Piece::Text { text, logprobs, .. } => {
                let deltas = self.parsers[index].push(&text);
                let logprobs = self.told(&logprobs);
                self.deltas(index, deltas, logprobs)
            }
            Piece::Done(finished) => {
                let rest = self.parsers[index].finish();
                let mut frames = self.deltas(index, rest, None);
                let finish_reason = Some(self.reason(index, finished.reason));
                let last =
                    ChatChunkChoice { index, delta: ChatDelta::default(), logprobs: None, finish_reason };
                frames.push(self.chunk(vec![last], None));
                frames
            }
        }
    }

    fn end(&mut self) -> Vec<Bytes> {
        let usage = self.include_usage.then(|| self.chunk(Vec::new(), Some(self.usage())));
        usage.into_iter().chain([DONE]).collect()
    }
}

/// The answer in one piece.
async fn whole(
    mut answer: Answer,
    mut writer: ChatWriter,
    caller: &Caller,
) -> Result<ChatCompletion, ServeError> {
    let empty = ChatReply { role: "assistant", content: None, refusal: None, tool_calls: Vec::new() };
    let choice =
        |index| ChatChoice { index, message: empty.clone(), logprobs: writer.told(&[]), finish_reason: "" };
    let mut choices: Vec<ChatChoice> = (0..writer.parsers.len()).map(choice).collect();
    while let Some(piece) = answer.next().await {
        let (index, piece) = piece?;
        writer.note(index, &piece);
        let choice = &mut choices[index];
        match piece {
            Piece::Prompt { .. } => {}
            Piece::Text { text, logprobs, .. } => {
                choice.message.add(writer.parsers[index].push(&text));
                if let (Some(told), Some(more)) = (&mut choice.logprobs, writer.told(&logprobs)) {
                    told.content.extend(more.content);
                }
            }
            Piece::Done(finished) => {
                choice.message.add(writer.parsers[index].finish());
                choice.finish_reason = writer.reason(index, finished.reason);
                // A reply of no text is an empty one; only calls stand without content.
                if choice.message.tool_calls.is_empty() {
                    choice.message.content.get_or_insert_default();
                }
            }
        }
    }
    caller.entry.set_text("answers", || choices.iter().map(|choice| json!(choice.message)).collect());
    Ok(ChatCompletion {
        usage: writer.usage(),
        id: writer.id,
        object: "chat.completion",
        created: writer.created,
        model: writer.model,
        choices,
        system_fingerprint: FINGERPRINT,
    })
}

impl ChatReply {
    fn add(&mut self, deltas: Vec<ReplyDelta>) {
        for delta in deltas {
            match delta {
                ReplyDelta::Text(text) => self.content.get_or_insert_default().push_str(&text),
                ReplyDelta::Call(call) => match (call.id, call.function.name) {
                    (Some(id), Some(name)) => {
                        let function = FunctionCall { name, arguments: call.function.arguments };
                        self.tool_calls.push(ToolCall { id, r#type: "function", function });
                    }
                    _ => {
                        if let Some(known) = self.tool_calls.get_mut(call.index) {
                            known.function.arguments.push_str(&call.function.arguments);
                        }
                    }
                },
            }
        }
    }
}

/// A token as chats tell of it.
pub(crate) fn token_logprob(tokens: &TokenTexts, token: &TokenLogprobs) -> TokenLogprob {
    let top = |(id, logprob): &(u32, f32)| TopLogprob {
        token: tokens.text(*id),
        logprob: *logprob,
        bytes: tokens.bytes(*id).to_vec(),
    };
    TokenLogprob {
        token: tokens.text(token.id),
        logprob: token.logprob,
        bytes: tokens.bytes(token.id).to_vec(),
        top_logprobs: token.top.iter().map(top).collect(),
    }
}
