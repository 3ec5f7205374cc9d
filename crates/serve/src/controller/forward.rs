//! A request on its way to a worker, and to another one if that dies.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::workers::Chosen;
use crate::app::read_body;
use crate::client::post;
use crate::error::ServeError;
use crate::gate::Caller;
use crate::log::Entry;
use crate::stream::{COMMENT, DONE, event};
use crate::wire::Fields;

/// Most workers that are asked for one request.
const MOST_TRIES: usize = 4;
/// Most bytes of an answer in one piece.
const MOST_BYTES: usize = 256 << 20;

pub(super) async fn chat(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    forward(&shared, &caller, body, "/v1/chat/completions", Kind::Openai).await
}

pub(super) async fn completions(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    forward(&shared, &caller, body, "/v1/completions", Kind::Openai).await
}

pub(super) async fn embeddings(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ServeError> {
    forward(&shared, &caller, body, "/v1/embeddings", Kind::Openai).await
}

/// `/worker_generate_stream`: this controller as a worker of another one, or of a web server.
pub(super) async fn worker_stream(
    shared: &Shared,
    caller: &Caller,
    body: Body,
) -> Result<Response, ServeError> {
    match forward(shared, caller, body, "/worker_generate_stream", Kind::FastChat).await {
        Ok(response) => Ok(response),
        Err(error) => Ok(Kind::FastChat.failure(&error)[0].clone().into_response()),
    }
}

/// How pieces of an answer are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Openai,
    FastChat,
}

impl Kind {
    fn end_of_frame(self) -> &'static [u8] {
        match self {
            Self::Openai => b"\n\n",
            Self::FastChat => b"\0",
        }
    }

    /// Whether a frame has something of the answer itself: from there on it cannot be begun anew.
    fn counts(self, frame: &[u8]) -> bool {
        let json = match self {
            Self::Openai => frame.strip_prefix(b"data: ").unwrap_or_default(),
            Self::FastChat => frame,
        };
        let Ok(value) = serde_json::from_slice::<Value>(json) else {
            return self == Self::Openai && frame.starts_with(b"data:");
        };
        match self {
            Self::FastChat => true,
            Self::Openai => value["choices"].as_array().is_none_or(|choices| {
                choices.iter().any(|choice| {
                    let said = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
                    said(&choice["delta"]["content"])
                        || said(&choice["text"])
                        || choice["delta"]["tool_calls"].is_array()
                        || !choice["logprobs"].is_null()
                        || !choice["finish_reason"].is_null()
                })
            }),
        }
    }

    /// Whether a frame says that the worker cannot answer, though another one may.
    fn gives_up(self, frame: &[u8]) -> bool {
        let frame = frame.strip_suffix(self.end_of_frame()).unwrap_or(frame);
        let json = frame.strip_prefix(b"data: ").unwrap_or(frame);
        let Ok(value) = serde_json::from_slice::<Value>(json) else { return false };
        match self {
            Self::Openai => value["error"]["type"] == "server_error",
            Self::FastChat => value["error_code"].as_u64().is_some_and(|code| code >= 42_903),
        }
    }

    fn failure(self, error: &ServeError) -> Vec<Bytes> {
        match self {
            Self::Openai => vec![event(&error.body()), DONE],
            Self::FastChat => {
                let text = camelid_files::program::message(error);
                let frame = json!({ "text": text, "error_code": error.fastchat_code() }).to_string() + "\0";
                vec![Bytes::from(frame)]
            }
        }
    }
}

/// A request that is sent on.
struct Job {
    shared: Shared,
    entry: Arc<Entry>,
    kind: Kind,
    path: &'static str,
    model: String,
    body: Bytes,
    tried: Vec<String>,
    why: String,
}

/// A worker that began to answer.
struct Answering {
    chosen: Chosen,
    response: HttpResponse<Incoming>,
}

