//! Counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use camelid_model::EngineLoad;

/// Upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Most paths that have counters of their own; what clients make up shares one.
const MOST_PATHS: usize = 64;

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By path and status; status 0 is a client that left before there was one.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    open: AtomicU64,
    left: AtomicU64,
    failed: AtomicU64,
    connections: AtomicU64,
    request_seconds: Histogram,
    queue_seconds: Histogram,
    first_token_seconds: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

/// What there is at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Sequences that run, or requests at workers.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Whether the model is loaded.
    pub ready: bool,
    /// What the engine says of itself.
    pub engine: Option<EngineLoad>,
}

impl Metrics {
    pub(crate) fn request_begins(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_ends(&self, path: &str, status: Option<u16>, left: bool, took: Duration) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.left.fetch_add(u64::from(left), Ordering::Relaxed);
        self.request_seconds.add(took);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // Clients choose the paths, those without a key as well: their number is bounded.
        let path = if matches!(status, Some(401 | 404)) { "other" } else { path };
        let mut key = (path.to_owned(), status.unwrap_or(0));
        if requests.len() >= MOST_PATHS && !requests.contains_key(&key) {
            key.0 = "other".to_owned();
        }
        *requests.entry(key).or_default() += 1;
    }

    pub(crate) fn queue_wait(&self, waited: Duration) {
        self.queue_seconds.add(waited);
    }

    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token_seconds.add(after);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection(&self, opened: bool) {
        match opened {
            true => self.connections.fetch_add(1, Ordering::Relaxed),
            false => self.connections.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn text(&self, gauges: Gauges) -> String {
        let mut text = String::new();
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        head(
            &mut text,
            "requests_total",
            "counter",
            "Requests by path and status; 0 where the client left first.",
        );
        for ((path, status), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(text, "camelid_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}");
        }
        for (name, kind, help, value) in [
            (
                "clients_left_total",
                "counter",
                "Clients that left before their answer was complete.",
                load(&self.left),
            ),
            ("failures_total", "counter", "Answers that failed or took too long.", load(&self.failed)),
            ("requests_open", "gauge", "Requests that are being served.", load(&self.open)),
            ("connections_open", "gauge", "Connections.", load(&self.connections)),
            ("sequences_running", "gauge", "Sequences that are being generated.", gauges.running as u64),
            ("requests_waiting", "gauge", "Requests that wait for their turn.", gauges.waiting as u64),
            ("ready", "gauge", "1 when the model is loaded.", u64::from(gauges.ready)),
        ] {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "camelid_{name} {value}");
        }
        for (name, kind, help, value) in gauges.engine.map(engine_series).unwrap_or_default() {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "camelid_{name} {value}");
        }
        self.request_seconds.write(&mut text, "request_seconds", "Time to the last byte.");
        self.queue_seconds.write(&mut text, "queue_seconds", "Time in the queue.");
        self.first_token_seconds.write(&mut text, "first_token_seconds", "Time to the first text.");
        text
    }
}

fn engine_series(load: EngineLoad) -> Vec<(&'static str, &'static str, &'static str, u64)> {
    vec![
        ("prompt_tokens_total", "counter", "Tokens of prompts that were computed.", load.prompt_tokens),
        ("cached_tokens_total", "counter", "Tokens of prompts that were known already.", load.cached_tokens),
        ("generated_tokens_total", "counter", "Tokens made.", load.new_tokens),
        ("steps_total", "counter", "Forward passes.", load.steps),
        ("preempted_total", "counter", "Sequences whose memory was taken for others.", load.preempted),
        ("cache_blocks_used", "gauge", "Blocks of the key-value cache in use.", load.blocks_used as u64),
        ("cache_blocks", "gauge", "Blocks of the key-value cache.", load.blocks_total as u64),
    ]
}

impl Histogram {
    fn add(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(at) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, "histogram", help);
        let mut sum = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(text, "camelid_{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let seconds = self.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "camelid_{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "camelid_{name}_sum {seconds}\ncamelid_{name}_count {count}");
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP camelid_{name} {help}\n# TYPE camelid_{name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_every_series_has_its_type() {
        let metrics = Metrics::default();
        metrics.request_begins();
        metrics.request_ends("/v1/models", Some(200), false, Duration::from_millis(7));
        metrics.request_begins();
        metrics.request_ends("/v1/\"x", None, true, Duration::from_secs(1000));
        let text =
            metrics.text(Gauges { running: 3, waiting: 2, ready: true, engine: Some(EngineLoad::default()) });
        for line in [
            "camelid_requests_total{path=\"/v1/models\",status=\"200\"} 1",
            "camelid_requests_total{path=\"/v1/\\\"x\",status=\"0\"} 1",
            "camelid_request_seconds_bucket{le=\"0.005\"} 0",
            "camelid_request_seconds_bucket{le=\"0.01\"} 1",
            "camelid_request_seconds_bucket{le=\"300\"} 1",
            "camelid_request_seconds_bucket{le=\"+Inf\"} 2",
            "camelid_request_seconds_count 2",
            "camelid_sequences_running 3",
            "camelid_generated_tokens_total 0",
            "camelid_clients_left_total 1",
            "camelid_requests_open 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(text.contains(&format!("# TYPE {base} ")), "{name} has no type");
        }
    }
}
