//! What a server says of itself.

use camelid_serve::{Cors, Log, Settings};
use serde_json::{Value, json};

use crate::running::{CONTEXT, MODEL, Running, small_model};

#[test]
fn models_are_listed_at_every_address_that_clients_try() {
    let server = Running::start();
    for path in ["/v1/models", "/v1/models/", "/models", "/models/"] {
        let list = server.get(path).json();
        assert_eq!(list["object"], "list", "{path}");
        let model = &list["data"][0];
        assert_eq!((&model["id"], &model["object"]), (&json!(MODEL), &json!("model")));
        assert!(model["created"].as_u64().unwrap() > 1_600_000_000 && model["owned_by"].is_string());
        assert_eq!(model["max_model_len"], CONTEXT);
    }
    assert_eq!(server.get("/v1/models/tiny").json()["id"], MODEL);
    let error = server.get("/v1/models/gpt-4o").error(404);
    assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("tiny"), "{error}");
}

#[test]
fn health_is_bad_until_the_model_is_there_and_requests_are_told_to_wait() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let server = Running::begin(Settings::default(), Log::to, move || {
        wait.recv().unwrap();
        small_model(CONTEXT)
    });
    assert_eq!(server.get("/health").status, 503);
    assert_eq!(server.get("/ready").status, 503);
    assert_eq!(server.get("/v1/models").error(503)["type"], "server_error");
    let reply = server.chat(json!({}));
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    go.send(()).unwrap();
    server.wait_for("the model", || server.get("/health").status == 200);
    assert_eq!(server.get("/ready").json()["status"], "ready");
    assert_eq!(server.chat(json!({})).status, 200);
}

#[test]
fn texts_become_tokens_and_tokens_texts() {
    let server = Running::start();
    let count = |body: Value| server.post("/tokenize", body).json();
    let tokens = count(json!({"content": "é <|im_end|>"}));
    assert_eq!((tokens["count"].as_u64(), tokens["max_model_len"].as_u64()), (Some(4), Some(CONTEXT as u64)));
    assert_eq!(tokens["tokens"][3], 257);
    let text = server.post("/detokenize", json!({"tokens": tokens["tokens"]})).json();
    assert_eq!(text["content"], "é <|im_end|>");
    assert_eq!(text["prompt"], text["content"]);
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let chat = count(json!({"messages": messages}));
    let usage = server.chat(json!({"messages": messages})).json()["usage"]["prompt_tokens"].clone();
    assert_eq!(chat["count"], usage, "a chat's prompt is what the model reads");
    assert!(
        server.post("/tokenize", json!({})).error(400)["message"].as_str().unwrap().contains("`content`")
    );
    assert!(server.post("/detokenize", json!({"tokens": [258]})).error(400)["param"] == "tokens");
    let around = json!({"bos_token": "!", "eos_token": "<|im_end|>"});
    assert_eq!(server.get("/tokenizer_info").json(), around);
}

#[test]
fn browsers_of_other_origins_may_ask_unless_told_otherwise() {
    let preflight = |server: &Running, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let reply = server.send("OPTIONS", "/v1/chat/completions", &headers, "");
        (reply.status, reply.header("access-control-allow-origin").map(str::to_owned), reply)
    };
    let any = Running::start();
    let (status, origin, reply) = preflight(&any, "https://chat.example.org");
    assert_eq!((status, origin.as_deref()), (200, Some("*")));
    assert!(reply.header("access-control-allow-headers").is_some());
    let cors = Cors::Origins(vec!["https://chat.example.org".into()]);
    let some = Running::with(Settings { cors, ..Settings::default() });
    assert_eq!(preflight(&some, "https://chat.example.org").1.as_deref(), Some("https://chat.example.org"));
    assert_eq!(preflight(&some, "https://evil.example.org").1, None);
    let none = Running::with(Settings { cors: Cors::None, ..Settings::default() });
    assert_eq!(preflight(&none, "https://chat.example.org").1, None);
}

