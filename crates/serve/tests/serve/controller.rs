//! A controller over workers, some of which fail.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camelid_serve::{ApiKeys, ControllerLink, Log, Settings, WorkerTimeouts};
use serde_json::{Value, json};

use crate::running::{CONTEXT, Reply, Running, chat_body, small_model, streamed_text};

fn controller() -> Running {
    Running::controller(Settings::default(), WorkerTimeouts::default())
}

fn worker(controller: &Running) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let link = ControllerLink {
        controller: format!("http://{}", controller.address),
        worker: format!("http://127.0.0.1:{port}"),
        heart_beat: Duration::from_millis(50),
    };
    let settings = Settings { controller: Some(link), ..Settings::default() };
    let worker = Running::at(port, settings, Log::to, || small_model(CONTEXT));
    worker.wait_for("the registration", || worker.log().iter().any(|line| line["event"] == "registered"));
    worker
}

/// A worker that says `answer` to each request for generation and then closes the connection; it counts
/// them.
fn broken_worker(controller: &Running, answer: String) -> Arc<AtomicUsize> {
    made_up_worker(controller, answer, drop)
}

/// A worker that says `answer` to each request and then nothing, but stays.
fn silent_worker(controller: &Running, answer: String) -> Arc<AtomicUsize> {
    let open = Mutex::new(Vec::new());
    made_up_worker(controller, answer, move |connection| open.lock().unwrap().push(connection))
}

fn made_up_worker(
    controller: &Running,
    answer: String,
    then: impl Fn(TcpStream) + Send + 'static,
) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while !seen.ends_with(b"}") {
                match connection.read(&mut buffer) {
                    Ok(length) if length > 0 => seen.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
            let _ = connection.write_all(answer.as_bytes());
            then(connection);
        }
    });
    register(
        controller,
        address,
        json!({"model_names": ["tiny"], "speed": 1000, "queue_length": 0, "openai_api": true}),
    );
    asked
}

fn register(controller: &Running, address: SocketAddr, status: Value) {
    let body = json!({"worker_name": format!("http://{address}"), "check_heart_beat": false, "worker_status": status});
    let reply = controller.post("/register_worker", body);
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// The head of a stream, and one event with this delta.
fn one_event(delta: &str) -> String {
    stream_of(
        "text/event-stream",
        &format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"),
    )
}

/// The head of a stream, and one piece of it.
fn stream_of(content_type: &str, piece: &str) -> String {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    format!("{head}{:x}\r\n{piece}\r\n", piece.len())
}

#[test]
fn a_controller_answers_as_its_workers_do() {
    let controller = controller();
    assert_eq!(controller.get("/health").status, 503);
    assert_eq!(controller.chat(json!({})).error(503)["type"], "server_error");
    let worker = worker(&controller);
    assert_eq!(controller.get("/health").status, 200);
    assert_eq!(controller.get("/v1/models").json()["data"][0]["id"], "tiny");
    assert_eq!(controller.chat(json!({})).said(), worker.chat(json!({})).said());
    let streamed =
        controller.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).events();
    assert_eq!(streamed_text(&streamed, 0), worker.chat(json!({})).said());
    assert!(streamed.last().unwrap()["usage"]["total_tokens"].is_number());
    assert_eq!(controller.chat(json!({"model": "gpt-4o"})).error(404)["code"], "model_not_found");
    assert_eq!(controller.chat(json!({"temperature": 9})).error(400)["param"], "temperature");
    let completion = json!({"model": "", "prompt": "Once", "max_tokens": 3});
    assert_eq!(controller.post("/v1/completions", completion).json()["object"], "text_completion");
}

#[test]
fn a_request_whose_worker_dies_before_the_first_token_goes_to_another() {
    // Nothing, the role alone, half an answer in one piece.
    let role = one_event("{\"role\":\"assistant\",\"content\":\"\"}");
    let half =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"choices\":";
    for answer in [String::new(), role, half.to_owned()] {
        for stream in [true, false] {
            let controller = controller();
            let good = worker(&controller);
            let asked = broken_worker(&controller, answer.clone());
            let reply = controller.chat(json!({"stream": stream}));
            let said = if stream { streamed_text(&reply.events(), 0) } else { reply.said() };
            assert_eq!(said, good.chat(json!({})).said(), "{answer:?}");
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            // It is not asked again.
            controller.chat(json!({}));
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            assert!(controller.log().iter().any(|line| line["event"] == "worker_forgotten"));
        }
    }
}

#[test]
fn what_breaks_after_the_first_token_ends_with_an_error() {
    let controller = controller();
    let _good = worker(&controller);
    let asked = broken_worker(&controller, one_event("{\"content\":\"Hm\"}"));
    let events = controller.chat(json!({"stream": true})).events();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(streamed_text(&events[..1], 0), "Hm");
    assert_eq!(events.last().unwrap()["error"]["type"], "server_error");
}

