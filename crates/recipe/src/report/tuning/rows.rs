//! The rows of the report's tables and plots.

use serde::Serialize;

/// One arm, averaged over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct ArmRow {
    /// Name, e.g. `qlora-nf4-dq`.
    pub name: String,
    /// What it is, in words.
    pub label: String,
    /// Seeds that were run.
    pub seeds: Vec<u64>,
    /// Trainable parameters.
    pub trainable: usize,
    /// Bytes of the model's weights as stored.
    pub weight_bytes: u64,
    /// Test loss before tuning, nats per supervised token.
    pub loss_before: f64,
    /// Standard error of `loss_before` over the conversations.
    pub loss_error: f64,
    /// Test loss after tuning, mean over seeds.
    pub loss_after: f64,
    /// Half the range over seeds (zero with one seed).
    pub loss_spread: f64,
    /// Share of exact matches before tuning, where the scale has such tasks.
    pub match_before: Option<f64>,
    /// The same after tuning, mean over seeds.
    pub match_after: Option<f64>,
    /// Standard error of one seed's `match_after` over its questions.
    pub match_error: Option<f64>,
    /// Median training speed.
    pub tokens_per_second: f64,
    /// Peak resident memory of the process while the arm ran, MiB.
    pub peak_memory_mib: f64,
    /// Training seconds, mean over seeds.
    pub seconds: f64,
}

/// One storage format of the untuned base.
#[derive(Debug, Clone, Serialize)]
pub struct FormatRow {
    /// E.g. `nf4-dq`.
    pub name: String,
    /// Stored bits per parameter of the packed layers.
    pub bits: f64,
    /// Root-mean-square error over root mean square, mean over layers.
    pub relative_error: f64,
    /// Loss on held-out text, nats per token.
    pub loss: f64,
    /// Standard error of its difference to f32.
    pub loss_error: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
}

/// A training-loss curve.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// The arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// Loss of steps 1, 2, 3, …
    pub losses: Vec<f64>,
}

/// One prompt with its answers.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// What was asked.
    pub prompt: String,
    /// The right answer or the human reference, where there is one.
    pub expected: String,
    /// The untuned base's answer.
    pub before: String,
    /// The tuned model's answer.
    pub after: String,
}

/// Planned memory of a QLoRA step at one scale, in GiB by part.
#[derive(Debug, Clone, Serialize)]
pub struct PlanRow {
    /// Scale or model.
    pub name: String,
    /// Part → GiB.
    pub parts: Vec<(String, f64)>,
    /// Sum.
    pub total: f64,
}
