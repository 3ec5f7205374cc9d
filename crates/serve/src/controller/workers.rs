//! The workers that there are, and which of them is next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::log::Log;

/// All workers, by their addresses.
#[derive(Debug)]
pub(super) struct Workers {
    known: Arc<Mutex<BTreeMap<String, Worker>>>,
    expiry: Duration,
}

#[derive(Clone, Debug)]
struct Worker {
    models: Vec<String>,
    speed: f64,
    /// What the worker said last.
    queue_length: f64,
    /// What went there since, and is not over.
    in_flight: usize,
    check_heart_beat: bool,
    heard: Instant,
    openai_api: bool,
    multimodal: bool,
}

/// A worker that was chosen; it counts as busier until this is dropped.
#[derive(Debug)]
pub(super) struct Chosen {
    pub address: String,
    /// Whether it speaks OpenAI's API itself.
    pub openai_api: bool,
    known: Arc<Mutex<BTreeMap<String, Worker>>>,
}

impl Workers {
    pub fn new(expiry: Duration) -> Self {
        Self { known: Arc::default(), expiry }
    }

    /// Takes a worker in, or anew. False where its status says too little.
    pub fn register(&self, address: &str, status: &Value, check_heart_beat: bool, multimodal: bool) -> bool {
        let Ok(models) = serde_json::from_value::<Vec<String>>(status["model_names"].clone()) else {
            return false;
        };
        let mut known = self.lock();
        let in_flight = known.get(address).map_or(0, |worker| worker.in_flight);
        let worker = Worker {
            models,
            speed: status["speed"].as_f64().filter(|speed| *speed > 0.0).unwrap_or(1.0),
            queue_length: queue_length(&status["queue_length"]),
            in_flight,
            check_heart_beat,
            heard: Instant::now(),
            openai_api: status["openai_api"].as_bool().unwrap_or(false),
            multimodal,
        };
        known.insert(address.to_owned(), worker);
        true
    }

    /// Notes a heart beat; false for a worker that is not known.
    pub fn heart_beat(&self, address: &str, queue: &Value) -> bool {
        match self.lock().get_mut(address) {
            Some(worker) => {
                worker.heard = Instant::now();
                worker.queue_length = queue_length(queue);
                // Those in flight are in the worker's own count now.
                worker.queue_length -= (worker.in_flight as f64).min(worker.queue_length);
                true
            }
            None => false,
        }
    }

    /// The worker of a model with the shortest queue for its speed, but none of `tried`.
    pub fn choose(&self, model: &str, tried: &[String]) -> Option<Chosen> {
        let mut known = self.lock();
        let able = known.iter_mut().filter(|(address, worker)| {
            worker.models.iter().any(|name| name == model) && !tried.contains(address)
        });
        // With this request among them.
        let load = |worker: &Worker| (worker.queue_length + worker.in_flight as f64 + 1.0) / worker.speed;
        let (address, worker) = able.min_by(|(_, a), (_, b)| load(a).total_cmp(&load(b)))?;
        worker.in_flight += 1;
        Some(Chosen { address: address.clone(), openai_api: worker.openai_api, known: self.known.clone() })
    }

    /// The address of a worker for someone who will ask it directly, as FastChat's servers do: its queue
    /// counts as one longer until it says otherwise.
    pub fn address_for(&self, model: &str) -> String {
        match self.choose(model, &[]) {
            Some(chosen) => {
                if let Some(worker) = self.lock().get_mut(&chosen.address) {
                    worker.queue_length += 1.0;
                }
                chosen.address.clone()
            }
            None => String::new(),
        }
    }

    /// Forgets a worker that does not answer; it is taken in again when it registers, as it does when it
    /// hears that it is not known.
    pub fn forget(&self, address: &str, why: &str, log: &Log) {
        if self.lock().remove(address).is_some() {
            say(log, address, why);
        }
    }

    /// Forgets those whose hearts stopped.
    pub fn forget_the_silent(&self, log: &Log) {
        let now = Instant::now();
        let silent =
            |worker: &Worker| worker.check_heart_beat && now.duration_since(worker.heard) > self.expiry;
        let mut known = self.lock();
        let gone: Vec<String> =
            known.iter().filter(|(_, worker)| silent(worker)).map(|(address, _)| address.clone()).collect();
        for address in gone {
            known.remove(&address);
            say(log, &address, "no heart beat");
        }
    }

