//! Seconds of a block, computed from memory and read from the disk.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use burn::tensor::Device;
use camelid_kernels::{ComputeType, ProductRates};
use camelid_lora::{LoraConfig, attach};
use camelid_model::{
    BlockStream, DenseStorage, GeneratedWeights, Llama, StreamOptions, WeightSource, open_weights,
    write_packed,
};
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, MicroBatch, Sft, Step, StepPhase};
use serde::Serialize;

use super::super::machine::Cleaner;
use super::super::report::Settings;
use super::super::step::{batch, warm_up};

/// A step is repeated until this much time has passed, a few times at most.
const ENOUGH_SECONDS: f64 = 4.0;
const MOST_STEPS: usize = 3;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What products were computed in: the faster on this machine.
    pub compute: String,
    /// Blocks of the file.
    pub blocks: usize,
    /// Bytes of one of them.
    pub block_bytes: u64,
    /// With all blocks in memory.
    pub computed: Vec<Times>,
    /// With two blocks in memory and the others read, at the middle rank.
    pub streamed: Vec<Streamed>,
}

/// Seconds of a step's parts, medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// Rank of the adapters.
    pub rank: usize,
    /// Tokens of the row.
    pub tokens: usize,
    /// One block on the way forward.
    pub forward: f64,
    /// One block on the way back, computed anew.
    pub backward: f64,
    /// Final norm, head and loss, and the last block both ways.
    pub head: f64,
    /// The update of one block's adapters.
    pub optimizer: f64,
}

/// The same with blocks read from the disk.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Streamed {
    /// Tokens of the row.
    pub tokens: usize,
    /// One block that is read, on the way forward: what it took with the wait for it.
    pub forward: f64,
    /// The same on the way back.
    pub backward: f64,
    /// Bytes per second while the reading thread read.
    pub reading: f64,
    /// The share of both in which the cores waited for the disk.
    pub waiting: f64,
}

/// Writes the blocks and times them.
pub fn blocks(
    settings: &Settings,
    cleaner: &Cleaner,
    lengths: &[usize],
    ranks: &[usize],
) -> anyhow::Result<Measured> {
    warm_up()?;
    let folder = cleaner.weights_folder()?;
    println!("writing {} blocks", settings.model.num_hidden_layers);
    let source = GeneratedWeights::new(settings.model.clone(), settings.seed);
    write_packed(&source, &QuantConfig::default(), &folder)?;
    let weights = open_weights(&folder)?;
    let compute = ProductRates::measure(&Device::flex()).fastest();
    let block_bytes = super::super::plan(settings)?.streamed_block;
    let mut measured = Measured {
        compute: compute.to_string(),
        blocks: settings.model.num_hidden_layers,
        block_bytes,
        computed: Vec::new(),
        streamed: Vec::new(),
    };
    for &rank in ranks {
        let mut walker = Walker::new(settings, weights.as_ref(), rank, compute, u64::MAX)?;
        walker.step(lengths[0])?;
        for &tokens in lengths {
            let times = walker.computed(rank, tokens)?;
            println!(
                "rank {rank}, {tokens} tokens: {:.3} s forward, {:.3} s back",
                times.forward, times.backward
            );
            measured.computed.push(times);
        }
    }
    let two_blocks = 2 * block_bytes;
    let mut walker = Walker::new(settings, weights.as_ref(), settings.rank, compute, two_blocks)?;
    walker.step(lengths[0])?;
    for &tokens in lengths {
        let streamed = walker.streamed(tokens)?;
        println!(
            "streamed, {tokens} tokens: {:.3} s forward, {:.3} s back, {:.0} MB/s, {:.0} % waiting",
            streamed.forward,
            streamed.backward,
            streamed.reading / 1e6,
            100.0 * streamed.waiting
        );
        measured.streamed.push(streamed);
    }
    cleaner.remove_weights();
    Ok(measured)
}

/// A model that takes one step after the other.
struct Walker {
    model: Option<Llama>,
    stream: Arc<BlockStream>,
    optim: PagedAdamW,
    settings: Settings,
}

/// A figure of each phase, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Phases {
    forward: f64,
    head: f64,
    backward: f64,
    optimizer: f64,
}

/// One step.
#[derive(Clone, Copy, Debug, Default)]
struct Walked {
    passed: Phases,
    /// Of it waiting for the disk.
    waited: Phases,
}

impl Phases {
    fn add(&mut self, phase: StepPhase, seconds: f64) {
        *match phase {
            StepPhase::Forward => &mut self.forward,
            StepPhase::Head => &mut self.head,
            StepPhase::Backward => &mut self.backward,
            StepPhase::Optimizer => &mut self.optimizer,
        } += seconds;
    }
}

