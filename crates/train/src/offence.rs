//! The batch that broke a run, kept for whoever looks into it.

use std::path::Path;

use camelid_data::Batch;
use camelid_files::write_whole;
use serde_json::json;

use crate::TrainError;
use crate::step::MicroBatch;

/// A loss or gradient that is not a number, and the step in which it appeared.
pub(crate) struct Offence {
    pub(crate) step: usize,
    pub(crate) what: &'static str,
    pub(crate) value: f64,
}

impl Offence {
    /// Writes the micro-batches that may have led to it, each with the names of its examples, and
    /// gives the error that says so. Ids and labels are listed sequence by sequence.
    pub(crate) fn written(
        self,
        run_dir: &Path,
        micro_batches: &[(&MicroBatch<Batch>, &[String])],
    ) -> TrainError {
        let Self { step, what, value } = self;
        let described: Vec<_> = micro_batches
            .iter()
            .map(|(micro, examples)| {
                let Batch { ids, labels, cu_seqlens } = &micro.batch;
                let sequences = || cu_seqlens.windows(2).map(|ends| ends[0]..ends[1]);
                json!({
                    "examples": examples,
                    "dropout_seed": micro.dropout_seed,
                    "ids": sequences().map(|range| &ids[range]).collect::<Vec<_>>(),
                    "labels": sequences().map(|range| &labels[range]).collect::<Vec<_>>(),
                })
            })
            .collect();
        // JSON has no NaN: the value goes in as text.
        let report = json!({ "step": step, "what": what, "value": value.to_string(), "batches": described });
        let path = run_dir.join(format!("non-finite-step-{step:06}.json"));
        match write_whole(&path, report.to_string().as_bytes()) {
            Ok(()) => TrainError::NonFinite { step, what, value, batch: path },
            Err(error) => error.into(),
        }
    }
}
