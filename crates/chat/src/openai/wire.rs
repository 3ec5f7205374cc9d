//! Requests and replies as JSON, as in OpenAI's API reference ("Create chat completion").

use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{LengthField, OpenAiConfig};
use super::manner::Manner;
use crate::conversation::Message;
use crate::generate::{GenerateOptions, GeneratedText, StopReason};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    // Not of OpenAI's API; vLLM and others take them under these names.
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_token_ids: &'a [u32],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

/// A request's body. What leaves a filter switched off is not sent, for servers that do not know
/// the filter refuse its name; nor is the seed where nothing is drawn.
pub(super) fn request(
    config: &OpenAiConfig,
    manner: Manner,
    messages: &[Message],
    options: &GenerateOptions,
    stream: bool,
) -> Vec<u8> {
    let length = |field| (manner.length_field == field).then_some(options.max_new_tokens);
    let request = Request {
        model: &config.model,
        messages,
        temperature: manner.temperature.then_some(options.temperature),
        max_tokens: length(LengthField::MaxTokens),
        max_completion_tokens: length(LengthField::MaxCompletionTokens),
        top_p: (options.top_p != 1.0).then_some(options.top_p),
        stop: &options.stop,
        seed: (manner.seed && options.temperature > 0.0).then_some(options.seed),
        top_k: (options.top_k != 0).then_some(options.top_k),
        min_p: (options.min_p != 0.0).then_some(options.min_p),
        repetition_penalty: (options.repetition_penalty != 1.0).then_some(options.repetition_penalty),
        stop_token_ids: &options.stop_ids,
        stream,
    };
    if config.extra_body.is_empty() {
        return serde_json::to_vec(&request).expect("a request is plain data");
    }
    let mut body = serde_json::to_value(&request).expect("a request is plain data");
    if let Value::Object(fields) = &mut body {
        fields.extend(config.extra_body.clone());
    }
    body.to_string().into_bytes()
}

/// Why a whole reply is of no use.
pub(super) enum Useless {
    /// It is no chat completion; what is wrong and what was expected.
    Nonsense(String),
    /// It is one without an answer; why.
    NoAnswer(String),
}

/// Reads a whole reply.
pub(super) fn reply(body: &str) -> Result<GeneratedText, Useless> {
    let nonsense = |problem: &str| Useless::Nonsense(problem.to_owned());
    let reply: Value =
        serde_json::from_str(body).map_err(|error| Useless::Nonsense(format!("not valid JSON: {error}")))?;
    if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
        return Err(Useless::Nonsense(format!("it reports an error: {error}")));
    }
    let Some(choices) = reply.get("choices").and_then(Value::as_array) else {
        return Err(nonsense("no list `choices`"));
    };
    let choice = choices.first().ok_or_else(|| nonsense("`choices` is empty; expected one reply"))?;
    let message = choice.get("message").filter(|message| message.is_object());
    let message = message.ok_or_else(|| nonsense("`choices[0].message.content` is not a text"))?;
    let reason = finish_reason(choice).unwrap_or(StopReason::TurnEnd);
    generated(&reply, text_of(message, reason)?, reason)
}

/// Why a choice ended, once it says so.
fn finish_reason(choice: &Value) -> Option<StopReason> {
    Some(match choice.get("finish_reason")?.as_str()? {
        "length" => StopReason::Length,
        "content_filter" => StopReason::ContentFilter,
        _ => StopReason::TurnEnd,
    })
}

/// What was generated, with the counts and the version that a reply or a chunk of one names.
fn generated(reply: &Value, text: String, reason: StopReason) -> Result<GeneratedText, Useless> {
    let tokens = |field| reply.get("usage")?.get(field)?.as_u64()?.try_into().ok();
    let name = |field| reply.get(field).and_then(Value::as_str);
    Ok(GeneratedText {
        text,
        prompt_tokens: tokens("prompt_tokens"),
        new_tokens: tokens("completion_tokens"),
        reason,
        model_version: match (name("model"), name("system_fingerprint")) {
            (Some(model), Some(fingerprint)) => Some(format!("{model} ({fingerprint})")),
            (model, fingerprint) => model.or(fingerprint).map(str::to_owned),
        },
        own_temperature: false,
    })
}

/// A reply that comes in chunks ("The chat completion chunk object").
#[derive(Default)]
pub(super) struct Chunks {
    content: Option<String>,
    thoughts: String,
    refusal: String,
    calls_tool: bool,
    reason: Option<StopReason>,
    /// Fields that some chunk named: `model`, `system_fingerprint`, `usage`.
    named: Map<String, Value>,
}

