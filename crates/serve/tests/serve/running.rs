//! A server in this process, and a plain client of it.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use camelid_chat::{SpecialTokens, Template};
use camelid_model::{Engine, EngineOptions, Llama, LlamaConfig};
use camelid_serve::{Controller, Log, Served, Server, Settings, WorkerTimeouts};
use camelid_tests::{byte_tokenizer, tiny_llama};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Tokens that the small model's prompts and answers may have together.
pub const CONTEXT: usize = 512;
/// The small model's name.
pub const MODEL: &str = "tiny";

/// ChatML with tools, as small instruct models have it.
pub const CHATML: &str = "{% if tools %}<|im_start|>system\nTools: {% for tool in tools %}{{ tool | tojson }}{% endfor %}\nCall them in <tool_call></tool_call>.<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A random model over bytes, `<|im_start|>` and `<|im_end|>`, with a context of `context` tokens.
pub fn small_llama(context: usize) -> Llama {
    let mut config = tiny_llama(258, 32, 2);
    config["max_position_embeddings"] = context.into();
    config["eos_token_id"] = 257.into();
    let config = LlamaConfig::from_value(&config, "the test").unwrap();
    Llama::random_with_std(&config, 0.2, 5, &Device::flex())
}

/// The same to be served.
pub fn small_model(context: usize) -> Served {
    let tokenizer = byte_tokenizer(&["<|im_start|>", "<|im_end|>"]);
    let engine = Engine::new(&small_llama(context), tokenizer, EngineOptions::default()).unwrap();
    let template = Template::from_jinja("own", CHATML, SpecialTokens::default()).unwrap();
    Served { name: MODEL.into(), engine, template }
}

/// What the log wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Stopped = Pin<Box<dyn Future<Output = ()>>>;

/// A server that runs; it stops when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    written: Written,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// A server of the small model.
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    /// The same with other settings.
    pub fn with(settings: Settings) -> Self {
        Self::load(settings, Log::to, || small_model(CONTEXT))
    }

    /// A server of any model, with a log that `log` opens.
    pub fn load(
        settings: Settings,
        log: impl FnOnce(Written, bool) -> Log,
        model: impl FnOnce() -> Served + Send + 'static,
    ) -> Self {
        let running = Self::begin(settings, log, model);
        running.wait_for("the model", || running.get("/health").status == 200);
        running
    }

    /// The same, without waiting for the model.
    pub fn begin(
        settings: Settings,
        log: impl FnOnce(Written, bool) -> Log,
        model: impl FnOnce() -> Served + Send + 'static,
    ) -> Self {
        Self::on(0, settings, log, model)
    }

    /// A server at a port of one's choice.
    pub fn at(
        port: u16,
        settings: Settings,
        log: impl FnOnce(Written, bool) -> Log,
        model: impl FnOnce() -> Served + Send + 'static,
    ) -> Self {
        let running = Self::on(port, settings, log, model);
        running.wait_for("the model", || running.get("/health").status == 200);
        running
    }

    fn on(
        port: u16,
        settings: Settings,
        log: impl FnOnce(Written, bool) -> Log,
        model: impl FnOnce() -> Served + Send + 'static,
    ) -> Self {
        Self::spawn(log, move |log, listens, stopped| async move {
            let address = format!("127.0.0.1:{port}");
            let server = Server::bind(address, settings, log).await.unwrap();
            listens.send(server.address()).unwrap();
            server.run(move || Ok::<_, Infallible>(model()), stopped).await.unwrap();
        })
    }

    /// A controller.
    pub fn controller(settings: Settings, timeouts: WorkerTimeouts) -> Self {
        Self::spawn(Log::to, move |log, listens, stopped| async move {
            let bound = Controller::bind("127.0.0.1:0", settings, log, timeouts).await;
            let controller = bound.unwrap();
            listens.send(controller.address()).unwrap();
            controller.run(stopped).await;
        })
    }

    fn spawn<F: Future<Output = ()>>(
        log: impl FnOnce(Written, bool) -> Log,
        serve: impl FnOnce(Log, mpsc::Sender<SocketAddr>, Stopped) -> F + Send + 'static,
    ) -> Self {
        let (listens, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let written = Written::default();
        let log = log(written.clone(), false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let stopped: Stopped = Box::pin(async { drop(stopped.await) });
            runtime.block_on(serve(log, listens, stopped));
        });
        Self { address: address.recv().unwrap(), written, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to end, without waiting for it.
    pub fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the server's end.
    pub fn wait_for_end(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    /// Waits until something is so; half a minute without is a failure.
    pub fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(30), "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The lines of the log so far.
    pub fn log(&self) -> Vec<Value> {
        let written = self.written.0.lock().unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// Sends a request on a connection of its own and reads the whole reply.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Reply::read(self.open(method, path, headers, body))
    }

    /// Sends a request and leaves the reply unread.
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        connection.write_all((head + body).as_bytes()).unwrap();
        connection
    }

    /// A chat with the small model; `more` adds to its fields.
    pub fn chat(&self, more: Value) -> Reply {
        self.post("/v1/chat/completions", chat_body(more))
    }

    /// A counter of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// The body of a greedy chat of few tokens, with further fields.
pub fn chat_body(more: Value) -> Value {
    let mut body = json!({
        "model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 12,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The head as it came.
    pub head: String,
    pub text: String,
}

impl Reply {
    /// Reads a reply to its end.
    pub fn read(connection: TcpStream) -> Self {
        let mut reader = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "the head breaks off: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut bytes = Vec::new();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            while let Some(mut chunk) = read_chunk(&mut reader) {
                bytes.append(&mut chunk);
            }
        } else {
            reader.read_to_end(&mut bytes).unwrap();
        }
        Self { status, head, text: String::from_utf8(bytes).unwrap() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The events of a stream, each checked for its form; the last has to be `[DONE]`.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        let mut events: Vec<&str> = self.text.split("\n\n").collect();
        assert_eq!(events.pop(), Some(""), "a blank line follows the last event, and nothing else");
        assert_eq!(events.pop(), Some("data: [DONE]"));
        let comments = |event: &&str| !event.starts_with(':');
        let data = |event: &str| {
            let json = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {event:?}"));
            assert!(!json.contains('\n'), "{json}");
            serde_json::from_str(json).unwrap()
        };
        events.into_iter().filter(comments).map(data).collect()
    }

    /// The text of a chat's first choice.
    pub fn said(&self) -> String {
        let reply = self.json();
        reply["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    /// What is wrong, after a look at the shape of the error.
    #[track_caller]
    pub fn error(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        let error = &body["error"];
        let fields: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["message", "type", "param", "code"]);
        assert!(!error["message"].as_str().unwrap().is_empty());
        error.clone()
    }
}

/// The next chunk of a chunked body; `None` after the last, or when the server went away.
pub fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let length = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).unwrap();
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

/// The text of one choice of a stream.
pub fn streamed_text(events: &[Value], index: usize) -> String {
    let choices = events.iter().flat_map(|event| event["choices"].as_array().unwrap());
    let own = choices.filter(|choice| choice["index"] == index);
    own.filter_map(|choice| choice["delta"]["content"].as_str().or(choice["text"].as_str())).collect()
}
