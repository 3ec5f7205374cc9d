//! `camelid serve` and `camelid controller` as programs.

mod camelid;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camelid::{COLOURS, error_of, output_of, save_nano_model, text};
use serde_json::{Value, json};

/// A program that is killed with the test.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(args)
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    fn wait_until_healthy(&self) {
        let began = Instant::now();
        while !matches!(ask(self.port, "GET", "/health", None), Some((200, _))) {
            assert!(began.elapsed() < Duration::from_secs(60), "port {} stays silent", self.port);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of a reply; `None` where none came whole.
fn ask(port: u16, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nhost: t\r\ncontent-length: {length}\r\n\r\n");
    connection.write_all((head + &body).as_bytes()).ok()?;
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let mut body = String::new();
    reader.read_to_string(&mut body).ok()?;
    Some((status, body))
}

fn chat(stream: bool, content: &str) -> Value {
    json!({ "model": "", "messages": [{ "role": "user", "content": content }], "temperature": 0,
        "max_tokens": 20, "stream": stream })
}

#[test]
fn a_model_is_served_by_its_name_and_ends_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("nano");
    std::fs::create_dir(&model).unwrap();
    save_nano_model(&model, 256);
    let mut server = Program::start(&["serve", "--model", text(&model), "--load", "nf4"]);
    server.wait_until_healthy();
    let (status, models) = ask(server.port, "GET", "/v1/models", None).unwrap();
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!((status, &models["data"][0]["id"]), (200, &json!("nano")));
    let (status, answer) =
        ask(server.port, "POST", "/v1/chat/completions", Some(&chat(false, "What is 2 + 3?"))).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["model"]), (200, &json!("nano")));
    assert!(answer["choices"][0]["message"]["content"].is_string());
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(server.child.wait().unwrap().success(), "it ends by itself, without a failure");
}

