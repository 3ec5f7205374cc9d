//! Answers piece by piece.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use crate::answer::{Answer, Piece};
use crate::app::App;
use crate::error::ServeError;

/// Frames that wait for a client; beyond, pieces gather in the answer itself.
const WAITING_FRAMES: usize = 8;

/// How a protocol writes the pieces of an answer, each as whole frames.
///
/// What a stream of server-sent events does is given; other streams say otherwise.
pub(crate) trait Frames: Send + 'static {
    /// What comes before any text.
    fn begin(&mut self) -> Vec<Bytes>;
    /// What a piece of sequence `index` becomes.
    fn piece(&mut self, index: usize, piece: Piece) -> Vec<Bytes>;
    /// What comes after the last piece.
    fn end(&mut self) -> Vec<Bytes>;
    /// What an answer that fails ends with.
    fn failure(&mut self, error: &ServeError) -> Vec<Bytes> {
        vec![event(&error.body()), DONE]
    }
    /// What says that the answer still lives.
    fn keep_alive(&self) -> Bytes {
        COMMENT
    }
    /// The type of the whole.
    fn content_type(&self) -> &'static str {
        EVENT_STREAM
    }
}

/// An event of a server-sent stream.
pub(crate) fn event(data: &impl Serialize) -> Bytes {
    let json = serde_json::to_string(data).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    Bytes::from(format!("data: {json}\n\n"))
}

/// The type of a stream of events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// The last event of a stream.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");
/// A comment, which clients pass over.
pub(crate) const COMMENT: Bytes = Bytes::from_static(b": still there\n\n");

/// A response that sends an answer's pieces as they come. When the client goes away, or takes nothing
/// for too long, the answer is dropped, which ends its sequences.
pub(crate) fn respond(app: &Arc<App>, answer: Answer, frames: impl Frames) -> Response {
    let (frames_out, waiting) = mpsc::channel(WAITING_FRAMES);
    let content_type = frames.content_type();
    let (stall, keep_alive) = (app.settings.stall_timeout, app.settings.keep_alive);
    tokio::spawn(Writer { to: frames_out, stall, keep_alive }.run(answer, frames));
    streamed(content_type, ReceiverStream::new(waiting))
}

/// A response whose frames leave as they come.
pub(crate) fn streamed(
    content_type: &'static str,
    frames: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would gather the pieces.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(frames.map(Ok::<_, Infallible>))).into_response()
}

/// The client went away.
struct Gone;

struct Writer {
    to: mpsc::Sender<Bytes>,
    stall: Duration,
    keep_alive: Duration,
}

impl Writer {
    async fn run(self, mut answer: Answer, mut frames: impl Frames) {
        // Whether it ended or the client left, the answer is over.
        let _ = self.write(&mut answer, &mut frames).await;
    }

    async fn write(&self, answer: &mut Answer, frames: &mut impl Frames) -> Result<(), Gone> {
        self.send(frames.begin()).await?;
        loop {
            let piece = tokio::select! {
                () = self.to.closed() => return Err(Gone),
                piece = answer.next() => piece,
                () = tokio::time::sleep(self.keep_alive) => {
                    self.send(vec![frames.keep_alive()]).await?;
                    continue;
                }
            };
            match piece {
                Some(Ok((index, piece))) => self.send(frames.piece(index, piece)).await?,
                Some(Err(error)) => return self.send(frames.failure(&error)).await,
                None => return self.send(frames.end()).await,
            }
        }
    }

    async fn send(&self, frames: Vec<Bytes>) -> Result<(), Gone> {
        for frame in frames {
            match tokio::time::timeout(self.stall, self.to.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}
