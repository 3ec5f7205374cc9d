//! A real HTTP server that speaks the chat-completion protocol and misbehaves as it is told.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Request;

/// What the server answers.
pub enum Answer {
    /// A chat completion with this text.
    Text(String),
    /// Any status, further headers and body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Status 200 with any body.
    Body(String),
    /// The completion with this text, half of it, though its whole length is announced.
    Truncated(String),
    /// Nothing, until the client goes away or the server stops.
    Stall,
}

/// What was asked.
pub struct Asked {
    /// The request's body.
    pub body: Value,
    /// The request's headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// How often this body came, this time included.
    pub times: usize,
    /// How often the server was started.
    pub life: usize,
}

impl Asked {
    /// The last message.
    pub fn last(&self) -> &str {
        let messages = self.body["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].as_str().unwrap()
    }
}

/// How often each request came and was answered in full, by the text of its body.
#[derive(Clone, Default)]
pub struct Counts {
    /// Requests that came.
    pub asked: HashMap<String, usize>,
    /// Those of them that were answered in full.
    pub answered: HashMap<String, usize>,
}

impl Counts {
    /// How often requests came whose body holds `part`.
    pub fn asked(&self, part: &str) -> usize {
        self.asked.iter().filter(|(body, _)| body.contains(part)).map(|(_, times)| times).sum()
    }

    /// All requests that came.
    pub fn asked_in_all(&self) -> usize {
        self.asked.values().sum()
    }

    /// All requests that were answered in full.
    pub fn answered_in_all(&self) -> usize {
        self.answered.values().sum()
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    counts: Mutex<Counts>,
    changed: Condvar,
    life: Mutex<usize>,
    stopping: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Taken to write a whole answer, and by `stop` against all: an answer leaves whole or not at
    /// all, and is counted if it left.
    answering: RwLock<()>,
}

/// The server; it stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves at a free port of this machine; `script` decides each answer.
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            counts: Mutex::default(),
            changed: Condvar::new(),
            life: Mutex::new(1),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            threads: Mutex::default(),
            answering: RwLock::new(()),
        });
        let address = listener.local_addr().unwrap();
        let listening = Some(listen(listener, &shared));
        Self { address, shared, listening }
    }

    /// For `OpenAiConfig::base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What came and was answered so far; an answer that is on its way is waited for, since its client may have
    /// all of it before it is counted.
    pub fn counts(&self) -> Counts {
        let _nobody = self.shared.answering.write().unwrap();
        self.lock_counts().clone()
    }

    /// Waits until the counts are as `wanted`; a minute without is a failure.
    pub fn wait_until(&self, wanted: impl Fn(&Counts) -> bool) {
        let minute = Duration::from_secs(60);
        let (_counts, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.lock_counts(), minute, |counts| !wanted(counts))
            .unwrap();
        assert!(!waited.timed_out(), "the server waited in vain");
    }

    /// Stops listening and closes every connection. What is not wholly answered by then never is.
    pub fn stop(&mut self) {
        let Some(listening) = self.listening.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The listener wakes by a connection.
        let _ = TcpStream::connect(self.address);
        listening.join().unwrap();
        {
            let _nobody = self.shared.answering.write().unwrap();
            for connection in self.shared.connections.lock().unwrap().drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        let threads: Vec<_> = self.shared.threads.lock().unwrap().drain(..).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    /// Serves again at the same port.
    pub fn restart(&mut self) {
        self.stop();
        let listener = TcpListener::bind(self.address).unwrap();
        self.shared.stopping.store(false, Ordering::SeqCst);
        *self.shared.life.lock().unwrap() += 1;
        self.listening = Some(listen(listener, &self.shared));
    }

    fn lock_counts(&self) -> MutexGuard<'_, Counts> {
        self.shared.counts.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = shared.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            if shared.stopping.load(Ordering::SeqCst) {
                break;
            }
            let Ok(connection) = connection else { continue };
            shared.connections.lock().unwrap().push(connection.try_clone().unwrap());
            let served = shared.clone();
            let thread = std::thread::spawn(move || {
                // A connection that breaks is the client's affair.
                let _ = serve(&connection, &served);
                let _ = connection.shutdown(Shutdown::Both);
            });
            shared.threads.lock().unwrap().push(thread);
        }
    })
}

/// Answers the requests of one connection, one after the other.
fn serve(connection: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some(Request { method, path, headers, body }) = Request::read(&mut reader)? {
        // A base URL that ends too early is a fault that clients have to tell.
        assert!(method == "POST" && path.ends_with("/chat/completions"), "{method} {path}");
        let text = String::from_utf8_lossy(&body).into_owned();
        let times = {
            let mut counts = shared.counts.lock().unwrap();
            let times = counts.asked.entry(text.clone()).or_default();
            *times += 1;
            *times
        };
        shared.changed.notify_all();
        let body: Value = serde_json::from_str(&text).expect("the client sends JSON");
        let asked = Asked { body, headers, times, life: *shared.life.lock().unwrap() };
        let (bytes, whole) = match (shared.script)(&asked) {
            Answer::Text(text) => (response(200, &[], &completion(&asked.body, &text)), true),
            Answer::Status(status, headers, body) => (response(status, &headers, &body), true),
            Answer::Body(body) => (response(200, &[], &body), true),
            Answer::Truncated(text) => {
                let body = completion(&asked.body, &text);
                let mut bytes = response(200, &[], &body);
                bytes.truncate(bytes.len() - body.len() / 2);
                (bytes, false)
            }
            Answer::Stall => {
                let mut rest = Vec::new();
                reader.read_to_end(&mut rest)?;
                return Ok(());
            }
        };
        let _nobody_stops = shared.answering.read().unwrap();
        let mut writer = connection;
        writer.write_all(&bytes)?;
        if !whole {
            return Ok(());
        }
        *shared.counts.lock().unwrap().answered.entry(text).or_default() += 1;
        shared.changed.notify_all();
    }
    Ok(())
}

fn response(status: u16, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        head += "content-type: application/json\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n" + body).into_bytes()
}

/// A chat completion whose tokens are words.
fn completion(request: &Value, text: &str) -> String {
    let messages = request["messages"].as_array().unwrap();
    let prompt: usize = messages.iter().map(|m| words(m["content"].as_str().unwrap())).sum();
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": format!("{}-0613", request["model"].as_str().unwrap()),
        "system_fingerprint": "fp_test",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": prompt, "completion_tokens": words(text)},
    })
    .to_string()
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
