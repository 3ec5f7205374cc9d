//! The pieces of an answer, in OpenAI's protocol and in FastChat's.

use axum::body::{Body, BodyDataStream, Bytes};
use serde_json::Value;
use tokio_stream::StreamExt;

use crate::error::ServeError;
use crate::fastchat::failure_frame;
use crate::stream::{DONE, event};

/// How pieces of an answer are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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

    /// What a frame, with its end, is to the answer.
    pub fn read(self, frame: &[u8]) -> Frame {
        let frame = frame.strip_suffix(self.end_of_frame()).unwrap_or(frame);
        match self {
            Self::Openai => match frame.strip_prefix(b"data: ") {
                Some(json) => openai_frame(json),
                None if frame.starts_with(b":") => Frame::Life,
                None => Frame::Answer,
            },
            Self::FastChat => fastchat_frame(frame),
        }
    }

    pub fn failure(self, error: &ServeError) -> Vec<Bytes> {
        match self {
            Self::Openai => vec![event(&error.body()), DONE],
            Self::FastChat => vec![failure_frame(error)],
        }
    }
}

/// What a frame is to the answer that it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// It says that the worker lives, and can be passed on before any answer.
    Life,
    /// It opens the answer and has nothing of it: another worker's opening can stand in its place.
    Opening,
    /// It has something of the answer: from there on it cannot be begun anew.
    Answer,
    /// It says that this worker cannot answer, and why; another one may.
    Declined(String),
}

fn openai_frame(json: &[u8]) -> Frame {
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return Frame::Answer };
    if value["error"]["type"] == "server_error" {
        return Frame::Declined(text(&value["error"]["message"]));
    }
    let says = |choice: &Value| {
        let some = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
        some(&choice["delta"]["content"])
            || some(&choice["text"])
            || choice["delta"]["tool_calls"].is_array()
            || !choice["logprobs"].is_null()
            || !choice["finish_reason"].is_null()
    };
    match value["choices"].as_array() {
        Some(choices) if !choices.iter().any(says) => Frame::Opening,
        _ => Frame::Answer,
    }
}

fn fastchat_frame(json: &[u8]) -> Frame {
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return Frame::Answer };
    match value["error_code"].as_u64() {
        Some(code) if code >= 42_903 => Frame::Declined(text(&value["text"])),
        // The whole text comes again with each frame, so one without any says only that there is more to come.
        Some(0) if value["text"] == "" && value["finish_reason"].is_null() => Frame::Life,
        _ => Frame::Answer,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("without a word why").to_owned()
}

/// Cuts what comes into whole frames.
pub(super) struct FrameReader {
    body: BodyDataStream,
    kind: Kind,
    rest: Vec<u8>,
}

impl FrameReader {
    pub fn new(body: Body, kind: Kind) -> Self {
        Self { body: body.into_data_stream(), kind, rest: Vec::new() }
    }

    /// The next frame with its end; `None` after the last one. Broken off is an answer that ends without
    /// its last frame.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
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
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn an_answer_has_begun_with_its_first_token() {
        for (frame, read) in [
            (
                r#"data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                Frame::Opening,
            ),
            (": still there", Frame::Life),
            (r#"data: {"choices":[{"delta":{"content":"H"},"finish_reason":null}]}"#, Frame::Answer),
            (r#"data: {"choices":[{"text":"H","finish_reason":null}]}"#, Frame::Answer),
            (r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Frame::Answer),
            (r#"data: {"error":{"type":"invalid_request_error","message":"x"}}"#, Frame::Answer),
            (r#"data: {"error":{"type":"server_error","message":"x"}}"#, Frame::Declined("x".into())),
            ("data: [DONE]", Frame::Answer),
        ] {
            assert_eq!(Kind::Openai.read(format!("{frame}\n\n").as_bytes()), read, "{frame}");
        }
        for (frame, read) in [
            (r#"{"text":"","error_code":0,"finish_reason":null}"#, Frame::Life),
            (r#"{"text":"H","error_code":0}"#, Frame::Answer),
            (r#"{"text":"","error_code":0,"finish_reason":"stop"}"#, Frame::Answer),
            (r#"{"text":"too long","error_code":40303}"#, Frame::Answer),
            (r#"{"text":"full","error_code":42903}"#, Frame::Declined("full".into())),
            (r#"{"text":"no memory","error_code":50002}"#, Frame::Declined("no memory".into())),
        ] {
            assert_eq!(Kind::FastChat.read(format!("{frame}\0").as_bytes()), read, "{frame}");
        }
    }

    #[tokio::test]
    async fn frames_are_cut_where_they_end_however_they_come() {
        let pieces = ["data: a\n", "\ndata: b\n\ndat", "a: c\n\n"];
        let stream = tokio_stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
        let mut reader = FrameReader::new(Body::from_stream(stream), Kind::Openai);
        for expected in ["data: a\n\n", "data: b\n\n", "data: c\n\n"] {
            assert_eq!(reader.next().await.unwrap().unwrap(), expected);
        }
        assert!(reader.next().await.unwrap().is_none());
    }
}
