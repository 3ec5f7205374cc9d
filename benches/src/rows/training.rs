//! Steps of training on 4 sequences of 256 tokens, by the trainer.

use std::sync::mpsc::{Receiver, Sender, channel};

use camelid_data::{Example, TokenizedSet};
use camelid_kernels::ComputeType;
use camelid_lora::{LoraConfig, attach};
use camelid_model::{DenseStorage, Llama};
use camelid_train::{Observer, StepRecord, TrainSettings, Trainer};

use super::{Prepared, RANK, SEQUENCE, SEQUENCES};
use crate::{BenchError, device, llama_110m};

/// NF4 with adapters on every linear layer; the frozen embedding in bf16.
pub(super) fn qlora(activation_checkpointing: bool, compute: ComputeType) -> Result<Prepared, BenchError> {
    stepwise(activation_checkpointing, move || {
        let device = device()?.autodiff();
        let lora = LoraConfig { r: RANK, lora_alpha: 32.0, ..LoraConfig::default() };
        let model = llama_110m::packed(DenseStorage::Bf16, &device)?;
        Ok(attach(model, &lora, 0, &device)?.with_compute_type(compute))
    })
}

pub(super) fn full() -> Result<Prepared, BenchError> {
    stepwise(false, || Ok(llama_110m::dense(&device()?.autodiff())))
}

/// Runs the trainer in a thread of its own, one step at a time.
fn stepwise(
    activation_checkpointing: bool,
    model: impl FnOnce() -> Result<Llama, BenchError> + Send + 'static,
) -> Result<Prepared, BenchError> {
    let (go, gone) = channel();
    let (send_step, steps) = channel();
    std::thread::spawn(move || {
        let turns = Turns { gone, steps: send_step.clone() };
        if let Err(error) = model().and_then(|model| train(model, activation_checkpointing, turns)) {
            // A caller that is gone needs no reason.
            let _ = send_step.send(Err(error));
        }
    });
    let ended = || BenchError::TrainingEnded("its thread is gone".to_owned());
    Ok(Prepared::new(move || {
        go.send(()).map_err(|_| ended())?;
        steps.recv().map_err(|_| ended())?
    }))
}

fn train(model: Llama, activation_checkpointing: bool, turns: Turns) -> Result<(), BenchError> {
    let settings = TrainSettings {
        learning_rate: 1e-4,
        warmup_ratio: 0.0,
        max_steps: 1_000_000,
        micro_batch_size: SEQUENCES,
        grad_accum: 1,
        max_grad_norm: 0.0,
        activation_checkpointing,
        group_by_length: false,
        save_every: 0,
        ..TrainSettings::default()
    };
    let vocabulary = model.config().vocab_size;
    let run_dir = tempfile::tempdir()?;
    let data = examples(vocabulary as u32);
    // The model is moved in: nothing else may hold its parameters when they are updated.
    Trainer::new(model, settings, data, None, run_dir.path(), Box::new(turns))?.run()?;
    Ok(())
}

/// Sequences of made-up tokens, all of them learnt.
fn examples(vocabulary: u32) -> TokenizedSet {
    let example = |row: usize| {
        let first = (row * SEQUENCE) as u32;
        let ids: Vec<u32> =
            (first..first + SEQUENCE as u32).map(|i| i.wrapping_mul(0x9e37_79b1) % vocabulary).collect();
        let labels = ids.iter().map(|&id| i64::from(id)).collect();
        Example { id: row.to_string(), ids, labels }
    };
    TokenizedSet { examples: (0..SEQUENCES).map(example).collect(), report: Default::default() }
}

/// Holds the trainer until the next step is asked for.
struct Turns {
    gone: Receiver<()>,
    steps: Sender<Result<f64, BenchError>>,
}

impl Turns {
    fn wait(&self) {
        if self.gone.recv().is_err() {
            // Nobody asks any more. Ending the run would write a checkpoint of everything;
            // unwinding the thread frees it.
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

impl Observer for Turns {
    fn start(&mut self, _step: usize, _max_steps: usize) {
        self.wait();
    }

    fn step(&mut self, record: &StepRecord) {
        // Where nobody receives, `wait` ends the run.
        let _ = self.steps.send(Ok(record.seconds));
        self.wait();
    }
}