#[test]
fn a_worker_that_declines_is_passed_over_and_stays() {
    let error = json!({"error": {"message": "the server is about to end", "type": "server_error"}});
    let event = format!("{}0\r\n\r\n", stream_of("text/event-stream", &format!("data: {error}\n\n")));
    let status = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n\r\n{error}",
        error.to_string().len()
    );
    for (answer, stream) in [(&event, true), (&status, true), (&status, false)] {
        let controller = controller();
        let good = worker(&controller);
        let asked = broken_worker(&controller, answer.clone());
        for times in 1..=2 {
            let reply = controller.chat(json!({"stream": stream}));
            let said = if stream { streamed_text(&reply.events(), 0) } else { reply.said() };
            assert_eq!(said, good.chat(json!({})).said(), "{answer:?}");
            assert_eq!(asked.load(Ordering::SeqCst), times, "it is asked again");
        }
        assert!(!controller.log().iter().any(|line| line["event"] == "worker_forgotten"));
    }
    let controller = controller();
    let busy = format!(
        "{}0\r\n\r\n",
        stream_of("application/octet-stream", "{\"text\":\"full\",\"error_code\":42903}\0")
    );
    broken_worker(&controller, busy);
    let params = json!({"model": "tiny", "prompt": "Once"});
    let told = frames(&controller.post("/worker_generate_stream", params)).pop().unwrap();
    assert!(told["text"].as_str().unwrap().contains("declines: full"), "{told}");
    assert_eq!(controller.send("POST", "/list_models", &[], "").json(), json!({"models": ["tiny"]}));
}

#[test]
fn a_worker_that_falls_silent_is_given_up() {
    let timeouts = WorkerTimeouts { stream: Duration::from_millis(200), ..WorkerTimeouts::default() };
    let role = one_event("{\"role\":\"assistant\",\"content\":\"\"}");
    for answer in [String::new(), role] {
        let controller = Running::controller(Settings::default(), timeouts);
        let asked = silent_worker(&controller, answer.clone());
        let error = controller.chat(json!({"stream": true}));
        assert!(error.text.contains("says nothing for 0.2 seconds"), "{answer:?}: {}", error.text);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(controller.get("/health").status, 503, "it is forgotten until it registers again");
    }
    // What has begun ends with an error, in either protocol. A slow machine may be silent before it begins.
    let controller = Running::controller(Settings::default(), timeouts);
    let begun = |answer: &str, ask: &dyn Fn() -> Vec<Value>| {
        let ask = |_| {
            silent_worker(&controller, answer.to_owned());
            Some(ask()).filter(|told| told.len() > 1)
        };
        (0..20).find_map(ask).expect("it begins")
    };
    let events = begun(&one_event("{\"content\":\"Hm\"}"), &|| {
        let reply = controller.chat(json!({"stream": true}));
        if reply.status == 200 { reply.events() } else { Vec::new() }
    });
    assert_eq!(streamed_text(&events[..1], 0), "Hm");
    assert_eq!(events[1]["error"]["type"], "server_error");
    let answer = stream_of("application/octet-stream", "{\"text\":\"Hm\",\"error_code\":0}\0");
    let ask = json!({"model": "tiny", "prompt": "Once"});
    let told = begun(&answer, &|| frames(&controller.post("/worker_generate_stream", ask.clone())));
    assert_eq!((&told[0]["text"], &told[1]["error_code"]), (&json!("Hm"), &json!(50005)));
}

#[test]
fn a_client_that_leaves_ends_its_sequence_at_the_worker() {
    let controller = controller();
    let worker = worker(&controller);
    let body = chat_body(json!({"max_tokens": 480, "stream": true, "logit_bias": {"257": -100}, "n": 8}));
    let connection = controller.open("POST", "/v1/chat/completions", &[], &body.to_string());
    worker.wait_for("the sequences", || worker.metric("camelid_sequences_running") == 8.0);
    drop(connection);
    worker.wait_for("their end", || worker.metric("camelid_sequences_running") == 0.0);
    worker.wait_for("the count", || worker.metric("camelid_clients_left_total") == 1.0);
}

