//! The loop.

use std::path::{Path, PathBuf};
use std::time::Instant;

use camelid_data::{Batch, Sampler, SamplerKind, TokenizedSet};
use camelid_model::BlockStack;
use camelid_paged_optim::{PagedAdamW, named_trainable_params};

use crate::checkpoint::{Checkpoints, RunState, read_state, read_tensors};
use crate::fingerprint::{data_fingerprint, model_fingerprint};
use crate::metrics::MetricsFile;
use crate::offence::Offence;
use crate::step::{MicroBatch, Stepped};
use crate::tensorboard::EventFile;
use crate::{
    EvalPoint, Interrupt, Memory, Observer, StepRecord, Summary, TrainError, TrainSettings, evaluate,
};

/// Trains every parameter of a model that requires a gradient, step by step.
///
/// Whether that is full fine-tuning, LoRA or QLoRA is how the model was built. The loss of a step
/// is the mean over **all supervised tokens of its global batch** (all micro-batches together).
/// transformers' trainer before 4.46, and QLoRA's script with it, took the mean of the
/// micro-batches' means instead, which weighs tokens of short answers more; with one micro-batch
/// per step the two agree.
///
/// A run keeps everything in its folder: `checkpoints/`, `metrics.jsonl`, an event file for
/// TensorBoard and, after a loss that
/// is not a number, the batch that gave it. [`Trainer::run`] goes on from the newest checkpoint it
/// finds there, and ends with the same bits as a run that was never interrupted; settings may have changed
/// meanwhile where the steps done would have been the same ([`TrainSettings::changes_after`]).
pub struct Trainer<M: BlockStack> {
    model: M,
    settings: TrainSettings,
    train: TokenizedSet,
    eval: Option<TokenizedSet>,
    run_dir: PathBuf,
    observer: Box<dyn Observer>,
    interrupt: Interrupt,
    fresh: RunState,
}

/// How a run ended.
pub struct Outcome<M> {
    /// The model as trained so far.
    pub model: M,
    /// The run in figures.
    pub summary: Summary,
    /// Whether all steps are done; else it was interrupted and can go on.
    pub finished: bool,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
}

impl<M: BlockStack> Trainer<M> {
    /// Checks the settings and the data, and takes the model's fingerprint. `model` must be on a
    /// device with autodiff.
    ///
    /// # Errors
    /// [`TrainError::Setting`], [`TrainError::NothingToTrain`], [`TrainError::EmptyData`].
    pub fn new(
        model: M,
        settings: TrainSettings,
        train: TokenizedSet,
        eval: Option<TokenizedSet>,
        run_dir: &Path,
        observer: Box<dyn Observer>,
    ) -> Result<Self, TrainError> {
        settings.check()?;
        if named_trainable_params(&model).is_empty() {
            return Err(TrainError::NothingToTrain);
        }
        if train.examples.is_empty() {
            return Err(TrainError::EmptyData);
        }
        let data = data_fingerprint(&train.examples);
        let fresh = RunState::new(&settings, model_fingerprint(&model), data);
        // The fingerprint has read every weight, those too that stream.
        model.release_strays()?;
        let (run_dir, interrupt) = (run_dir.to_owned(), Interrupt::new());
        Ok(Self { model, settings, train, eval, run_dir, observer, interrupt, fresh })
    }

    /// Lets `interrupt` (for one, [`Interrupt::from_ctrl_c`]) end the run after a step.
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Ties the run's checkpoints to `digest`: one made under another digest is refused.
    ///
    /// The trainer knows its own settings, the parameters and the data. What else shapes the run,
    /// such as `lora_alpha`, `use_rslora` and `lora_dropout`, which are no parameters, goes in
    /// here: for one, as a digest of the experiment's text. Default empty.
    pub fn belonging_to(mut self, digest: impl Into<String>) -> Self {
        self.fresh.belongs_to = digest.into();
        self
    }

    /// Steps that the newest checkpoint in the run's folder has done; 0 where there is none.
    ///
    /// # Errors
    /// As [`Self::run`], for a checkpoint that this run cannot go on from.
    pub fn steps_done(&self) -> Result<usize, TrainError> {
        let checkpoints = Checkpoints::open(&self.run_dir, self.settings.keep_last)?;
        match checkpoints.list()?.pop() {
            None => Ok(0),
            Some((_, path)) => Ok(read_state(&path, &self.fresh)?.step),
        }
    }