async fn forward(
    shared: &Shared,
    caller: &Caller,
    body: Body,
    path: &'static str,
    kind: Kind,
) -> Result<Response, ServeError> {
    let body = read_body(body, &shared.settings).await?;
    let mut fields = Fields::of_body(&body)?;
    let model = model_of(shared, fields.take("model", "the name of a model")?.unwrap_or_default())?;
    let stream = kind == Kind::FastChat || fields.take("stream", "true or false")?.unwrap_or(false);
    caller.entry.set("model", model.as_str());
    caller.entry.set("stream", stream);
    shared.rates.enter(&caller.client, Instant::now())?;
    caller.entry.admitted(shared.rates.clone(), caller.client.clone());
    let mut job = Job {
        shared: shared.clone(),
        entry: caller.entry.clone(),
        kind,
        path,
        model,
        body,
        tried: Vec::new(),
        why: String::new(),
    };
    let timeout = shared.settings.timeout;
    let begun = tokio::time::timeout(timeout, job.begin()).await;
    let answering = begun.unwrap_or(Err(ServeError::TimedOut { seconds: timeout.as_secs() }))?;
    let is_stream = stream && answering.response.status() == StatusCode::OK;
    if is_stream {
        return Ok(job.stream(answering));
    }
    let whole = tokio::time::timeout(timeout, job.whole(answering)).await;
    whole.unwrap_or(Err(ServeError::TimedOut { seconds: timeout.as_secs() }))
}

/// The model that a name means: with a single model there, no name means that one.
fn model_of(shared: &Shared, name: String) -> Result<String, ServeError> {
    let models = shared.workers.models();
    if models.is_empty() {
        return Err(ServeError::Unavailable("no worker is registered; try again later"));
    }
    if models.contains(&name) {
        return Ok(name);
    }
    match models.first() {
        Some(only) if models.len() == 1 && (name.is_empty() || shared.settings.any_model) => Ok(only.clone()),
        _ => {
            let known = models.into_iter().collect::<Vec<_>>().join(", ");
            Err(ServeError::UnknownModel { model: name, known })
        }
    }
}

impl Job {
    /// Sends the request to the next worker, until one answers at all.
    async fn begin(&mut self) -> Result<Answering, ServeError> {
        while self.tried.len() < MOST_TRIES {
            let Some(chosen) = self.shared.workers.choose(&self.model, &self.tried) else { break };
            self.tried.push(chosen.address.clone());
            if self.kind == Kind::Openai && !chosen.openai_api {
                self.why = format!("{} speaks FastChat's protocol alone", chosen.address);
                continue;
            }
            self.entry.set("workers", json!(self.tried));
            let url = format!("{}{}", chosen.address, self.path);
            match post(&url, &HeaderMap::new(), self.body.clone()).await {
                // It is there, and cannot take more: another one may.
                Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    self.why = format!("{} is overloaded", chosen.address);
                }
                Ok(response) => return Ok(Answering { chosen, response }),
                Err(error) => self.failed(&chosen, &error.to_string()),
            }
        }
        Err(match self.tried.is_empty() {
            true => ServeError::Unavailable("no worker has this model at the moment; try again later"),
            false => ServeError::Worker(self.why.clone()),
        })
    }

    fn failed(&mut self, chosen: &Chosen, why: &str) {
        self.shared.workers.forget(&chosen.address, why, &self.shared.log);
        self.why = why.to_owned();
    }

    /// The answer in one piece: nothing of it was passed on before all of it is there.
    async fn whole(mut self, mut answering: Answering) -> Result<Response, ServeError> {
        loop {
            let Answering { chosen, response } = answering;
            let status = response.status();
            let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
            let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
            match axum::body::to_bytes(Body::new(response.into_body()), MOST_BYTES).await {
                Ok(bytes) => {
                    let mut response = (status, bytes).into_response();
                    let json = HeaderValue::from_static("application/json");
                    response.headers_mut().insert(header::CONTENT_TYPE, content_type.unwrap_or(json));
                    if let Some(seconds) = retry_after {
                        response.headers_mut().insert(header::RETRY_AFTER, seconds);
                    }
                    return Ok(response);
                }
                Err(error) => {
                    self.failed(&chosen, &format!("the connection to {} broke: {error}", chosen.address));
                }
            }
            answering = self.begin().await?;
        }
    }

    /// The answer as it comes.
    fn stream(self, answering: Answering) -> Response {
        let (to, waiting) = mpsc::channel(8);
        let kind = self.kind;
        tokio::spawn(async move {
            // The client went away, or has all of it.
            let _ = self.pass_on(answering, &to).await;
        });
        let content_type = match kind {
            Kind::Openai => "text/event-stream",
            Kind::FastChat => "application/octet-stream",
        };
        let headers = [
            (header::CONTENT_TYPE, content_type),
            (header::CACHE_CONTROL, "no-cache"),
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::from_stream(ReceiverStream::new(waiting).map(Ok::<_, Infallible>))).into_response()
    }

    async fn pass_on(mut self, mut answering: Answering, to: &mpsc::Sender<Bytes>) -> Result<(), Gone> {
        let stall = self.shared.settings.stall_timeout;
        self.entry.generates();
        loop {
            let Answering { chosen, response } = answering;
            let mut frames = FrameReader {
                body: Body::new(response.into_body()).into_data_stream(),
                kind: self.kind,
                rest: Vec::new(),
            };
            // What can still be taken back.
            let mut held: Vec<Bytes> = Vec::new();
            let mut has_begun = false;
            let broke = loop {
                let frame = tokio::select! {
                    () = to.closed() => return Err(Gone),
                    frame = frames.next() => frame,
                    () = tokio::time::sleep(self.shared.settings.keep_alive), if self.kind == Kind::Openai => {
                        send(to, COMMENT, stall).await?;
                        continue;
                    }
                };
                match frame {
                    Ok(Some(frame)) if has_begun || frame.starts_with(b":") => send(to, frame, stall).await?,
                    Ok(Some(frame)) if self.kind.gives_up(&frame) => break "it gave up".to_owned(),
                    Ok(Some(frame)) => {
                        has_begun = self.kind.counts(&frame[..frame.len() - self.kind.end_of_frame().len()]);
                        held.push(frame);
                        if has_begun {
                            self.entry.first_text(self.entry.age());
                            for frame in held.drain(..) {
                                send(to, frame, stall).await?;
                            }
                        }
                    }
                    Ok(None) => {
                        for frame in held.drain(..) {
                            send(to, frame, stall).await?;
                        }
                        self.entry.completes();
                        return Ok(());
                    }
                    Err(why) => break why,
                }
            };
            self.failed(&chosen, &format!("the connection to {} broke: {broke}", chosen.address));
            let next = match has_begun {
                true => Err(ServeError::Worker(self.why.clone())),
                false => self.begin().await,
            };
            answering = match next {
                Ok(next) if next.response.status() == StatusCode::OK => next,
                Ok(next) => {
                    let why = format!("{} answers {}", next.chosen.address, next.response.status());
                    return self.end(&ServeError::Worker(why), to, stall).await;
                }
                Err(error) => return self.end(&error, to, stall).await,
            };
        }
    }

    async fn end(&self, error: &ServeError, to: &mpsc::Sender<Bytes>, stall: Duration) -> Result<(), Gone> {
        self.entry.failed(error);
        for frame in self.kind.failure(error) {
            send(to, frame, stall).await?;
        }
        Ok(())
    }
}

