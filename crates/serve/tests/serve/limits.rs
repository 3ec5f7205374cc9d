//! Keys, limits, queues, slow and broken clients.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use camelid_serve::{ApiKeys, Log, RateLimits, Settings};
use serde_json::json;

use crate::running::{CONTEXT, Reply, Running, chat_body, read_chunk, small_model};

fn keys() -> ApiKeys {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let lines: Vec<String> = [("alice", "secret-a"), ("bob", "secret-b")]
        .iter()
        .map(|(name, key)| format!("{name} {}", camelid_files::digest::of_bytes(key)))
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    ApiKeys::open(&path).unwrap()
}

/// A long answer that no end token cuts short.
fn long(n: usize) -> String {
    chat_body(json!({"max_tokens": 480, "stream": true, "n": n, "logit_bias": {"257": -100}})).to_string()
}

#[test]
fn a_key_is_asked_for_everywhere_but_where_health_is_asked() {
    let server = Running::with(Settings { keys: Some(keys()), ..Settings::default() });
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.get("/ready").status, 200);
    for path in ["/v1/models", "/metrics"] {
        let error = server.get(path).error(401);
        assert_eq!(error["code"], "invalid_api_key");
    }
    assert_eq!(server.chat(json!({})).error(401)["type"], "invalid_request_error");
    let wrong = server.send("GET", "/v1/models", &[("authorization", "Bearer secret")], "");
    assert_eq!(wrong.error(401)["code"], "invalid_api_key");
    let right = server.send("GET", "/v1/models", &[("authorization", "Bearer secret-a")], "");
    assert_eq!(right.status, 200);
    server.wait_for("the line", || server.log().iter().any(|line| line["client"] == "alice"));
    assert!(!server.log().iter().any(|line| line.to_string().contains("secret")));
}

#[test]
fn each_key_has_its_own_allowance() {
    let rates = RateLimits { requests: Some(2), ..RateLimits::default() };
    let server = Running::with(Settings { keys: Some(keys()), rates, ..Settings::default() });
    let ask = |key: &str| {
        let key = format!("Bearer {key}");
        server.send(
            "POST",
            "/v1/chat/completions",
            &[("authorization", &key)],
            &chat_body(json!({})).to_string(),
        )
    };
    assert_eq!((ask("secret-a").status, ask("secret-a").status), (200, 200));
    let third = ask("secret-a");
    assert_eq!(third.error(429)["code"], "rate_limit_exceeded");
    let seconds: u64 = third.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(ask("secret-b").status, 200);
}

#[test]
fn a_full_queue_turns_requests_away_and_lets_them_in_again() {
    let server = Running::with(Settings { parallel: 1, most_waiting: 1, ..Settings::default() });
    let running = server.open("POST", "/v1/chat/completions", &[], &long(1));
    server.wait_for("the first", || server.metric("camelid_sequences_running") == 1.0);
    let waiting = server.open("POST", "/v1/chat/completions", &[], &long(1));
    server.wait_for("the second", || server.metric("camelid_requests_waiting") == 1.0);
    let third = server.chat(json!({}));
    assert_eq!(third.error(503)["code"], "overloaded");
    assert!(third.header("retry-after").is_some());
    assert_eq!(server.get("/ready").status, 503);
    drop(waiting);
    server.wait_for("its leaving", || server.metric("camelid_requests_waiting") == 0.0);
    drop(running);
    assert_eq!(server.chat(json!({})).status, 200);
}

#[test]
fn a_stream_that_waits_says_that_it_lives() {
    let settings = Settings { parallel: 1, keep_alive: Duration::from_millis(20), ..Settings::default() };
    let server = Running::with(settings);
    let fastchat = json!({"model": "tiny", "prompt": "Once", "temperature": 0, "max_new_tokens": 4});
    let open = "{\"text\":\"\",\"error_code\":0,";
    for (path, body, life, end) in [
        ("/v1/chat/completions", chat_body(json!({"stream": true})), ": still there\n\n", "[DONE]"),
        ("/worker_generate_stream", fastchat, open, "\"finish_reason\":\"length\""),
    ] {
        let running = server.open("POST", "/v1/chat/completions", &[], &long(1));
        server.wait_for("the first", || server.metric("camelid_sequences_running") == 1.0);
        let mut reader = BufReader::new(server.open("POST", path, &[], &body.to_string()));
        let mut seen = String::new();
        while !seen.contains(life) {
            let mut byte = [0];
            assert_eq!(reader.read(&mut byte).unwrap(), 1, "{seen}");
            seen.push(char::from(byte[0]));
        }
        drop(running);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains(end), "{rest}");
    }
}

