//! What a finished arm or format leaves behind, and where: one JSON file each,
//! written whole, reused when everything that determines it is the same.

use std::path::Path;

use anyhow::Context;
use camelid_eval::exact_match::Answer;
use camelid_train::ExampleLoss;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A tuned arm, one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArmOutcome {
    /// Digest of all that determines it.
    pub key: String,
    /// The arm's name.
    pub arm: String,
    /// The seed of adapters, batches and dropout.
    pub seed: u64,
    /// Trainable parameters.
    pub trainable: usize,
    /// Bytes of the weights as held.
    pub weight_bytes: u64,
    /// Held-out loss after tuning, one entry a conversation.
    pub losses: Vec<ExampleLoss>,
    /// Answers to the questions after tuning.
    pub answers: Vec<Answer>,
    /// Replies to the sample prompts after tuning.
    pub samples: Vec<String>,
    /// Training loss of every step.
    pub step_losses: Vec<f64>,
    /// Median training speed.
    pub tokens_per_second: f64,
    /// Peak resident memory of the arm's own process, MiB.
    pub peak_memory_mib: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Pages of optimizer state moved in and out.
    pub pages_moved: u64,
}

/// The untuned base in one storage format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FormatOutcome {
    /// Digest of all that determines it.
    pub key: String,
    /// E.g. `nf4-dq`.
    pub name: String,
    /// Bits per parameter of the packed layers, constants included; 32 or 16 when dense.
    pub bits: f64,
    /// Bits per parameter of the constants alone.
    pub constant_bits: f64,
    /// RMS error over RMS of each packed layer; empty when dense.
    pub layer_errors: Vec<f64>,
    /// Held-out loss, one entry a conversation.
    pub losses: Vec<ExampleLoss>,
    /// Loss on held-out text of the base's own kind.
    pub text_losses: Vec<ExampleLoss>,
    /// Answers to the questions.
    pub answers: Vec<Answer>,
    /// Replies to the sample prompts.
    pub samples: Vec<String>,
    /// Bytes of the weights as held.
    pub weight_bytes: u64,
}

/// Outcomes that know what determined them.
pub trait Keyed: Serialize + DeserializeOwned {
    /// That digest.
    fn key(&self) -> &str;
}

impl Keyed for ArmOutcome {
    fn key(&self) -> &str {
        &self.key
    }
}

impl Keyed for FormatOutcome {
    fn key(&self) -> &str {
        &self.key
    }
}

/// The outcome in `path`, if there is one and its key is `key`.
pub fn reuse<T: Keyed>(path: &Path, key: &str) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let outcome: T = serde_json::from_slice(&bytes).ok()?;
    (outcome.key() == key).then_some(outcome)
}

/// Writes an outcome whole or not at all.
pub fn keep<T: Keyed>(path: &Path, outcome: &T) -> anyhow::Result<()> {
    let directory = path.parent().context("an outcome lies in a directory")?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(camelid_files::write_whole(path, &serde_json::to_vec_pretty(outcome)?)?)
}
