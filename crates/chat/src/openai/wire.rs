//! Requests and replies as JSON, as in OpenAI's API reference ("Create chat completion").

use serde::Serialize;
use serde_json::Value;

use super::config::{LengthField, OpenAiConfig};
use crate::conversation::Message;
use crate::generate::{GenerateOptions, GeneratedText, StopReason};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    temperature: f32,
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
}

/// A request's body. What leaves a filter switched off is not sent, for servers that do not know
/// the filter refuse its name; nor is the seed where nothing is drawn.
pub(super) fn request(config: &OpenAiConfig, messages: &[Message], options: &GenerateOptions) -> Vec<u8> {
    let length = |field| (config.length_field == field).then_some(options.max_new_tokens);
    let request = Request {
        model: &config.model,
        messages,
        temperature: options.temperature,
        max_tokens: length(LengthField::MaxTokens),
        max_completion_tokens: length(LengthField::MaxCompletionTokens),
        top_p: (options.top_p != 1.0).then_some(options.top_p),
        stop: &options.stop,
        seed: (options.temperature > 0.0).then_some(options.seed),
        top_k: (options.top_k != 0).then_some(options.top_k),
        min_p: (options.min_p != 0.0).then_some(options.min_p),
        repetition_penalty: (options.repetition_penalty != 1.0).then_some(options.repetition_penalty),
        stop_token_ids: &options.stop_ids,
    };
    serde_json::to_vec(&request).expect("a request is plain data")
}

/// Reads a whole reply; the error says what is wrong and what was expected.
pub(super) fn reply(body: &str) -> Result<GeneratedText, String> {
    let reply: Value = serde_json::from_str(body).map_err(|error| format!("not valid JSON: {error}"))?;
    if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
        return Err(format!("it reports an error: {error}"));
    }
    let Some(choices) = reply.get("choices").and_then(Value::as_array) else {
        return Err("no list `choices`".to_owned());
    };
    let choice = choices.first().ok_or("`choices` is empty; expected one reply")?;
    let Some(text) = choice.pointer("/message/content").and_then(Value::as_str) else {
        return Err("`choices[0].message.content` is not a text".to_owned());
    };
    let reason = match choice.get("finish_reason").and_then(Value::as_str) {
        Some("length") => StopReason::Length,
        Some("content_filter") => StopReason::ContentFilter,
        _ => StopReason::TurnEnd,
    };
    let tokens = |field| reply.get("usage")?.get(field)?.as_u64()?.try_into().ok();
    let name = |field| reply.get(field).and_then(Value::as_str);
    Ok(GeneratedText {
        text: text.to_owned(),
        prompt_tokens: tokens("prompt_tokens"),
        new_tokens: tokens("completion_tokens"),
        reason,
        model_version: match (name("model"), name("system_fingerprint")) {
            (Some(model), Some(fingerprint)) => Some(format!("{model} ({fingerprint})")),
            (model, fingerprint) => model.or(fingerprint).map(str::to_owned),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Role;

    fn body(config: &OpenAiConfig, options: &GenerateOptions) -> String {
        String::from_utf8(request(config, &[Message::new(Role::User, "Hi")], options)).unwrap()
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
            reply(text).unwrap(),
            GeneratedText {
                text: "Yes".into(),
                prompt_tokens: Some(9),
                new_tokens: Some(1),
                reason: StopReason::Length,
                model_version: Some("gpt-4-0613 (fp_1)".into()),
            }
        );
        let bare = reply(r#"{"choices": [{"message": {"content": ""}}]}"#).unwrap();
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
            let found = reply(text).unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
    }
}
