//! A request on its way to a worker, and to another one if that breaks or declines.
//!
//! A worker whose connection breaks, or that says nothing for too long, is forgotten until it registers
//! again. One that says that it cannot answer, for it is busy or about to end, is there all the same: it
//! is passed over for this request alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::frames::{Frame, FrameReader, Kind};
use super::workers::Chosen;
use crate::app::read_body;
use crate::client::post;
use crate::error::ServeError;
use crate::fastchat::failure_frame;
use crate::gate::Caller;
use crate::log::Entry;
use crate::stream::{COMMENT, EVENT_STREAM, streamed};
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
        Err(error) => Ok(failure_frame(&error).into_response()),
    }
}

/// A request that is sent on.
struct Job {
    shared: Shared,
    entry: Arc<Entry>,
    kind: Kind,
    path: &'static str,
    model: String,
    stream: bool,
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
        stream,
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
            let headers = HeaderMap::new();
            let answer = post(&url, &headers, self.body.clone());
            // An answer in one piece has its head when all of it is there, and its own limit.
            let limit = if self.stream { self.shared.timeouts.stream } else { Duration::MAX };
            match tokio::time::timeout(limit, answer).await {
                Ok(Ok(response)) if response.status().is_server_error() => {
                    self.declined(&chosen, &format!("status {}", response.status()));
                }
                Ok(Ok(response)) => return Ok(Answering { chosen, response }),
                Ok(Err(error)) => self.failed(&chosen, &error.to_string()),
                Err(_) => self.failed(&chosen, &self.silent(&chosen)),
            }
        }
        Err(match self.tried.is_empty() {
            true => ServeError::Unavailable("no worker has this model at the moment; try again later"),
            false => ServeError::Worker(self.why.clone()),
        })
    }

    /// The worker is broken: nothing is sent there until it registers again.
    fn failed(&mut self, chosen: &Chosen, why: &str) {
        self.shared.workers.forget(&chosen.address, why, &self.shared.log);
        self.why = why.to_owned();
    }

    /// The worker is there, and does not take this request.
    fn declined(&mut self, chosen: &Chosen, why: &str) {
        self.why = format!("{} declines: {why}", chosen.address);
    }

    fn silent(&self, chosen: &Chosen) -> String {
        format!("{} says nothing for {} seconds", chosen.address, self.shared.timeouts.stream.as_secs_f64())
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
        let content_type = match self.kind {
            Kind::Openai => EVENT_STREAM,
            Kind::FastChat => "application/octet-stream",
        };
        tokio::spawn(async move {
            // The client went away, or has all of it.
            let _ = self.pass_on(answering, &to).await;
        });
        streamed(content_type, ReceiverStream::new(waiting))
    }

    async fn pass_on(mut self, mut answering: Answering, to: &mpsc::Sender<Bytes>) -> Result<(), Gone> {
        let stall = self.shared.settings.stall_timeout;
        self.entry.generates();
        loop {
            let Answering { chosen, response } = answering;
            let may_begin_anew = match self.pass_on_one(&chosen, response, to).await? {
                Outcome::Whole => {
                    self.entry.completes();
                    return Ok(());
                }
                Outcome::Declined(why) => {
                    self.declined(&chosen, &why);
                    true
                }
                Outcome::Broken { why, has_begun } => {
                    self.failed(&chosen, &why);
                    !has_begun
                }
            };
            if !may_begin_anew {
                return self.end(&ServeError::Worker(self.why.clone()), to, stall).await;
            }
            let next = tokio::select! {
                () = to.closed() => return Err(Gone),
                next = self.begin() => next,
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

    /// Passes on what one worker says, from its first word of the answer on; what came before is dropped
    /// with a worker that fails.
    async fn pass_on_one(
        &self,
        chosen: &Chosen,
        response: HttpResponse<Incoming>,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<Outcome, Gone> {
        let (stall, keep_alive) = (self.shared.settings.stall_timeout, self.shared.settings.keep_alive);
        let mut frames = FrameReader::new(Body::new(response.into_body()), self.kind);
        let mut has_begun = false;
        // What can still be taken back.
        let mut held: Vec<Bytes> = Vec::new();
        let mut heard = tokio::time::Instant::now();
        loop {
            let frame = tokio::select! {
                biased;
                () = to.closed() => return Err(Gone),
                frame = frames.next() => frame,
                () = tokio::time::sleep_until(heard + self.shared.timeouts.stream) => {
                    return Ok(Outcome::Broken { why: self.silent(chosen), has_begun });
                }
                () = tokio::time::sleep(keep_alive), if self.kind == Kind::Openai => {
                    send(to, COMMENT, stall).await?;
                    continue;
                }
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(why) => {
                    let why = format!("the connection to {} broke: {why}", chosen.address);
                    return Ok(Outcome::Broken { why, has_begun });
                }
            };
            let Some(frame) = frame else {
                for frame in held {
                    send(to, frame, stall).await?;
                }
                return Ok(Outcome::Whole);
            };
            let said = if has_begun { Frame::Answer } else { self.kind.read(&frame) };
            match said {
                Frame::Life => send(to, frame, stall).await?,
                Frame::Opening => held.push(frame),
                Frame::Declined(why) => return Ok(Outcome::Declined(why)),
                Frame::Answer => {
                    if !has_begun {
                        has_begun = true;
                        self.entry.first_text(self.entry.age());
                    }
                    for frame in held.drain(..).chain([frame]) {
                        send(to, frame, stall).await?;
                    }
                }
            }
            // A client that takes its time is no silence of the worker.
            heard = tokio::time::Instant::now();
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

/// How one worker's part in an answer ended.
enum Outcome {
    Whole,
    Declined(String),
    Broken { why: String, has_begun: bool },
}

/// The client went away.
struct Gone;

async fn send(to: &mpsc::Sender<Bytes>, frame: Bytes, stall: Duration) -> Result<(), Gone> {
    match tokio::time::timeout(stall, to.send(frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}
