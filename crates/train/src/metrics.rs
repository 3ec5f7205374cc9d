//! What each step did: records, their file, and the summary of a run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use camelid_files::write_whole;
use serde::{Deserialize, Serialize};

use crate::{EvalLoss, TrainError};

/// One optimizer step: a line of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: usize,
    /// Mean negative log-likelihood over the supervised tokens of the global batch, in nats.
    pub loss: f64,
    /// Learning rate used.
    pub lr: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens of the global batch, padding left out.
    pub tokens: usize,
    /// Tokens that carried loss.
    pub supervised_tokens: usize,
    /// Seconds of the step.
    pub seconds: f64,
    /// `tokens / seconds`.
    pub tokens_per_second: f64,
    /// Resident memory of the process, MiB.
    pub resident_mib: f64,
    /// Its peak, MiB.
    pub peak_mib: f64,
    /// Pages of optimizer state that came back in this step.
    pub pages_in: u64,
    /// Pages that left.
    pub pages_out: u64,
    /// Bytes that came back.
    pub bytes_in: u64,
    /// Bytes that left.
    pub bytes_out: u64,
    /// Updates that waited for a page.
    pub stalls: u64,
    /// Seconds they waited.
    pub stall_seconds: f64,
}

/// An evaluation during a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalPoint {
    /// Steps done before it.
    pub step: usize,
    /// Its result.
    #[serde(flatten)]
    pub loss: EvalLoss,
}

/// A run in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps done, those before a resume included.
    pub steps: usize,
    /// Loss of every step.
    pub losses: Vec<f64>,
    /// Evaluations.
    pub evals: Vec<EvalPoint>,
    /// Median over the steps of tokens per second.
    pub tokens_per_second: f64,
    /// Peak resident memory of the process, MiB.
    pub peak_mib: f64,
    /// Seconds spent on steps, those before a resume included.
    pub seconds: f64,
    /// Tokens trained on, padding left out.
    pub tokens: usize,
    /// Pages of optimizer state brought back.
    pub pages_in: u64,
    /// Pages sent away.
    pub pages_out: u64,
    /// Bytes brought back.
    pub bytes_in: u64,
    /// Bytes sent away.
    pub bytes_out: u64,
    /// Updates that waited for a page.
    pub stalls: u64,
    /// Seconds they waited.
    pub stall_seconds: f64,
}

impl Summary {
    /// Adds a run's records up.
    pub(crate) fn of(records: &[StepRecord], evals: &[EvalPoint]) -> Self {
        let mut rates: Vec<f64> = records.iter().map(|r| r.tokens_per_second).collect();
        rates.sort_by(f64::total_cmp);
        let sum = |field: fn(&StepRecord) -> u64| records.iter().map(field).sum();
        Self {
            steps: records.last().map_or(0, |record| record.step),
            losses: records.iter().map(|r| r.loss).collect(),
            evals: evals.to_vec(),
            tokens_per_second: rates.get(rates.len() / 2).copied().unwrap_or(0.0),
            peak_mib: records.iter().map(|r| r.peak_mib).fold(0.0, f64::max),
            seconds: records.iter().map(|r| r.seconds).sum(),
            tokens: records.iter().map(|r| r.tokens).sum(),
            pages_in: sum(|r| r.pages_in),
            pages_out: sum(|r| r.pages_out),
            bytes_in: sum(|r| r.bytes_in),
            bytes_out: sum(|r| r.bytes_out),
            stalls: sum(|r| r.stalls),
            stall_seconds: records.iter().map(|r| r.stall_seconds).sum(),
        }
    }
}

/// `metrics.jsonl`: one record per line, appended as steps end.
#[derive(Debug)]
pub(crate) struct MetricsFile {
    file: File,
    path: std::path::PathBuf,
}

impl MetricsFile {
    /// Opens the file of a run that goes on after `step`: later records, of steps that will be
    /// done again, and a line torn by a crash are dropped. Returns the records kept.
    pub(crate) fn open(path: &Path, step: usize) -> Result<(Self, Vec<StepRecord>), TrainError> {
        let mut records: Vec<StepRecord> = vec![];
        match std::fs::read_to_string(path) {
            Ok(text) => records.extend(
                text.lines()
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .filter(|record: &StepRecord| record.step <= step),
            ),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(TrainError::file(path, "read")(error)),
        }
        let kept: String = records.iter().map(line).collect();
        write_whole(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::file(path, "open"))?;
        Ok((Self { file, path: path.to_owned() }, records))
    }

    pub(crate) fn append(&mut self, record: &StepRecord) -> Result<(), TrainError> {
        let written = self.file.write_all(line(record).as_bytes());
        written.map_err(TrainError::file(&self.path, "write"))
    }
}

fn line(record: &StepRecord) -> String {
    // Numbers in named fields always serialise.
    serde_json::to_string(record).map_or(String::new(), |json| json + "\n")
}