/// The client went away.
struct Gone;

async fn send(to: &mpsc::Sender<Bytes>, frame: Bytes, stall: Duration) -> Result<(), Gone> {
    match tokio::time::timeout(stall, to.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

/// Cuts what comes into whole frames.
struct FrameReader {
    body: axum::body::BodyDataStream,
    kind: Kind,
    rest: Vec<u8>,
}

impl FrameReader {
    /// The next frame with its end; `None` after the last one. Broken off is an answer that ends without
    /// its last frame.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let end = self.kind.end_of_frame();
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end) {
                let frame: Vec<u8> = self.rest.drain(..at + end.len()).collect();
                return Ok(Some(Bytes::from(frame)));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(error.to_string()),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err("it ended in the middle of a piece".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_begun_with_its_first_token() {
        for (frame, begun) in [
            (
                r#"data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                false,
            ),
            (": still there", false),
            (r#"data: {"choices":[{"delta":{"content":"H"},"finish_reason":null}]}"#, true),
            (r#"data: {"choices":[{"text":"H","finish_reason":null}]}"#, true),
            (r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#, true),
            (r#"data: {"error":{"message":"x"}}"#, true),
            ("data: [DONE]", true),
        ] {
            assert_eq!(Kind::Openai.counts(frame.as_bytes()), begun, "{frame}");
        }
    }

    #[tokio::test]
    async fn frames_are_cut_where_they_end_however_they_come() {
        let pieces = ["data: a\n", "\ndata: b\n\ndat", "a: c\n\n"];
        let stream = tokio_stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
        let body = Body::from_stream(stream).into_data_stream();
        let mut reader = FrameReader { body, kind: Kind::Openai, rest: Vec::new() };
        for expected in ["data: a\n\n", "data: b\n\n", "data: c\n\n"] {
            assert_eq!(reader.next().await.unwrap().unwrap(), expected);
        }
        assert!(reader.next().await.unwrap().is_none());
    }
}
