//! Chats, in one piece and in many.

use serde_json::{Value, json};

use crate::running::{MODEL, Reply, Running, chat_body, streamed_text};

#[test]
fn an_answer_has_every_field_that_clients_read() {
    let server = Running::start();
    let reply = server.chat(json!({})).json();
    assert!(reply["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!((&reply["object"], &reply["model"]), (&json!("chat.completion"), &json!(MODEL)));
    let choice = &reply["choices"][0];
    assert_eq!((&choice["index"], &choice["message"]["role"]), (&json!(0), &json!("assistant")));
    assert!(choice["message"]["content"].is_string());
    let fields = choice["message"].as_object().unwrap();
    assert!(fields.contains_key("refusal") && !fields.contains_key("tool_calls"));
    assert!(choice.as_object().unwrap().contains_key("logprobs"));
    assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().unwrap()));
    let usage = &reply["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));
    assert!(count("completion_tokens") <= 12);
}

#[test]
fn a_stream_is_what_the_official_clients_parse() {
    let server = Running::start();
    let whole = server.chat(json!({}));
    let reply = server.chat(json!({"stream": true}));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    let first = &events[0]["choices"][0];
    assert_eq!((&first["delta"]["role"], &first["delta"]["content"]), (&json!("assistant"), &json!("")));
    let (last, inner) = events.split_last().unwrap();
    for event in inner {
        let choice = event["choices"][0].as_object().unwrap();
        assert!(choice["finish_reason"].is_null() && choice.contains_key("finish_reason"), "{event}");
        assert!(event.get("usage").is_none(), "usage was not asked for");
        assert_eq!(event["object"], "chat.completion.chunk");
        assert_eq!((&event["id"], &event["created"]), (&last["id"], &last["created"]));
    }
    assert!(
        inner[1..].iter().all(|event| event["choices"][0]["delta"].get("role").is_none()),
        "the role comes once"
    );
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["choices"][0]["finish_reason"], whole.json()["choices"][0]["finish_reason"]);
    assert_eq!(streamed_text(&events, 0), whole.said());
}

#[test]
fn usage_comes_in_a_chunk_of_its_own_when_it_is_asked_for() {
    let server = Running::start();
    let whole = server.chat(json!({})).json();
    let events = server.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).events();
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    for count in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(last["usage"][count], whole["usage"][count], "{count}");
    }
    assert!(before.iter().all(|event| event.as_object().unwrap()["usage"].is_null()));
    assert!(before.last().unwrap()["choices"][0]["finish_reason"].is_string());
    // Some clients send the options without a stream, or as null.
    assert_eq!(server.chat(json!({"stream_options": null, "stream": true})).status, 200);
}

#[test]
fn the_same_seed_gives_the_same_texts_and_each_choice_its_own() {
    let server = Running::start();
    let ask = |seed: u64, stream: bool| {
        server.chat(json!({"n": 4, "seed": seed, "temperature": 1.5, "max_tokens": 24, "stream": stream}))
    };
    let texts = |reply: Reply| -> Vec<String> {
        let choices = reply.json()["choices"].as_array().unwrap().clone();
        assert!(choices.iter().enumerate().all(|(at, choice)| choice["index"] == at));
        choices.iter().map(|c| c["message"]["content"].as_str().unwrap().to_owned()).collect()
    };
    let first = texts(ask(7, false));
    assert_eq!(first, texts(ask(7, false)));
    assert_ne!(first, texts(ask(8, false)));
    assert!(first.iter().any(|text| *text != first[0]), "choices differ");
    let streamed = ask(7, true).events();
    for (index, text) in first.iter().enumerate() {
        assert_eq!(streamed_text(&streamed, index), *text, "choice {index}");
        let ends = streamed.iter().flat_map(|event| event["choices"].as_array().unwrap());
        let ends = ends.filter(|choice| choice["index"] == index && choice["finish_reason"].is_string());
        assert_eq!(ends.count(), 1);
    }
    let alone = server.chat(json!({"seed": 7, "temperature": 1.5, "max_tokens": 24}));
    assert_eq!(alone.said(), first[0], "the first choice is what one choice alone is");
}