#[test]
fn counters_are_prometheus_text() {
    let server = Running::start();
    server.chat(json!({}));
    let reply = server.get("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let of = "camelid_requests_total{path=\"/v1/chat/completions\",status=\"200\"}";
    server.wait_for("the counter", || server.get("/metrics").text.contains(&format!("{of} 1")));
    assert_eq!(server.metric("camelid_ready"), 1.0);
    assert!(server.metric("camelid_prompt_tokens_total") > 0.0);
    assert!(server.metric("camelid_first_token_seconds_count") >= 1.0);
}

#[test]
fn a_request_is_one_line_of_the_log_without_what_was_said() {
    let server = Running::start();
    server.chat(json!({"messages": [{"role": "user", "content": "a secret"}], "stream": true}));
    server.get("/nowhere");
    let lines = || server.log().into_iter().filter(|line| line["event"] == "request").collect::<Vec<_>>();
    let of = |path: &str| lines().into_iter().find(|line| line["path"] == path);
    let both = || of("/v1/chat/completions").zip(of("/nowhere"));
    server.wait_for("the lines", || both().is_some());
    let (line, missing) = both().unwrap();
    assert_eq!((line["status"].as_u64(), line["method"].as_str()), (Some(200), Some("POST")));
    assert_eq!((line["model"].as_str(), line["stream"].as_bool()), (Some(MODEL), Some(true)));
    for field in ["ms", "queue_ms", "first_text_ms", "prompt_tokens", "new_tokens", "time"] {
        assert!(line[field].is_number(), "{field}: {line}");
    }
    assert!(line["finish_reasons"].is_array() && line["client"] == "127.0.0.1");
    assert!(!line.to_string().contains("secret"));
    assert_eq!(missing["status"], 404);
    assert!(missing["error"].as_str().unwrap().contains("/docs"));
}

#[test]
fn the_log_holds_what_was_said_where_that_is_asked_for() {
    let log = |written, _| Log::to(written, true);
    let server = Running::load(Settings::default(), log, || small_model(CONTEXT));
    server.chat(json!({"messages": [{"role": "user", "content": "no secret"}]}));
    let has = || server.log().iter().any(|line| line["messages"][0]["content"] == "no secret");
    server.wait_for("the line", has);
}

#[test]
fn texts_become_vectors_of_length_one() {
    let server = Running::start();
    let ask = |body: Value| server.post("/v1/embeddings", body);
    let vector = |reply: &Value, at: usize| -> Vec<f64> {
        serde_json::from_value(reply["data"][at]["embedding"].clone()).unwrap()
    };
    let both = ask(json!({"model": "tiny", "input": ["one", "two"]})).json();
    assert_eq!((both["object"].as_str(), both["data"][1]["index"].as_u64()), (Some("list"), Some(1)));
    let (one, two) = (vector(&both, 0), vector(&both, 1));
    for vector in [&one, &two] {
        assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-5);
    }
    assert_ne!(one, two);
    assert_eq!(both["usage"], json!({"prompt_tokens": 6, "total_tokens": 6}));
    let ids = server.post("/tokenize", json!({"prompt": "one"})).json()["tokens"].clone();
    assert_eq!(vector(&ask(json!({"input": ids})).json(), 0), one);
    // The official clients ask for base64: four bytes a value, four letters for three bytes.
    let text = ask(json!({"input": "one", "encoding_format": "base64"})).json();
    let text = text["data"][0]["embedding"].as_str().unwrap().to_owned();
    assert_eq!(text.len(), (one.len() * 4).div_ceil(3) * 4);
    assert_eq!(ask(json!({"input": ""})).error(400)["param"], "input");
    assert_eq!(ask(json!({"input": "x".repeat(CONTEXT + 1)})).error(400)["code"], "context_length_exceeded");
    assert_eq!(ask(json!({"input": "x", "dimensions": 7})).error(400)["param"], "dimensions");
}