#[test]
fn a_worker_that_is_killed_under_load_costs_no_request_that_had_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("nano");
    std::fs::create_dir(&model).unwrap();
    save_nano_model(&model, 256);
    let controller = Program::start(&["controller"]);
    let link = format!("http://127.0.0.1:{}", controller.port);
    let began = Instant::now();
    while ask(controller.port, "GET", "/test_connection", None).is_none() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    let worker = || Program::start(&["serve", "--model", text(&model), "--controller", &link]);
    let (mut first, second) = (worker(), worker());
    first.wait_until_healthy();
    second.wait_until_healthy();
    let began = Instant::now();
    let registered = || {
        let (_, health) = ask(controller.port, "GET", "/health", None)?;
        serde_json::from_str::<Value>(&health).ok()?["workers"].as_u64()
    };
    while registered() != Some(2) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", registered());
        std::thread::sleep(Duration::from_millis(20));
    }

    const CLIENTS: usize = 6;
    const EACH: usize = 12;
    let (answered, killed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let broken: usize = std::thread::scope(|scope| {
        let client = |number: usize| {
            let mut broken = 0;
            for round in 0..EACH {
                let stream = (number + round).is_multiple_of(2);
                let content = format!("Client {number}, question {round}");
                let reply =
                    ask(controller.port, "POST", "/v1/chat/completions", Some(&chat(stream, &content)));
                let (status, body) = reply.expect("the controller answers");
                assert_eq!(status, 200, "{body}");
                if stream && body.contains("\"error\"") {
                    // Only what had begun may break off.
                    assert!(body.contains("\"content\":\"") && body.contains("broke"), "{body}");
                    broken += 1;
                } else {
                    assert!(body.contains("finish_reason"), "{body}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
            broken
        };
        let (answered, killed) = (&answered, &killed);
        let first = &mut first;
        scope.spawn(move || {
            while answered.load(Ordering::SeqCst) < CLIENTS {
                std::thread::yield_now();
            }
            // SIGKILL: it has no time to say anything.
            first.child.kill().unwrap();
            killed.store(true, Ordering::SeqCst);
        });
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(killed.load(Ordering::SeqCst));
    assert_eq!(answered.load(Ordering::SeqCst) + broken, CLIENTS * EACH);
    assert!(broken <= CLIENTS, "each client has one request at a time: {broken}");
    assert_eq!(registered(), Some(1));
}

/// [`COLOURS`] as lm-evaluation-harness has it, over the same rows. The harness puts nothing before a text of its
/// own accord.
const HARNESS_TASK: &str = r#"
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: multiple_choice
doc_to_text: "<s>The {{thing}} is"
doc_to_choice: ["red", "blue", "as green as grass"]
doc_to_target: right
metric_list: [{metric: acc}]
"#;
/// What is said in a chat, in no more than six tokens.
const HARNESS_CHAT: &str = r#"
task: said
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
output_type: generate_until
doc_to_text: "Which colour has the {{thing}}?"
doc_to_target: "blue"
generation_kwargs: {until: ["\n\n"], max_gen_toks: 6}
metric_list: [{metric: exact_match}]
"#;

/// `CAMELID_LM_EVAL_PYTHON` names an interpreter with `lm_eval[api]` 0.4.13, which needs no torch.
#[test]
fn lm_evaluation_harness_over_the_server_scores_as_our_own_tasks_do() {
    let Ok(python) = std::env::var("CAMELID_LM_EVAL_PYTHON") else {
        assert!(std::env::var_os("CAMELID_REQUIRE_CLIENTS").is_none(), "CAMELID_LM_EVAL_PYTHON is not set");
        return eprintln!("skipped: no Python with lm_eval (set CAMELID_LM_EVAL_PYTHON)");
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    save_nano_model(&at("nano"), 256);
    let things = ["sky", "rose", "sea", "meadow", "night before the rain"];
    let row = |(place, thing): (usize, &&str)| format!("{}\n", json!({"thing": thing, "right": place % 3}));
    let rows: String = things.iter().enumerate().map(row).collect();
    std::fs::write(at("colours.jsonl"), rows).unwrap();
    std::fs::write(at("colours.toml"), COLOURS).unwrap();
    std::fs::create_dir(at("tasks")).unwrap();
    for (name, task) in [("colours", HARNESS_TASK), ("said", HARNESS_CHAT)] {
        let task = task.replace("ROWS", text(&at("colours.jsonl")));
        std::fs::write(at("tasks").join(name).with_extension("yaml"), task).unwrap();
    }

    let (model, task, rows, out) = (at("nano"), at("colours.toml"), at("colours.jsonl"), at("ours"));
    let own = ["eval", "tasks", "--model", text(&model), "--task", text(&task), "--data", text(&rows)];
    let reports = output_of(&[&own[..], &["--out", text(&out), "--json"]].concat());
    let reports: Value = serde_json::from_str(&reports).unwrap();
    let server = Program::start(&["serve", "--model", text(&model)]);
    server.wait_until_healthy();
    let harness = |kind: &str, path: &str, task: &str, more: &[&str]| {
        let out = at(task);
        let output = Command::new(&python)
            .args(["-m", "lm_eval", "--model", kind, "--tasks", task, "--include_path", text(&at("tasks"))])
            .args(["--log_samples", "--output_path", text(&out), "--model_args"])
            .arg(format!("model=nano,base_url=http://127.0.0.1:{}{path},num_concurrent=4", server.port))
            .args(more)
            .env("HF_HOME", at("cache"))
            .envs([("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "1")])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read_harness(&out)
    };
    let (results, samples) = harness("local-completions", "/v1/completions", "colours", &[]);
    assert_eq!(results["results"]["colours"]["acc,none"], reports[0]["scores"][0]["value"]);
    let ours = std::fs::read_to_string(out.join("colours.rows.jsonl")).unwrap();
    let likelihoods = |line: &str| -> Vec<f64> {
        let row: Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(row["log_likelihoods"].clone()).unwrap()
    };
    let ours: Vec<f64> = ours.lines().skip(1).flat_map(likelihoods).collect();
    let said = |response: &Value| match &response[0] {
        Value::String(number) => number.parse().unwrap(),
        number => number.as_f64().unwrap(),
    };
    let theirs: Vec<f64> =
        samples.iter().flat_map(|sample| sample["filtered_resps"].as_array().unwrap()).map(said).collect();
    assert_eq!((ours.len(), theirs.len()), (3 * things.len(), 3 * things.len()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} here, {theirs} there");
    }

    let (_, samples) =
        harness("local-chat-completions", "/v1/chat/completions", "said", &["--apply_chat_template"]);
    assert_eq!(samples.len(), things.len());
    for sample in samples {
        let question = format!("Which colour has the {}?", sample["doc"]["thing"].as_str().unwrap());
        let mut body = chat(false, &question);
        body["max_tokens"] = json!(6);
        body["stop"] = json!(["\n\n"]);
        let (_, answer) = ask(server.port, "POST", "/v1/chat/completions", Some(&body)).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(sample["resps"][0][0], answer["choices"][0]["message"]["content"]);
    }
}

/// The results and the samples in the folder that the harness wrote.
fn read_harness(out: &Path) -> (Value, Vec<Value>) {
    let model = std::fs::read_dir(out).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(model).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let [results, samples] = files.as_slice() else { panic!("{files:?}") };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut samples: Vec<Value> =
        read(samples).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    samples.sort_by_key(|sample| sample["doc_id"].as_u64());
    (serde_json::from_str(&read(results)).unwrap(), samples)
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    save_nano_model(dir.path(), 64);
    let model = text(dir.path());
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "alice secret\n").unwrap();
    for (args, words) in [
        (vec!["serve", "--model", "/no/such/model"], "/no/such/model"),
        (vec!["serve", "--model", model, "--adapter", "nameless"], "NAME=PATH"),
        (vec!["serve", "--model", model, "--adapter", "a=/no/such"], "adapter_config.json"),
        (vec!["serve", "--model", model, "--api-keys", text(&keys)], "line 1"),
        (vec!["serve", "--model", model, "--api-keys", "/no/keys"], "/no/keys"),
        (vec!["serve", "--model", model, "--cors", "example.org"], "--cors example.org"),
        (vec!["serve", "--model", model, "--parallel", "0"], "--parallel"),
        (vec!["serve", "--model", model, "--controller", "https://x"], "http://HOST:PORT"),
        (vec!["serve", "--model", model, "--host", "256.0.0.1"], "256.0.0.1"),
        (vec!["controller", "--expiry", "0"], "--expiry"),
        (vec!["controller", "--stream-timeout", "0"], "--stream-timeout"),
        // Limits that only a model's server can hold.
        (vec!["controller", "--tokens-per-minute", "9"], "--tokens-per-minute"),
        (vec!["controller", "--max-tokens", "9"], "--max-tokens"),
        (vec!["controller", "--queue", "9"], "--queue"),
        (vec!["controller", "--log-text"], "--log-text"),
    ] {
        let said = error_of(&args);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}
