//! The log: one JSON object a line and a request, without what was said unless that is asked for.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camelid_model::Finished;
use serde_json::{Map, Value, json};

use crate::error::ServeError;
use crate::metrics::Metrics;
use crate::rate::Rates;
use crate::wire::finish_reason;

/// Lines that wait for a slow disk or pipe before more are dropped.
const MOST_WAITING_LINES: usize = 4096;

/// Most characters of an unknown field's name that are kept.
const LONGEST_FIELD: usize = 100;

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    lines: Option<SyncSender<String>>,
    dropped: AtomicU64,
    /// Whether prompts and answers are written too.
    with_text: bool,
    /// Unknown fields that were named already.
    named: Mutex<BTreeSet<String>>,
}

impl Log {
    /// A log that writes to `sink` from a thread of its own: a sink that is slow delays nobody.
    pub fn to(mut sink: impl Write + Send + 'static, with_text: bool) -> Self {
        let (lines, waiting) = sync_channel::<String>(MOST_WAITING_LINES);
        std::thread::spawn(move || {
            for line in waiting {
                // A closed or full sink is no reason to stop serving.
                let _ = writeln!(sink, "{line}").and_then(|()| sink.flush());
            }
        });
        Self { lines: Some(lines), dropped: AtomicU64::new(0), with_text, named: Mutex::default() }
    }

    /// No log.
    pub fn none() -> Self {
        Self { lines: None, dropped: AtomicU64::new(0), with_text: false, named: Mutex::default() }
    }

    /// Whether prompts and answers are written too.
    pub fn with_text(&self) -> bool {
        self.with_text
    }

    /// Writes a line: `event` with further fields.
    pub fn write(&self, event: &str, fields: Map<String, Value>) {
        let Some(lines) = &self.lines else { return };
        let mut line = Map::new();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line.insert("time".into(), json!(now.as_millis() as f64 / 1000.0));
        line.insert("event".into(), json!(event));
        line.extend(fields);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            line.insert("lines_dropped_before".into(), json!(dropped));
        }
        if let Err(TrySendError::Full(_)) = lines.try_send(Value::Object(line).to_string()) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    /// Names the fields of a request that mean nothing here, each once.
    pub fn unknown_fields(&self, path: &str, fields: &[String]) {
        for field in fields {
            let field: String = field.chars().take(LONGEST_FIELD).collect();
            let known = format!("{path} {field}");
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            // Clients choose the names: their number is bounded.
            if named.len() < 1000 && named.insert(known) {
                drop(named);
                let fields = json!({ "path": path, "field": field, "note": "ignored; not said again" });
                self.write("unknown_field", fields.as_object().cloned().unwrap_or_default());
            }
        }
    }
}

/// What is known of one request. Its line is written when nobody holds it any more: after the last byte
/// of a stream, or when the client left.
pub(crate) struct Entry {
    log: Arc<Log>,
    metrics: Arc<Metrics>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fields: Map<String, Value>,
    path: String,
    status: Option<u16>,
    counts: [usize; 3],
    reasons: Vec<&'static str>,
    generates: bool,
    complete: bool,
    first_text: Option<Duration>,
    /// Whose allowance the tokens are taken off.
    admitted: Option<(Arc<Rates>, String)>,
}

impl Entry {
    pub fn new(log: Arc<Log>, metrics: Arc<Metrics>, method: &str, path: &str) -> Arc<Self> {
        metrics.request_begins();
        let mut state = State { path: path.to_owned(), ..State::default() };
        state.fields.insert("method".into(), json!(method));
        state.fields.insert("path".into(), json!(path));
        Arc::new(Self { log, metrics, began: Instant::now(), state: Mutex::new(state) })
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Adds a field.
    pub fn set(&self, name: &str, value: impl Into<Value>) {
        self.with(|state| drop(state.fields.insert(name.to_owned(), value.into())));
    }

    /// Adds a field that holds what was said, if the log is to have that.
    pub fn set_text(&self, name: &str, value: impl FnOnce() -> Value) {
        if self.log.with_text() {
            self.set(name, value());
        }
    }

    /// The response's head is about to go out.
    pub fn responds(&self, status: u16, error: Option<&str>) {
        self.with(|state| {
            state.status = Some(status);
            if let Some(error) = error {
                state.fields.insert("error".into(), json!(error));
            }
        });
    }

    /// The request counts against a client's limits.
    pub fn admitted(&self, rates: Arc<Rates>, client: String) {
        self.with(|state| state.admitted = Some((rates, client)));
    }

    /// An answer is to be generated.
    pub fn generates(&self) {
        self.with(|state| state.generates = true);
    }

    /// Generation began after so long a wait.
    pub fn started(&self, waited: Duration) {
        self.set("queue_ms", milliseconds(waited));
        self.metrics.queue_wait(waited);
    }

    /// The first text came.
    pub fn first_text(&self, after: Duration) {
        self.with(|state| {
            if state.first_text.is_none() {
                state.first_text = Some(after);
                self.metrics.first_token(after);
            }
        });
    }

    /// Tokens were read of which nothing is written.
    pub fn read(&self, tokens: usize) {
        self.with(|state| state.counts[0] += tokens);
    }

    /// A sequence ended.
    pub fn finished(&self, index: usize, finished: &Finished, last: bool) {
        self.with(|state| {
            state.counts[0] += finished.prompt_tokens;
            state.counts[1] += finished.cached_tokens;
            state.counts[2] += finished.new_tokens;
            state.reasons.resize(state.reasons.len().max(index + 1), "");
            state.reasons[index] = finish_reason(finished.reason);
            state.complete |= last;
        });
    }

    /// Time since the request came.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// An answer that is passed on came to its end.
    pub fn completes(&self) {
        self.with(|state| state.complete = true);
    }

    /// Generation failed.
    pub fn failed(&self, error: &ServeError) {
        self.set("error", camelid_files::program::message(error));
        self.metrics.failed();
        self.with(|state| state.complete = true);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        let State { mut fields, path, status, counts, reasons, generates, complete, first_text, admitted } =
            state;
        if let Some((rates, client)) = admitted {
            rates.leave(&client, counts[0] + counts[2]);
        }
        let took = self.began.elapsed();
        let left = status.is_none() || (generates && !complete && status == Some(200));
        self.metrics.request_ends(&path, status, left, took);
        if let Some(status) = status {
            fields.insert("status".into(), json!(status));
        }
        if left {
            fields.insert("client_left".into(), json!(true));
        }
        if !reasons.is_empty() {
            fields.insert("prompt_tokens".into(), json!(counts[0]));
            fields.insert("cached_tokens".into(), json!(counts[1]));
            fields.insert("new_tokens".into(), json!(counts[2]));
            fields.insert("finish_reasons".into(), json!(reasons));
        }
        if let Some(first) = first_text {
            fields.insert("first_text_ms".into(), json!(milliseconds(first)));
        }
        fields.insert("ms".into(), json!(milliseconds(took)));
        self.log.write("request", fields);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}