    /// The names of all models.
    pub fn models(&self) -> BTreeSet<String> {
        self.lock().values().flat_map(|worker| worker.models.iter().cloned()).collect()
    }

    /// The names of the models that read images too, or of those that do not.
    pub fn models_by(&self, multimodal: bool) -> BTreeSet<String> {
        let known = self.lock();
        let workers = known.values().filter(|worker| worker.multimodal == multimodal);
        workers.flat_map(|worker| worker.models.iter().cloned()).collect()
    }

    /// All addresses, with what was said at their registration.
    pub fn addresses(&self) -> Vec<(String, bool, bool)> {
        let known = self.lock();
        known.iter().map(|(at, worker)| (at.clone(), worker.check_heart_beat, worker.multimodal)).collect()
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Requests that are being answered.
    pub fn in_flight(&self) -> usize {
        self.lock().values().map(|worker| worker.in_flight).sum()
    }

    /// What a controller above this one is told.
    pub fn status(&self) -> Value {
        let known = self.lock();
        let models: BTreeSet<&String> = known.values().flat_map(|worker| &worker.models).collect();
        let queue: f64 = known.values().map(|worker| worker.queue_length + worker.in_flight as f64).sum();
        let speed: f64 = known.values().map(|worker| worker.speed).sum();
        json!({ "model_names": models, "speed": speed, "queue_length": queue, "openai_api": true })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Worker>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = known.get_mut(&self.address) {
            worker.in_flight = worker.in_flight.saturating_sub(1);
        }
    }
}

fn queue_length(value: &Value) -> f64 {
    value.as_f64().filter(|length| *length >= 0.0).unwrap_or(0.0)
}

fn say(log: &Log, address: &str, why: &str) {
    let fields = Map::from_iter([("worker".to_owned(), json!(address)), ("why".to_owned(), json!(why))]);
    log.write("worker_forgotten", fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(of: &[(&str, f64, f64)]) -> Workers {
        let workers = Workers::new(Duration::from_secs(90));
        for (address, speed, queue) in of {
            let status = json!({ "model_names": ["m"], "speed": speed, "queue_length": queue });
            assert!(workers.register(address, &status, true, false));
        }
        workers
    }

    #[test]
    fn the_shortest_queue_for_its_speed_is_next_and_requests_in_flight_count() {
        let workers = workers(&[("a", 1.0, 3.0), ("b", 4.0, 6.0), ("c", 1.0, 2.0)]);
        // 7/4, 8/4, 9/4, … until there is more to wait for than the 3 of c.
        let chosen: Vec<Chosen> = (0..7).map(|_| workers.choose("m", &[]).unwrap()).collect();
        let addresses: Vec<&str> = chosen.iter().map(|chosen| chosen.address.as_str()).collect();
        assert_eq!(addresses, ["b", "b", "b", "b", "b", "b", "c"]);
        assert_eq!(workers.in_flight(), 7);
        drop(chosen);
        assert_eq!(workers.in_flight(), 0);
        assert!(workers.choose("other", &[]).is_none());
    }

    #[test]
    fn a_worker_that_was_tried_is_not_tried_again() {
        let workers = workers(&[("a", 1.0, 0.0), ("b", 1.0, 9.0)]);
        assert_eq!(workers.choose("m", &["a".into()]).unwrap().address, "b");
        assert!(workers.choose("m", &["a".into(), "b".into()]).is_none());
        workers.forget("a", "gone", &Log::none());
        assert!(!workers.heart_beat("a", &json!(0)), "it is told to register again");
        assert!(workers.heart_beat("b", &json!(1)));
    }

    #[test]
    fn a_silent_worker_is_forgotten() {
        let workers = Workers::new(Duration::ZERO);
        let status = json!({ "model_names": ["m"], "speed": 1, "queue_length": 0 });
        workers.register("a", &status, true, false);
        workers.register("b", &status, false, false);
        std::thread::sleep(Duration::from_millis(2));
        workers.forget_the_silent(&Log::none());
        assert_eq!(workers.addresses().len(), 1, "b does not beat its heart, and need not");
        assert!(!workers.register("c", &json!({}), true, false));
    }
}