#[test]
fn requests_at_once_are_answered_as_one_by_one() {
    let server = Running::start();
    let ask = |word: usize| {
        let content = format!("Say {word}");
        server.chat(json!({"messages": [{"role": "user", "content": content}], "max_tokens": 20})).said()
    };
    let alone: Vec<String> = (0..6).map(ask).collect();
    let together: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6).map(|word| scope.spawn(move || ask(word))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn max_completion_tokens_and_max_tokens_both_hold() {
    let server = Running::start();
    let body = |more: Value| {
        let mut body = chat_body(more);
        if body["max_tokens"].is_null() {
            body.as_object_mut().unwrap().remove("max_tokens");
        }
        server.post("/v1/chat/completions", body).json()["usage"]["completion_tokens"].as_u64().unwrap()
    };
    assert!(body(json!({"max_tokens": 3})) <= 3);
    assert!(body(json!({"max_tokens": null, "max_completion_tokens": 4})) <= 4);
    assert!(body(json!({"max_tokens": 9, "max_completion_tokens": 4})) <= 4);
}

#[test]
fn content_comes_as_text_or_as_parts() {
    let server = Running::start();
    let said =
        |content: Value| server.chat(json!({"messages": [{"role": "user", "content": content}]})).said();
    assert_eq!(said(json!("Hello")), said(json!([{"type": "text", "text": "Hello"}])));
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}]);
    let error = server.chat(json!({"messages": [{"role": "user", "content": image}]})).error(400);
    assert_eq!(error["param"], "messages[0].content[0].type");
}

/// A greedy answer of which a part can serve as a stop string.
fn long_answer(server: &Running) -> String {
    let said = server.chat(json!({"max_tokens": 40})).said();
    assert!(said.chars().count() > 8, "{said:?}");
    said
}

#[test]
fn a_stop_string_ends_the_answer_and_no_piece_of_it_is_shown() {
    let server = Running::start();
    let said = long_answer(&server);
    let chars: Vec<char> = said.chars().collect();
    // More than one token long: it comes in pieces.
    let stop: String = chars[4..7].iter().collect();
    let until = &said[..said.find(&stop).unwrap()];
    for stop in [json!(stop), json!(["never in it", stop])] {
        let whole = server.chat(json!({"max_tokens": 40, "stop": stop}));
        assert_eq!(whole.said(), until);
        assert_eq!(whole.json()["choices"][0]["finish_reason"], "stop");
        let streamed = server.chat(json!({"max_tokens": 40, "stop": stop, "stream": true})).events();
        assert_eq!(streamed_text(&streamed, 0), until);
    }
}

#[test]
fn characters_are_never_cut_between_chunks() {
    let server = Running::start();
    for seed in 0..6 {
        let ask = |stream: bool| {
            server.chat(json!({"temperature": 2, "seed": seed, "max_tokens": 60, "stream": stream}))
        };
        let events = ask(true).events();
        // Random bytes make few whole characters; those that are none show as U+FFFD in both alike.
        assert_eq!(streamed_text(&events, 0), ask(false).said(), "seed {seed}");
    }
}

#[test]
fn a_bias_forbids_a_token_and_forces_another() {
    let server = Running::start();
    let id = server.post("/tokenize", json!({"content": "x"})).json()["tokens"][0].to_string();
    let forced = server.chat(json!({"logit_bias": {id: 100}, "max_tokens": 5}));
    assert_eq!(forced.said(), "xxxxx");
    let penalised =
        server.chat(json!({"logit_bias": {"0": 1}, "frequency_penalty": 2, "presence_penalty": 2}));
    assert_eq!(penalised.status, 200);
}