impl Chunks {
    /// Takes the data of one event; the text that it adds.
    pub fn add(&mut self, data: &str) -> Result<String, Useless> {
        let chunk: Value = serde_json::from_str(data)
            .map_err(|error| Useless::Nonsense(format!("a chunk is not valid JSON: {error}")))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(Useless::Nonsense(format!("it reports an error: {error}")));
        }
        for field in ["model", "system_fingerprint", "usage"] {
            if let Some(value) = chunk.get(field).filter(|value| !value.is_null()) {
                self.named.insert(field.to_owned(), value.clone());
            }
        }
        // The chunk that only counts tokens has no choice.
        let choice = chunk.get("choices").and_then(|choices| choices.get(0));
        let Some(choice) = choice else { return Ok(String::new()) };
        self.reason = finish_reason(choice).or(self.reason);
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let words = |field: &str| delta.get(field).and_then(Value::as_str);
        self.thoughts += words("reasoning_content").or_else(|| words("reasoning")).unwrap_or_default();
        self.refusal += words("refusal").unwrap_or_default();
        self.calls_tool |= delta.get("tool_calls").is_some_and(|calls| !calls.is_null());
        let piece = words("content").unwrap_or_default();
        if delta.get("content").is_some_and(Value::is_string) {
            *self.content.get_or_insert_default() += piece;
        }
        Ok(piece.to_owned())
    }

    /// Whether the server said that the reply is complete.
    pub fn is_complete(&self) -> bool {
        self.reason.is_some()
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// The reply; `reason` replaces the server's, as when the caller has ended it.
    pub fn finish(self, reason: Option<StopReason>) -> Result<GeneratedText, Useless> {
        let stopped = reason.unwrap_or(self.reason.unwrap_or(StopReason::TurnEnd));
        if reason.is_some() {
            return generated(&Value::Object(self.named), self.content.unwrap_or_default(), stopped);
        }
        let tool_calls = if self.calls_tool { Value::Bool(true) } else { Value::Null };
        let message = serde_json::json!({
            "content": self.content, "reasoning_content": self.thoughts, "refusal": self.refusal,
            "tool_calls": tool_calls,
        });
        generated(&Value::Object(self.named), text_of(&message, stopped)?, stopped)
    }
}

/// The answer's text, in one piece or in parts; where there is none, why.
fn text_of(message: &Value, reason: StopReason) -> Result<String, Useless> {
    let words =
        |field: &str| message.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let refused = |words: &str| Useless::NoAnswer(format!("the model refused: {words:?}"));
    if let Some(refusal) = words("refusal") {
        return Err(refused(refusal));
    }
    let content = message.get("content").unwrap_or(&Value::Null);
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(parts) => {
            let field =
                |part: &Value, field: &str| part.get(field).and_then(Value::as_str).map(str::to_owned);
            if let Some(refusal) = parts.iter().find_map(|part| field(part, "refusal")) {
                return Err(refused(&refusal));
            }
            parts.iter().filter_map(|part| field(part, "text")).collect()
        }
        _ => return Err(Useless::Nonsense("`choices[0].message.content` is not a text".to_owned())),
    };
    let written = !text.trim().is_empty();
    if written || reason == StopReason::ContentFilter {
        return Ok(text);
    }
    let thoughts = words("reasoning_content").or_else(|| words("reasoning"));
    match (thoughts, reason) {
        (Some(thoughts), StopReason::Length) => Err(Useless::NoAnswer(format!(
            "only thoughts, cut off by the limit on the reply's length; allow more tokens: {}",
            ending(thoughts)
        ))),
        (Some(thoughts), _) => Err(Useless::NoAnswer(format!("only thoughts: {}", ending(thoughts)))),
        (None, StopReason::Length) => Err(Useless::NoAnswer(
            "an empty reply, cut off by the limit on its length; a model that thinks in secret needs more tokens"
                .to_owned(),
        )),
        (None, _) if message.get("tool_calls").is_some_and(|calls| !calls.is_null()) => {
            Err(Useless::NoAnswer("a call of a tool instead of a text".to_owned()))
        }
        // An empty text is an answer, if a poor one.
        (None, _) if content.is_string() => Ok(text),
        (None, _) => Err(Useless::Nonsense("`choices[0].message.content` is not a text".to_owned())),
    }
}