#[test]
fn a_client_that_does_not_read_holds_nobody() {
    let server = Running::with(Settings { parallel: 2, ..Settings::default() });
    // Eight answers' streams, of which nobody reads a byte, are too much for the buffers between.
    let slow: Vec<TcpStream> =
        (0..8).map(|_| server.open("POST", "/v1/chat/completions", &[], &long(8))).collect();
    assert_eq!(server.chat(json!({})).status, 200);
    server.wait_for("their end", || {
        server.metric("camelid_sequences_running") == 0.0 && server.metric("camelid_requests_waiting") == 0.0
    });
    // They get all of it when they read at last.
    for connection in slow {
        let events = Reply::read(connection).events();
        let ends = events.iter().filter(|event| event["choices"][0]["finish_reason"] == "length");
        assert_eq!(ends.count(), 8);
    }
}

#[test]
fn bodies_that_are_too_long_or_too_slow_are_refused() {
    let read_timeout = Duration::from_millis(300);
    let settings = Settings { max_body: 2000, read_timeout, ..Settings::default() };
    let server = Running::with(settings);
    let content = "x".repeat(3000);
    let error = server.chat(json!({"messages": [{"role": "user", "content": content}]})).error(413);
    assert!(error["message"].as_str().unwrap().contains("2000"), "{error}");
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{\"mess")
        .unwrap();
    let reply = Reply::read(half);
    assert_eq!(reply.status, 408);
    // Half a head: the connection is closed, with a word or without.
    let mut head = TcpStream::connect(server.address).unwrap();
    head.write_all(b"POST /v1/chat/comp").unwrap();
    let mut rest = Vec::new();
    head.read_to_end(&mut rest).unwrap();
    // One that breaks off in the middle of its body.
    let mut broken = TcpStream::connect(server.address).unwrap();
    broken.write_all(b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{").unwrap();
    drop(broken);
    assert_eq!(server.chat(json!({})).status, 200);
}

#[test]
fn an_answer_that_takes_too_long_ends_with_an_error() {
    let settings = Settings { timeout: Duration::from_millis(150), parallel: 1, ..Settings::default() };
    let server = Running::load(settings, Log::to, || small_model(20_000));
    let body = chat_body(json!({"max_tokens": 19_000, "logit_bias": {"257": -100}}));
    let error = server.post("/v1/chat/completions", body.clone()).error(504);
    assert_eq!(error["code"], "timeout");
    let mut streamed = body;
    streamed["stream"] = json!(true);
    let events = server.post("/v1/chat/completions", streamed).events();
    assert_eq!(events.last().unwrap()["error"]["code"], "timeout");
    server.wait_for("their end", || server.metric("camelid_sequences_running") == 0.0);
}

#[test]
fn a_server_that_is_told_to_end_finishes_what_runs_and_hands_back_what_waits() {
    let mut server = Running::with(Settings { parallel: 1, ..Settings::default() });
    let running = server.open("POST", "/v1/chat/completions", &[], &long(1));
    let mut reader = BufReader::new(running.try_clone().unwrap());
    server.wait_for("the first", || server.metric("camelid_sequences_running") == 1.0);
    let waiting = server.open("POST", "/v1/chat/completions", &[], &chat_body(json!({})).to_string());
    server.wait_for("the second", || server.metric("camelid_requests_waiting") == 1.0);
    server.ask_to_stop();
    assert_eq!(Reply::read(waiting).error(503)["type"], "server_error");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    }
    let mut text = Vec::new();
    while let Some(mut chunk) = read_chunk(&mut reader) {
        text.append(&mut chunk);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\"finish_reason\":\"length\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
    server.wait_for_end();
    assert!(TcpStream::connect(server.address).is_err());
    let _ = CONTEXT;
}