#[test]
fn fastchats_calls_are_answered_as_its_controller_does() {
    let controller = controller();
    let worker = worker(&controller);
    let post = |path: &str, body: Value| controller.post(path, body).json();
    // FastChat sends no body where it has nothing to say.
    assert_eq!(controller.send("POST", "/list_models", &[], "").json(), json!({"models": ["tiny"]}));
    assert_eq!(controller.send("POST", "/refresh_all_workers", &[], "").status, 200);
    assert_eq!(post("/list_language_models", json!({})), json!({"models": ["tiny"]}));
    assert_eq!(post("/list_multimodal_models", json!({})), json!({"models": []}));
    let address = format!("http://{}", worker.address);
    assert_eq!(post("/get_worker_address", json!({"model": "tiny"})), json!({"address": address}));
    assert_eq!(post("/get_worker_address", json!({"model": "none"})), json!({"address": ""}));
    assert_eq!(
        post("/receive_heart_beat", json!({"worker_name": address, "queue_length": 2})),
        json!({"exist": true})
    );
    assert_eq!(
        post("/receive_heart_beat", json!({"worker_name": "http://x:1", "queue_length": 2})),
        json!({"exist": false})
    );
    assert_eq!(controller.get("/test_connection").json(), "success");
    assert_eq!(controller.send("POST", "/worker_get_status", &[], "").json()["model_names"], json!(["tiny"]));
    let params = json!({"model": "tiny", "prompt": "Once", "temperature": 0, "max_new_tokens": 4});
    // How many frames there are is a matter of time: the last has all that was said.
    let last = |server: &Running| frames(&server.post("/worker_generate_stream", params.clone())).pop();
    assert_eq!(last(&controller), last(&worker));
    let bad = controller.post("/register_worker", json!({"worker_name": "https://x", "worker_status": {}}));
    assert_eq!(bad.error(400)["param"], "worker_name");
}

/// The objects of FastChat's stream.
fn frames(reply: &Reply) -> Vec<Value> {
    let mut frames: Vec<&str> = reply.text.split('\0').collect();
    assert_eq!(frames.pop(), Some(""), "each object ends with a zero byte");
    frames.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
}

#[test]
fn a_workers_stream_is_cumulative_and_ends_with_the_reason() {
    let controller = controller();
    let worker = worker(&controller);
    let params = json!({"model": "tiny", "prompt": "Once", "temperature": 0, "max_new_tokens": 6, "echo": true,
        "logprobs": 1, "stop": null, "stop_token_ids": null, "top_k": -1});
    let streamed = frames(&worker.post("/worker_generate_stream", params.clone()));
    let texts: Vec<&str> = streamed.iter().map(|frame| frame["text"].as_str().unwrap()).collect();
    assert!(
        texts.windows(2).all(|pair| pair[1].starts_with(pair[0])) && texts[0].starts_with("Once"),
        "{texts:?}"
    );
    let last = streamed.last().unwrap();
    assert!(last["finish_reason"].is_string() && last["error_code"] == 0);
    assert_eq!(worker.post("/worker_generate", params).json(), *last);
    assert_eq!(last["usage"]["prompt_tokens"], 4);
    let tokens = last["logprobs"]["tokens"].as_array().unwrap().len() as u64;
    assert_eq!(tokens, last["usage"]["total_tokens"].as_u64().unwrap());
    for (params, code) in [
        (json!({"model": "gpt", "prompt": "x"}), 40301),
        (json!({"model": "tiny", "prompt": "x", "temperature": 7}), 40302),
        (json!({"model": "tiny", "prompt": "x".repeat(CONTEXT)}), 40303),
    ] {
        let error = frames(&worker.post("/worker_generate_stream", params)).pop().unwrap();
        assert_eq!(error["error_code"], code, "{error}");
    }
    let details = worker.post("/model_details", json!({"model": "tiny"})).json();
    assert_eq!(details["context_length"], CONTEXT);
    assert_eq!(
        worker.post("/count_token", json!({"prompt": "abc"})).json(),
        json!({"count": 3, "error_code": 0})
    );
}

#[test]
fn a_worker_is_taken_in_again_by_a_controller_that_forgot_it() {
    let controller = controller();
    let worker = worker(&controller);
    let asked = json!({"worker_name": format!("http://{}", worker.address), "check_heart_beat": false,
        "worker_status": {"model_names": ["other"], "speed": 1, "queue_length": 0}});
    controller.post("/register_worker", asked);
    assert_eq!(controller.send("POST", "/list_models", &[], "").json(), json!({"models": ["other"]}));
    // A status asked for is what the worker says itself.
    controller.send("POST", "/refresh_all_workers", &[], "");
    assert_eq!(controller.send("POST", "/list_models", &[], "").json(), json!({"models": ["tiny"]}));
}

#[test]
fn a_controller_asks_clients_for_their_keys_and_workers_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, format!("alice {}", camelid_files::digest::of_bytes("secret"))).unwrap();
    let keys = Some(ApiKeys::open(&path).unwrap());
    let controller = Running::controller(Settings { keys, ..Settings::default() }, WorkerTimeouts::default());
    let _worker = worker(&controller);
    assert_eq!(controller.chat(json!({})).error(401)["code"], "invalid_api_key");
    let headers = [("authorization", "Bearer secret")];
    let reply = controller.send("POST", "/v1/chat/completions", &headers, &chat_body(json!({})).to_string());
    assert_eq!(reply.status, 200);
}