/// The end of a text, where the reason of a broken-off thought is.
fn ending(text: &str) -> String {
    const SHOWN: usize = 100;
    let skipped = text.chars().count().saturating_sub(SHOWN);
    let end: String = text.chars().skip(skipped).collect();
    format!("{}{end:?}", if skipped > 0 { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Role;

    fn body(config: &OpenAiConfig, options: &GenerateOptions) -> String {
        let manner = Manner::new(config.length_field);
        String::from_utf8(request(config, manner, &[Message::new(Role::User, "Hi")], options, false)).unwrap()
    }

    fn read(text: &str) -> Result<GeneratedText, String> {
        reply(text).map_err(|useless| match useless {
            Useless::Nonsense(problem) | Useless::NoAnswer(problem) => problem,
        })
    }

    #[test]
    fn a_reply_without_a_text_says_why_and_parts_are_joined() {
        let message = |message: &str, reason: &str| {
            read(&format!(r#"{{"choices": [{{"message": {message}, "finish_reason": "{reason}"}}]}}"#))
        };
        for (words, reason, expected) in [
            (r#"{"content": null, "refusal": "I cannot."}"#, "stop", "the model refused: \"I cannot.\""),
            (r#"{"content": [{"type": "refusal", "refusal": "No."}]}"#, "stop", "the model refused: \"No.\""),
            (
                r#"{"content": null, "reasoning_content": "Hm, let me see"}"#,
                "length",
                "only thoughts, cut off",
            ),
            (r#"{"content": "", "reasoning": "Hm"}"#, "stop", "only thoughts: \"Hm\""),
            (r#"{"content": ""}"#, "length", "an empty reply, cut off"),
            (r#"{"content": null, "tool_calls": [{}]}"#, "tool_calls", "a call of a tool"),
        ] {
            let found = message(words, reason).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
        let parts =
            r#"{"content": [{"type": "text", "text": "Grade: "}, {"type": "text", "text": "[[6]]"}]}"#;
        assert_eq!(message(parts, "stop").unwrap().text, "Grade: [[6]]");
        let stopped = message(r#"{"content": null}"#, "content_filter").unwrap();
        assert_eq!((stopped.text.as_str(), stopped.reason), ("", StopReason::ContentFilter));
    }

    #[test]
    fn further_fields_and_a_manner_change_the_body() {
        let mut config = OpenAiConfig::new("http://localhost/v1", "m");
        config.extra_body.insert("reasoning_effort".into(), "low".into());
        let options = GenerateOptions { temperature: 0.5, seed: 3, max_new_tokens: 7, ..Default::default() };
        let manner =
            Manner { length_field: LengthField::MaxCompletionTokens, temperature: false, seed: false };
        let body = request(&config, manner, &[Message::new(Role::User, "Hi")], &options, false);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":7,"reasoning_effort":"low"}"#
        );
    }

    #[test]
    fn only_what_differs_from_a_plain_request_is_sent() {
        let mut config = OpenAiConfig::new("http://localhost/v1", "m");
        let plain = GenerateOptions { max_new_tokens: 7, ..Default::default() };
        assert_eq!(
            body(&config, &plain),
            r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0.0,"max_tokens":7}"#
        );
        config.length_field = LengthField::MaxCompletionTokens;
        let drawn = GenerateOptions {
            temperature: 0.7,
            top_p: 0.9,
            seed: 3,
            stop: vec!["###".into()],
            stop_ids: vec![2],
            top_k: 40,
            ..plain
        };
        assert_eq!(
            body(&config, &drawn),
            r####"{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0.7,"max_completion_tokens":7,"top_p":0.9,"stop":["###"],"seed":3,"top_k":40,"stop_token_ids":[2]}"####
        );
    }

    #[test]
    fn a_reply_is_read_with_its_version_and_counts() {
        let text = r#"{"id": "x", "model": "gpt-4-0613", "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes"},
            "finish_reason": "length"}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}"#;
        assert_eq!(
            read(text).unwrap(),
            GeneratedText {
                text: "Yes".into(),
                prompt_tokens: Some(9),
                new_tokens: Some(1),
                reason: StopReason::Length,
                model_version: Some("gpt-4-0613 (fp_1)".into()),
                own_temperature: false,
            }
        );
        let bare = read(r#"{"choices": [{"message": {"content": ""}}]}"#).unwrap();
        assert_eq!((bare.prompt_tokens, bare.model_version, bare.reason), (None, None, StopReason::TurnEnd));
    }

    #[test]
    fn nonsense_is_told_apart() {
        for (text, problem) in [
            ("<html>", "not valid JSON: expected value at line 1 column 1"),
            (r#"{"choices": ["#, "not valid JSON: EOF"),
            ("[]", "no list `choices`"),
            (r#"{"choices": []}"#, "`choices` is empty"),
            (
                r#"{"choices": [{"message": {"content": null}}]}"#,
                "`choices[0].message.content` is not a text",
            ),
            (r#"{"error": {"message": "overloaded"}}"#, "it reports an error: {\"message\":\"overloaded\"}"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
    }
}
