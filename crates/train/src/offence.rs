//! The batch that broke a run, kept for whoever looks into it.

use std::path::Path;

use camelid_data::Batch;
use serde_json::json;

use crate::TrainError;
use crate::atomic::write_whole;

/// A micro-batch and what made it.
pub(crate) struct MicroBatch {
    pub(crate) batch: Batch,
    /// Names of its examples, row by row.
    pub(crate) examples: Vec<String>,
    pub(crate) dropout_seed: u64,
}

/// Writes the batches that may have led to a number that is none, and gives the error that says
/// so. Ids and labels are rows; labels are shifted to the positions that predict them.
pub(crate) fn offence(
    run_dir: &Path,
    step: usize,
    what: &'static str,
    value: f64,
    batches: &[&MicroBatch],
) -> TrainError {
    let described: Vec<_> = batches
        .iter()
        .map(|micro| {
            let Batch { ids, labels, seq, .. } = &micro.batch;
            json!({
                "examples": micro.examples,
                "dropout_seed": micro.dropout_seed,
                "ids": ids.chunks(*seq).collect::<Vec<_>>(),
                "labels": labels.chunks(*seq).collect::<Vec<_>>(),
            })
        })
        .collect();
    // JSON has no NaN: the value goes in as text.
    let report = json!({ "step": step, "what": what, "value": value.to_string(), "batches": described });
    let path = run_dir.join(format!("non-finite-step-{step:06}.json"));
    match write_whole(&path, report.to_string().as_bytes()) {
        Ok(()) => TrainError::NonFinite { step, what, value, batch: path },
        Err(error) => error,
    }
}
