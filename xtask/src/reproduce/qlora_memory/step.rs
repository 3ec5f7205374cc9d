//! The step itself, measured phase by phase.

use std::path::Path;

use burn::tensor::Device;
use camelid_data::Batch;
use camelid_data::tokens::Example;
use camelid_lora::{LoraConfig, attach};
use camelid_model::{GeneratedWeights, Llama, LlamaConfig, LoadOptions, WeightStorage};
use camelid_paged_optim::{AdamWConfig, PagedAdamW, Spill, StateBits};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, MicroBatch, PeakMemory, Sft, Step, StepPhase, Stepped};

use super::report::{PhaseMeasured, Report, Streamed};
use super::{Size, machine};

/// Takes the steps; what they took and gave goes into the report.
pub fn take(mut model: Llama, report: &mut Report, folder: &Path, memory: &PeakMemory) -> anyhow::Result<()> {
    let settings = report.settings.clone();
    let spill = Spill::File(folder.to_owned());
    let mut optim = PagedAdamW::new(AdamWConfig {
        state: settings.optimizer,
        budget: settings.optimizer_budget,
        spill: spill.clone(),
        ..AdamWConfig::default()
    })?;
    let block_inputs = BlockInputPaging { budget: settings.inputs_budget, spill };
    let step = Step { activation_checkpointing: settings.checkpointing, block_inputs, ..checkpointed() };
    let batch = batch(&settings.model, settings.batch, settings.seq, settings.seed)?;
    let micro_batches = [MicroBatch { batch, dropout_seed: Some(settings.seed) }];
    for _ in 0..settings.steps {
        let before = model.stream().map(|stream| stream.traffic()).unwrap_or_default();
        let mut waited = before.wait_seconds;
        let mut phases = Vec::new();
        let mut failed = None;
        let stream = model.stream().cloned();
        let mut ended = |phase: StepPhase| {
            let traffic = stream.as_ref().map(|stream| stream.traffic()).unwrap_or_default();
            match memory.take_peak() {
                Ok(peak) => phases.push((phase, peak, traffic.wait_seconds - waited)),
                Err(error) => failed = failed.take().or(Some(error)),
            }
            waited = traffic.wait_seconds;
        };
        let Stepped { model: after, loss, grad_norm, seconds, .. } =
            step.take(model, &mut optim, &micro_batches, &mut ended)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        model = after;
        report.losses.push(loss);
        report.grad_norms.push(grad_norm);
        report.phases = phases
            .into_iter()
            .zip(seconds)
            .map(|((phase, peak_bytes, waiting_seconds), (_, seconds))| PhaseMeasured {
                phase,
                seconds,
                waiting_seconds,
                planned_bytes: report.planned(phase),
                peak_bytes,
            })
            .collect();
        let peak = report.phases.iter().map(|phase| phase.peak_bytes).max().unwrap_or(0);
        report.peak("the step", peak);
        if let Some(stream) = model.stream() {
            let traffic = stream.traffic();
            report.streamed = Some(Streamed {
                read_bytes: traffic.bytes_read - before.bytes_read,
                read_seconds: traffic.read_seconds - before.read_seconds,
                waits: traffic.waits - before.waits,
                waiting_seconds: traffic.wait_seconds - before.wait_seconds,
                peak_resident_bytes: traffic.peak_resident_bytes,
                mapped_resident_bytes: stream.mapped_resident_bytes().ok(),
            });
        }
    }
    report.page_cache_bytes = machine::page_cache();
    report.optimizer_bytes = optim.traffic().total_bytes;
    report.optimizer_resident_bytes = optim.traffic().resident_bytes;
    Ok(())
}

/// A step as the paper takes it, with activation checkpointing and no block input elsewhere than in memory.
pub fn checkpointed() -> Step<Sft> {
    Step {
        objective: Sft,
        learning_rate: 1e-4,
        max_grad_norm: 0.3,
        activation_checkpointing: true,
        block_inputs: BlockInputPaging::default(),
    }
}

/// Takes a step of a very small model, so that code and threads are in memory before the measured
/// one begins: the plan is of data alone.
pub fn warm_up() -> anyhow::Result<()> {
    let device = Device::flex().autodiff();
    let model = LlamaConfig { num_hidden_layers: 1, ..Size::Nano.model() };
    let source = GeneratedWeights::new(model.clone(), 0);
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let loaded = Llama::load_with(&source, &options, &device)?;
    let loaded = attach(loaded, &LoraConfig::default(), 0, &device)?;
    let step = checkpointed();
    let mut optim = PagedAdamW::new(AdamWConfig { state: StateBits::Bits8, ..AdamWConfig::default() })?;
    let micro_batch = MicroBatch { batch: batch(&model, 1, 16, 0)?, dropout_seed: Some(0) };
    step.take(loaded, &mut optim, &[micro_batch], &mut |_| {})?;
    Ok(())
}

/// Rows of made-up tokens, all of them supervised.
pub fn batch(model: &LlamaConfig, rows: usize, seq: usize, seed: u64) -> anyhow::Result<Batch> {
    let vocabulary = model.vocab_size as u64;
    let mut state = seed;
    let mut token = || {
        // SplitMix64 (Steele et al. 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % vocabulary) as u32
    };
    let examples: Vec<Example> = (0..rows)
        .map(|row| {
            let ids: Vec<u32> = (0..seq).map(|_| token()).collect();
            let labels = ids.iter().map(|id| i64::from(*id)).collect();
            Example { id: format!("row {row}"), ids, labels }
        })
        .collect();
    Ok(Batch::packed(&examples.iter().collect::<Vec<_>>())?)
}
