//! What is refused, and how.

use camelid_serve::{Log, Settings};
use serde_json::json;

use crate::running::{CONTEXT, Running, small_model};

#[test]
fn bad_fields_are_named_with_what_was_expected() {
    let server = Running::start();
    for (fields, param) in [
        (json!({"temperature": 3}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 1.1}), "top_p"),
        (json!({"n": 0}), "n"),
        (json!({"n": 100_000}), "n"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "wizard", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"stop": [""]}), "stop"),
        (json!({"logit_bias": {"999999": 1}}), "logit_bias"),
        (json!({"response_format": {"type": "yaml"}}), "response_format.type"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"presence_penalty": 9}), "presence_penalty"),
    ] {
        let error = server.chat(fields.clone()).error(400);
        assert_eq!(error["param"], param, "{fields}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{param}`")) && message.contains("expected"), "{message}");
    }
}

#[test]
fn a_body_that_is_no_request_is_an_error_in_the_same_shape() {
    let server = Running::start();
    for body in ["", "{", "[]", "null", "\u{0}", "{\"messages\": {}}"] {
        server.send("POST", "/v1/chat/completions", &[], body).error(400);
        server.send("POST", "/v1/completions", &[], body).error(400);
    }
    assert_eq!(server.get("/v1/chat/completions").error(404)["code"], "unknown_url");
    assert_eq!(server.get("/v2/models").error(404)["code"], "unknown_url");
}

#[test]
fn an_unknown_model_is_not_found_unless_any_name_will_do() {
    let server = Running::start();
    let error = server.chat(json!({"model": "gpt-4o"})).error(404);
    assert_eq!(error["code"], "model_not_found");
    assert!(error["message"].as_str().unwrap().contains("tiny"));
    assert_eq!(server.chat(json!({"model": ""})).json()["model"], "tiny", "no name means the model there is");
    let lenient = Running::with(Settings { any_model: true, ..Settings::default() });
    assert_eq!(lenient.chat(json!({"model": "gpt-4o"})).json()["model"], "tiny");
}

#[test]
fn a_prompt_that_is_too_long_is_refused_and_never_cut() {
    let server = Running::start();
    let long = "x".repeat(CONTEXT);
    let error = server.chat(json!({"messages": [{"role": "user", "content": long}]})).error(400);
    assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!("messages")));
    assert!(error["message"].as_str().unwrap().contains("512"), "{error}");
    let error = server.post("/v1/completions", json!({"model": "tiny", "prompt": long})).error(400);
    assert_eq!(error["param"], "prompt");
    // An answer that is asked to be longer than there is room for ends where the room does.
    let near = json!({"model": "tiny", "prompt": "x".repeat(CONTEXT - 3), "max_tokens": 100, "temperature": 0,
        "logit_bias": {"257": -100}});
    let reply = server.post("/v1/completions", near).json();
    assert_eq!(
        (&reply["usage"]["completion_tokens"], &reply["choices"][0]["finish_reason"]),
        (&json!(3), &json!("length"))
    );
}

#[test]
fn an_unknown_field_is_ignored_and_named_once() {
    let server = Running::start();
    for _ in 0..3 {
        assert_eq!(server.chat(json!({"frobnicate": 1, "user": "u"})).status, 200);
    }
    let named =
        || server.log().into_iter().filter(|line| line["event"] == "unknown_field").collect::<Vec<_>>();
    server.wait_for("the line", || !named().is_empty());
    assert_eq!(named().len(), 1);
    assert_eq!(named()[0]["field"], "frobnicate");
}

#[test]
fn a_tokens_id_outside_the_vocabulary_is_an_error() {
    let server = Running::start();
    let error = server.post("/v1/completions", json!({"model": "tiny", "prompt": [1, 258]})).error(400);
    assert!(error["message"].as_str().unwrap().contains("258"), "{error}");
    let error = server.post("/v1/completions", json!({"model": "tiny", "prompt": ""})).error(400);
    assert_eq!(error["param"], "prompt");
}

#[test]
fn the_longest_answer_can_be_limited() {
    let server = Running::load(Settings { max_tokens: Some(5), ..Settings::default() }, Log::to, || {
        small_model(CONTEXT)
    });
    let reply = server.chat(json!({"max_tokens": 300, "logit_bias": {"257": -100}})).json();
    assert_eq!(reply["usage"]["completion_tokens"], 5);
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
}
