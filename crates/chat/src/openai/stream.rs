//! A reply that comes as server-sent events.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

use super::wire::Chunks;
use super::{Failure, LONGEST_REPLY, OnText, is_timeout};
use crate::generate::{GeneratedText, StopReason};

/// What follows the last chunk.
const DONE: &str = "[DONE]";

/// Reads events until the reply is complete or `on_text` ends it. Comments, which servers send to keep
/// a connection alive, and fields other than `data` are passed over.
pub(super) fn read(body: impl Read, on_text: OnText<'_, '_>) -> Result<GeneratedText, Failure> {
    let mut lines = BufReader::new(body.take(LONGEST_REPLY));
    let mut chunks = Chunks::default();
    let (mut line, mut data) = (Vec::new(), String::new());
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line);
        let message = match read {
            Ok(0) if chunks.is_complete() => break,
            Ok(0) => "the stream ended before the reply did".to_owned(),
            Err(error) if is_timeout(&error) => {
                let text = chunks.text().to_owned();
                return Err(if text.is_empty() {
                    Failure::Timeout { text }
                } else {
                    Failure::BegunLate { text }
                });
            }
            Err(error) => error.to_string(),
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']);
                if let Some(more) = text.strip_prefix("data:") {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(more.strip_prefix(' ').unwrap_or(more));
                } else if text.is_empty() && !data.is_empty() {
                    let event = std::mem::take(&mut data);
                    if event == DONE {
                        break;
                    }
                    let piece =
                        chunks.add(&event).map_err(|useless| Failure::Useless { useless, text: event })?;
                    if !piece.is_empty() && on_text(&piece) == ControlFlow::Break(()) {
                        return finish(chunks, Some(StopReason::Cancelled));
                    }
                }
                continue;
            }
        };
        let text = chunks.text().to_owned();
        let began = !text.is_empty();
        return Err(if began {
            Failure::Begun { message, text }
        } else {
            Failure::Truncated { message, text }
        });
    }
    finish(chunks, None)
}

fn finish(chunks: Chunks, reason: Option<StopReason>) -> Result<GeneratedText, Failure> {
    let text = chunks.text().to_owned();
    chunks.finish(reason).map_err(|useless| Failure::Useless { useless, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time, as networks do.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(3);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn chunk(delta: &str, reason: &str) -> String {
        format!(
            "data: {{\"model\": \"m-1\", \"choices\": [{{\"delta\": {delta}, \"finish_reason\": {reason}}}]}}\n\n"
        )
    }

    fn stream(events: &str) -> (Result<GeneratedText, Failure>, Vec<String>) {
        let mut pieces = Vec::new();
        let read = read(Dribble(events.as_bytes()), &mut |piece| {
            pieces.push(piece.to_owned());
            if piece == "stop here" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (read, pieces)
    }

    #[test]
    fn pieces_are_handed_on_and_counted() {
        let events = [
            ": keep-alive\n\n".to_owned(),
            chunk(r#"{"role": "assistant", "content": ""}"#, "null"),
            chunk(r#"{"content": "Grüß"}"#, "null"),
            chunk(r#"{"content": " Gott"}"#, "null").replace('\n', "\r\n"),
            chunk("{}", "\"length\""),
            "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 4, \"completion_tokens\": 2}}\n\n"
                .to_owned(),
            "data: [DONE]\n\n".to_owned(),
        ];
        let (read, pieces) = stream(&events.concat());
        let read = read.ok().unwrap();
        assert_eq!(pieces, ["Grüß", " Gott"]);
        assert_eq!((read.text.as_str(), read.reason), ("Grüß Gott", StopReason::Length));
        assert_eq!((read.prompt_tokens, read.new_tokens), (Some(4), Some(2)));
        assert_eq!(read.model_version.as_deref(), Some("m-1"));
    }

    #[test]
    fn the_callback_ends_the_reply() {
        let events = chunk(r#"{"content": "stop here"}"#, "null") + &chunk(r#"{"content": "more"}"#, "null");
        let (read, pieces) = stream(&events);
        assert_eq!((read.ok().unwrap().reason, pieces.len()), (StopReason::Cancelled, 1));
    }

    #[test]
    fn a_reply_that_breaks_off_is_an_error_and_final_once_begun() {
        let begun = chunk(r#"{"content": "Half"}"#, "null");
        let Err(Failure::Begun { text, .. }) = stream(&begun).0 else { panic!("it broke off") };
        assert_eq!(text, "Half");
        assert!(matches!(stream(": waiting\n\n").0, Err(Failure::Truncated { .. })));
        let error = begun + "data: {\"error\": {\"message\": \"overloaded\"}}\n\n";
        assert!(matches!(stream(&error).0, Err(Failure::Useless { .. })));
        assert!(matches!(stream("data: {\n\n").0, Err(Failure::Useless { .. })));
        let thoughts = chunk(r#"{"reasoning_content": "Hm"}"#, "\"stop\"") + "data: [DONE]\n\n";
        assert!(matches!(stream(&thoughts).0, Err(Failure::Useless { .. })));
    }
    #[test]
    fn a_reply_that_is_late_is_not_one_that_broke_off() {
        struct Late;
        impl Read for Late {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::TimedOut.into())
            }
        }
        let begun = chunk(r#"{"content": "Half"}"#, "null");
        let of = |begun: &str| read(begun.as_bytes().chain(Late), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(of(": waiting\n\n"), Err(Failure::Timeout { .. })));
        let Err(Failure::BegunLate { text }) = of(&begun) else { panic!("it is late") };
        assert_eq!(text, "Half");
    }
}