impl Walker {
    /// Blocks in `budget` bytes of memory.
    fn new(
        settings: &Settings,
        weights: &dyn WeightSource,
        rank: usize,
        compute: ComputeType,
        budget: u64,
    ) -> anyhow::Result<Self> {
        let device = Device::flex().autodiff();
        let options = StreamOptions { budget, embeddings: DenseStorage::Bf16 };
        let model = Llama::load_streamed(weights, &options, &device)?;
        let stream = model.stream().cloned().context("a streamed model has no stream")?;
        let lora = LoraConfig { r: rank, ..settings.lora() };
        let model = attach(model, &lora, settings.seed, &device)?.with_compute_type(compute);
        let optim = PagedAdamW::new(AdamWConfig { state: settings.optimizer, ..AdamWConfig::default() })?;
        Ok(Self { model: Some(model), stream, optim, settings: settings.clone() })
    }

    fn step(&mut self, tokens: usize) -> anyhow::Result<Walked> {
        let step = Step {
            objective: Sft,
            learning_rate: 1e-4,
            max_grad_norm: 0.3,
            activation_checkpointing: true,
            block_inputs: BlockInputPaging::default(),
        };
        let batch = batch(&self.settings.model, 1, tokens, self.settings.seed)?;
        let micro_batches = [MicroBatch { batch, dropout_seed: Some(self.settings.seed) }];
        let mut walked = Walked::default();
        let mut waited_before = self.stream.traffic().wait_seconds;
        let stream = self.stream.clone();
        let mut ended = |phase: StepPhase| {
            let now = stream.traffic().wait_seconds;
            walked.waited.add(phase, now - waited_before);
            waited_before = now;
        };
        let model = self.model.take().context("a step before failed")?;
        let done = step.take(model, &mut self.optim, &micro_batches, &mut ended)?;
        self.model = Some(done.model);
        for (phase, seconds) in done.seconds {
            walked.passed.add(phase, seconds);
        }
        Ok(walked)
    }

    fn steps(&mut self, tokens: usize) -> anyhow::Result<Vec<Walked>> {
        let started = Instant::now();
        let mut steps = Vec::new();
        while steps.len() < MOST_STEPS
            && (steps.is_empty() || started.elapsed().as_secs_f64() < ENOUGH_SECONDS)
        {
            steps.push(self.step(tokens)?);
        }
        Ok(steps)
    }

    /// With every block in memory, where [`Walker::step`] has brought it.
    fn computed(&mut self, rank: usize, tokens: usize) -> anyhow::Result<Times> {
        let steps = self.steps(tokens)?;
        let blocks = self.settings.model.num_hidden_layers as f64;
        // All blocks but the last, which is computed with the head.
        let most = blocks - 1.0;
        Ok(Times {
            rank,
            tokens,
            forward: median(&steps, |step| step.passed.forward) / most,
            backward: median(&steps, |step| step.passed.backward) / most,
            head: median(&steps, |step| step.passed.head),
            optimizer: median(&steps, |step| step.passed.optimizer) / blocks,
        })
    }

    /// With the two blocks that were used last in memory: the others are read once each way.
    fn streamed(&mut self, tokens: usize) -> anyhow::Result<Streamed> {
        let before = self.stream.traffic();
        let steps = self.steps(tokens)?;
        let after = self.stream.traffic();
        let blocks = self.settings.model.num_hidden_layers as f64;
        let (most, read) = (blocks - 1.0, blocks - 2.0);
        // The last block is waited for on the way forward, in the phase of the head.
        let wait_forward = |step: &Walked| (step.waited.forward + step.waited.head) / read;
        let wait_backward = |step: &Walked| step.waited.backward / read;
        let forward = |step: &Walked| (step.passed.forward - step.waited.forward) / most + wait_forward(step);
        let backward =
            |step: &Walked| (step.passed.backward - step.waited.backward) / most + wait_backward(step);
        let waiting =
            |step: &Walked| (wait_forward(step) + wait_backward(step)) / (forward(step) + backward(step));
        Ok(Streamed {
            tokens,
            forward: median(&steps, forward),
            backward: median(&steps, backward),
            reading: (after.bytes_read - before.bytes_read) as f64
                / (after.read_seconds - before.read_seconds),
            waiting: median(&steps, waiting),
        })
    }
}

fn median(steps: &[Walked], of: impl Fn(&Walked) -> f64) -> f64 {
    let mut values: Vec<f64> = steps.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