    /// Trains until the last step or until interrupted.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when the folder holds a checkpoint of another model, training
    /// set or experiment; [`TrainError::NonFinite`]; [`TrainError::Save`] and
    /// [`TrainError::File`] when the disk is full; the optimizer's errors. Earlier checkpoints
    /// survive all of them.
    pub fn run(self) -> Result<Outcome<M>, TrainError> {
        Memory::reset_peak();
        let checkpoints = Checkpoints::open(&self.run_dir, self.settings.keep_last)?;
        let mut run = Run::start_or_resume(self, &checkpoints)?;
        let max_steps = run.trainer.settings.max_steps;
        run.trainer.observer.start(run.state.step, max_steps);
        loop {
            let done = run.state.step >= max_steps;
            let stop = done || run.trainer.interrupt.requested();
            run.evaluate_when_due(done)?;
            if stop || run.due(run.trainer.settings.save_every) {
                run.save(&checkpoints)?;
            }
            if stop {
                return Ok(run.end(done));
            }
            run = run.step()?;
        }
    }
}

/// The micro-batches of a step, and the names of the examples of each.
type MicroBatches = (Vec<MicroBatch<Batch>>, Vec<Vec<String>>);

/// A run under way.
struct Run<M: BlockStack> {
    trainer: Trainer<M>,
    optim: PagedAdamW,
    sampler: Sampler,
    state: RunState,
    metrics: MetricsFile,
    events: EventFile,
    records: Vec<StepRecord>,
    last_checkpoint: PathBuf,
}

impl<M: BlockStack> Run<M> {
    fn start_or_resume(mut trainer: Trainer<M>, checkpoints: &Checkpoints) -> Result<Self, TrainError> {
        let settings = &trainer.settings;
        let optimizer = settings.optimizer(&trainer.run_dir);
        let mut sampler = trainer.sampler()?;
        let mut last_checkpoint = PathBuf::new();
        let (state, optim) = match checkpoints.list()?.pop() {
            None => (trainer.fresh.clone(), PagedAdamW::new(optimizer)?),
            Some((_, path)) => {
                let mut state = read_state(&path, &trainer.fresh)?;
                state.settings = settings.clone();
                state.max_steps = settings.max_steps;
                sampler.seek(state.sampler)?;
                let (model, optim) = read_tensors(&path, trainer.model, optimizer)?;
                trainer.model = model;
                last_checkpoint = path;
                (state, optim)
            }
        };
        let (metrics, records) = MetricsFile::open(&trainer.run_dir.join("metrics.jsonl"), state.step)?;
        let events = EventFile::open(&trainer.run_dir, state.step)?;
        Ok(Self { trainer, optim, sampler, state, metrics, events, records, last_checkpoint })
    }

    /// One optimizer step over the next global batch.
    fn step(mut self) -> Result<Self, TrainError> {
        let started = Instant::now();
        let traffic = self.optim.traffic();
        let step = self.state.step + 1;
        let (micro_batches, names) = self.next_micro_batches(step)?;

        let Trainer { settings, run_dir, .. } = &self.trainer;
        let lr = settings.lr_at(self.state.step);
        let taken =
            settings.step(lr, run_dir).take(self.trainer.model, &mut self.optim, &micro_batches, &mut |_| {});
        let Stepped { model, loss, terms, grad_norm, .. } = taken.map_err(|error| match error {
            TrainError::NonFiniteStep { what, value, micro_batch } => {
                let all: Vec<_> = micro_batches.iter().zip(names.iter().map(Vec::as_slice)).collect();
                let guilty = micro_batch.map_or(&all[..], |i| &all[i..=i]);
                Offence { step, what, value }.written(&self.trainer.run_dir, guilty)
            }
            other => other,
        })?;
        self.trainer.model = model;

        self.state.step = step;
        self.state.sampler = self.sampler.position();
        let tokens: usize = micro_batches.iter().map(|micro| micro.batch.tokens()).sum();
        let (seconds, memory) = (started.elapsed().as_secs_f64(), Memory::now());
        let traffic = self.optim.traffic().since(&traffic);
        let record = StepRecord {
            step,
            loss,
            lr,
            grad_norm,
            tokens,
            supervised_tokens: terms,
            seconds,
            tokens_per_second: tokens as f64 / seconds,
            resident_mib: memory.resident_mib,
            peak_mib: memory.peak_mib,
            pages_in: traffic.pages_in,
            pages_out: traffic.pages_out,
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            stalls: traffic.stalls,
            stall_seconds: traffic.stall_seconds,
        };
        self.metrics.append(&record)?;
        self.events.step(&record)?;
        self.trainer.observer.step(&record);
        self.records.push(record);
        Ok(self)
    }

