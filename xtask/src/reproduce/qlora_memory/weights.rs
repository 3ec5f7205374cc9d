//! The base model: made from a seed, quantised as it is made, in memory or in a file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use camelid_lora::attach;
use camelid_model::{
    DenseStorage, GeneratedWeights, Llama, LlamaConfig, LoadOptions, LoadedTensor, ModelError, StreamOptions,
    WeightSource, WeightStorage, open_weights, write_packed,
};
use camelid_quant::QuantConfig;
use camelid_train::PeakMemory;

use super::machine::Cleaner;
use super::report::Report;

/// Makes the model with its adapters; what it took goes into the report.
pub fn make(report: &mut Report, cleaner: &Cleaner, memory: &PeakMemory) -> anyhow::Result<Llama> {
    let device = Device::flex().autodiff();
    let settings = report.settings.clone();
    let started = Instant::now();
    let source = Timed::new(GeneratedWeights::new(settings.model.clone(), settings.seed));
    let model = if settings.streamed {
        let folder = cleaner.weights_folder()?;
        let written = write_packed(&source, &QuantConfig::default(), &folder)?;
        report.file_bytes = Some(written.bytes);
        report.write_bytes_per_second = Some(written.bytes as f64 / written.writing_seconds);
        report.time("generation", source.seconds());
        report.time("quantisation", written.seconds - written.waiting_seconds - source.seconds());
        report.time("waiting for the disk while writing", written.waiting_seconds);
        let loading = Instant::now();
        let weights = open_weights(&folder)?;
        let budget = settings.weights_budget.unwrap_or(u64::MAX);
        let options = StreamOptions { budget, embeddings: DenseStorage::Bf16 };
        let model = Llama::load_streamed(weights.as_ref(), &options, &device)?;
        cleaner.remove_weights();
        report.time("opening", loading.elapsed().as_secs_f64());
        model
    } else {
        let options = LoadOptions {
            linears: WeightStorage::Quantized(QuantConfig::default()),
            embeddings: DenseStorage::Bf16.into(),
        };
        let model = Llama::load_with(&source, &options, &device)?;
        report.time("generation", source.seconds());
        report.time("quantisation", started.elapsed().as_secs_f64() - source.seconds());
        model
    };
    report.baseline_bytes = memory.baseline();
    report.made_per_second = settings.model.parameter_count() as f64 / started.elapsed().as_secs_f64();
    report.peak("making the weights", memory.take_peak()?);

    let attaching = Instant::now();
    let model = attach(model, &settings.lora(), settings.seed, &device)?;
    report.time("adapters", attaching.elapsed().as_secs_f64());
    report.peak("adding adapters", memory.take_peak()?);
    report.held_before_step = memory.resident()?;
    Ok(model)
}

/// Generated weights that know how long making them took.
#[derive(Debug)]
struct Timed {
    inner: GeneratedWeights,
    nanoseconds: AtomicU64,
}

impl Timed {
    fn new(inner: GeneratedWeights) -> Self {
        Self { inner, nanoseconds: AtomicU64::new(0) }
    }

    fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

impl WeightSource for Timed {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        self.inner.config()
    }

    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        self.inner.read(name)
    }

    fn shape_in_pieces(&self, name: &str) -> Option<Vec<usize>> {
        self.inner.shape_in_pieces(name)
    }

    fn read_piece(&self, name: &str, first: usize, values: &mut [f32]) -> Result<(), ModelError> {
        let started = Instant::now();
        let outcome = self.inner.read_piece(name, first, values);
        self.nanoseconds.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