#[test]
fn log_probabilities_are_those_of_the_tokens_that_were_taken() {
    let server = Running::start();
    // Special tokens have probabilities and no text.
    let bias = json!({"256": -100, "257": -100});
    let whole = server.chat(json!({"logprobs": true, "top_logprobs": 3, "logit_bias": bias})).json();
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len() as u64, whole["usage"]["completion_tokens"].as_u64().unwrap());
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token["bytes"].as_array().unwrap())
        .map(|byte| byte.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(String::from_utf8_lossy(&bytes), whole["choices"][0]["message"]["content"].as_str().unwrap());
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        let own = top.iter().any(|top| top["token"] == token["token"] && top["logprob"] == token["logprob"]);
        assert!(own || top[0]["token"].as_str().unwrap().starts_with("<|im"), "greedy: {token}");
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
    }
    let events = server
        .chat(json!({"logprobs": true, "top_logprobs": 3, "logit_bias": bias, "stream": true}))
        .events();
    let streamed: Vec<Value> = events
        .iter()
        .filter_map(|event| event["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(streamed, *tokens);
    assert!(server.chat(json!({"top_logprobs": 3})).error(400)["param"] == "top_logprobs");
}

#[test]
fn tools_are_told_to_the_model_and_stand_beside_log_probabilities() {
    let server = Running::start();
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]);
    let plain = server.chat(json!({})).json()["usage"]["prompt_tokens"].as_u64().unwrap();
    let with = server.chat(json!({"tools": tools, "logprobs": true, "stream": true,
        "stream_options": {"include_usage": true}}));
    let usage = with.events().last().unwrap()["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(usage > plain + 40, "{usage}");
    let none = server.chat(json!({"tools": tools, "tool_choice": "none"}));
    assert_eq!(none.json()["usage"]["prompt_tokens"], plain);
    let back = json!([
        {"role": "user", "content": "2+3?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 2}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]);
    assert_eq!(server.chat(json!({"messages": back, "tools": tools})).status, 200);
}

#[test]
fn an_answer_is_json_of_the_schema_that_was_asked_for() {
    let server = Running::start();
    let schema = json!({"type": "object", "required": ["n", "ok"], "additionalProperties": false,
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "ok": {"type": "boolean"}},
        "x-guidance": {"whitespace_flexible": false}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    for stream in [false, true] {
        let body = json!({"response_format": format, "max_tokens": 60, "temperature": 1, "seed": 4, "stream": stream});
        let reply = server.chat(body);
        let said = if stream { streamed_text(&reply.events(), 0) } else { reply.said() };
        let value: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        assert!(value["n"].as_u64().unwrap() <= 9 && value["ok"].is_boolean());
    }
    let digits = server.chat(json!({"guided_regex": "[0-9]{3}", "max_tokens": 20})).said();
    assert!(digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
    let bad = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}});
    for stream in [false, true] {
        let error = server.chat(json!({"response_format": bad, "stream": stream})).error(400);
        assert_eq!(error["param"], "response_format", "before a stream begins");
    }
}

#[test]
fn a_forced_call_is_one_and_its_name_comes_first() {
    let server = Running::start();
    let parameters = json!({"type": "object", "required": ["on"], "additionalProperties": false,
        "properties": {"on": {"type": "boolean"}}});
    let tools = json!([{"type": "function", "function": {"name": "switch", "parameters": parameters}}]);
    let named = json!({"type": "function", "function": {"name": "switch"}});
    for choice in [named, json!("required")] {
        let ask = |stream: bool| {
            server.chat(json!({"tools": tools, "tool_choice": choice, "max_tokens": 120, "stream": stream}))
        };
        let whole = ask(false).json();
        let message = &whole["choices"][0]["message"];
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls", "{whole}");
        assert!(message["content"].is_null());
        let function = &message["tool_calls"][0]["function"];
        assert_eq!(function["name"], "switch");
        let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["on"].is_boolean());

        let events = ask(true).events();
        let deltas =
            events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0].as_object());
        let deltas: Vec<_> = deltas.collect();
        assert_eq!(deltas[0]["function"]["name"], "switch");
        assert!(deltas[0]["id"].as_str().unwrap().starts_with("call_") && deltas[0]["type"] == "function");
        assert!(deltas[1..].iter().all(|delta| delta.get("id").is_none() && delta["index"] == 0));
        let pieces = deltas.iter().map(|delta| delta["function"]["arguments"].as_str().unwrap());
        assert_eq!(pieces.collect::<String>(), function["arguments"].as_str().unwrap());
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[test]
fn a_client_that_leaves_ends_its_sequences() {
    let server = Running::start();
    for stream in [true, false] {
        let left = server.metric("camelid_clients_left_total");
        let mut body =
            chat_body(json!({"max_tokens": 480, "stream": stream, "logit_bias": {"257": -100}, "n": 8}));
        body["messages"] = json!([{"role": "user", "content": "On and on"}]);
        let connection = server.open("POST", "/v1/chat/completions", &[], &body.to_string());
        server.wait_for("the sequences", || server.metric("camelid_sequences_running") == 8.0);
        drop(connection);
        server.wait_for("their end", || server.metric("camelid_sequences_running") == 0.0);
        server.wait_for("the count", || server.metric("camelid_clients_left_total") == left + 1.0);
        let lines = server.log();
        let line = lines.iter().rfind(|line| line["path"] == "/v1/chat/completions").unwrap();
        assert_eq!(line["client_left"], true, "{line}");
        assert!(line.get("finish_reasons").is_none(), "none of them ran to its end: {line}");
    }
}