    /// The next global batch, cut into micro-batches, and the names of their examples. Those
    /// without any supervised token are left out: they would add nothing.
    fn next_micro_batches(&mut self, step: usize) -> Result<MicroBatches, TrainError> {
        let indices = self.sampler.next_batch();
        let examples = &self.trainer.train.examples;
        let names_of = |indices: &[usize]| indices.iter().map(|i| examples[*i].id.clone()).collect();
        let (mut micro_batches, mut names) = (vec![], vec![]);
        for (i, indices) in indices.chunks(self.trainer.settings.micro_batch_size).enumerate() {
            let sequences: Vec<_> = indices.iter().map(|i| &examples[*i]).collect();
            let batch = Batch::packed(&sequences)?;
            if batch.supervised_tokens() > 0 {
                let dropout_seed = Some(dropout_seed(self.trainer.settings.seed, step, i));
                micro_batches.push(MicroBatch { batch, dropout_seed });
                names.push(names_of(indices));
            }
        }
        match micro_batches.is_empty() {
            true => Err(TrainError::NothingSupervised { step, examples: names_of(&indices) }),
            false => Ok((micro_batches, names)),
        }
    }

    fn due(&self, every: usize) -> bool {
        self.state.step > 0 && every > 0 && self.state.step.is_multiple_of(every)
    }

    fn evaluate_when_due(&mut self, done: bool) -> Result<(), TrainError> {
        let step = self.state.step;
        let known = self.state.evals.iter().any(|point| point.step == step);
        let due = done || self.due(self.trainer.settings.eval_every);
        let Some(set) = &self.trainer.eval else { return Ok(()) };
        if known || !due {
            return Ok(());
        }
        let rows = self.trainer.settings.micro_batch_size;
        let point = EvalPoint { step, loss: evaluate(&self.trainer.model, set, rows)? };
        self.state.evals.push(point);
        self.events.eval(&point)?;
        self.trainer.observer.eval(&point);
        Ok(())
    }

    fn save(&mut self, checkpoints: &Checkpoints) -> Result<(), TrainError> {
        let path = checkpoints.save(&self.state, &self.trainer.model, &mut self.optim)?;
        self.trainer.observer.saved(&path);
        self.last_checkpoint = path;
        Ok(())
    }

    fn end(mut self, finished: bool) -> Outcome<M> {
        let (step, of) = (self.state.step, self.trainer.settings.max_steps);
        let advice = format!(
            "stopped after step {step} of {of}; run the same command again to go on from {}",
            self.last_checkpoint.display()
        );
        self.trainer.observer.end((!finished).then_some(advice.as_str()));
        Outcome {
            model: self.trainer.model,
            summary: Summary::of(&self.records, &self.state.evals),
            finished,
            checkpoint: self.last_checkpoint,
        }
    }
}

impl<M: BlockStack> Trainer<M> {
    /// The order of the examples. A batch of the sampler is a global batch.
    fn sampler(&self) -> Result<Sampler, TrainError> {
        let kind = match self.settings.group_by_length {
            true => SamplerKind::LengthGrouped,
            false => SamplerKind::Random,
        };
        let lengths = self.train.examples.iter().map(|example| example.ids.len()).collect();
        let rows = self.settings.micro_batch_size.saturating_mul(self.settings.grad_accum);
        Ok(Sampler::new(kind, lengths, rows, self.settings.seed)?)
    }
}

/// Seed of the dropout masks of a micro-batch: a function of its place in the run alone, so that
/// recomputation and resuming meet the same masks. (SplitMix64's finaliser, Steele et al. 2014.)
fn dropout_seed(seed: u64, step: usize, micro_batch: usize) -> u64 {
    [step as u64, micro_batch as u64].into_iter().fold(seed, |mixed, next| {
        let mut z = mixed.wrapping_add(next).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}
