//! Seconds of a block, computed from memory and read from the disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

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
use camelid_train::{MicroBatch, StepPhase};
use serde::Serialize;

use super::super::machine::Cleaner;
use super::super::report::Settings;
use super::super::step::{batch, checkpointed, warm_up};

/// Turns that every rank and length takes; medians count. The machine may be faster in one minute than in the
/// next: by turns, what is compared is measured in the same one.
const ROUNDS: usize = 3;

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
    // What one model has in memory the system does not read again for another: blocks that are to be read
    // have a file of their own.
    let (kept, read) = (folder.join("kept"), folder.join("read"));
    for folder in [&kept, &read] {
        std::fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    println!("writing {} blocks", settings.model.num_hidden_layers);
    let source = GeneratedWeights::new(settings.model.clone(), settings.seed);
    write_packed(&source, &QuantConfig::default(), &kept)?;
    copy(&kept, &read)?;
    let compute = ProductRates::measure(&Device::flex()).fastest();
    let block_bytes = super::super::plan(settings)?.streamed_block;
    let new = |folder: &Path, rank, budget| -> anyhow::Result<Walker> {
        let mut walker = Walker::new(settings, open_weights(folder)?.as_ref(), rank, compute, budget)?;
        // The first step brings blocks into memory and the optimizer's state into being.
        walker.step(lengths[0])?;
        Ok(walker)
    };
    let mut computing: Vec<Walker> =
        ranks.iter().map(|&rank| new(&kept, rank, u64::MAX)).collect::<anyhow::Result<_>>()?;
    let mut reading = new(&read, settings.rank, 2 * block_bytes)?;
    let mut computed = vec![Vec::new(); ranks.len() * lengths.len()];
    let mut streamed = vec![Vec::new(); lengths.len()];
    for round in 1..=ROUNDS {
        for (at, &tokens) in lengths.iter().enumerate() {
            for (of_rank, walker) in computing.iter_mut().enumerate() {
                computed[of_rank * lengths.len() + at].push(walker.step(tokens)?);
            }
            streamed[at].push(reading.step(tokens)?);
            println!("round {round} of {ROUNDS}: {tokens} tokens");
        }
    }
    cleaner.remove_weights();
    let blocks = settings.model.num_hidden_layers;
    let each = ranks.iter().flat_map(|&rank| lengths.iter().map(move |&tokens| (rank, tokens)));
    Ok(Measured {
        compute: compute.to_string(),
        blocks,
        block_bytes,
        computed: each
            .zip(&computed)
            .map(|((rank, tokens), steps)| Times::of(rank, tokens, steps, blocks))
            .collect(),
        streamed: lengths
            .iter()
            .zip(&streamed)
            .map(|(&tokens, steps)| Streamed::of(tokens, steps, blocks))
            .collect(),
    })
}

/// The files of a folder into another, on the disk before this returns.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in from.read_dir().with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let copied = to.join(path.file_name().unwrap_or_default());
        let whole = std::fs::copy(&path, &copied).and_then(|_| File::open(&copied)?.sync_all());
        whole.with_context(|| format!("cannot copy {} to {}", path.display(), copied.display()))?;
    }
    Ok(())
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
    /// Bytes per second while the reading thread read.
    reading: f64,
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
        let step = checkpointed();
        let batch = batch(&self.settings.model, 1, tokens, self.settings.seed)?;
        let micro_batches = [MicroBatch { batch, dropout_seed: Some(self.settings.seed) }];
        let mut walked = Walked::default();
        let before = self.stream.traffic();
        let mut waited_before = before.wait_seconds;
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
        let after = self.stream.traffic();
        walked.reading = (after.bytes_read - before.bytes_read) as f64
            / (after.read_seconds - before.read_seconds).max(1e-9);
        Ok(walked)
    }
}

impl Times {
    /// Of steps with every block in memory.
    fn of(rank: usize, tokens: usize, steps: &[Walked], blocks: usize) -> Self {
        // The last block is computed with the head.
        let most = blocks as f64 - 1.0;
        Self {
            rank,
            tokens,
            forward: median(steps, |step| step.passed.forward) / most,
            backward: median(steps, |step| step.passed.backward) / most,
            head: median(steps, |step| step.passed.head),
            optimizer: median(steps, |step| step.passed.optimizer) / blocks as f64,
        }
    }
}

impl Streamed {
    /// Of steps with the two blocks that were used last in memory: the others are read once each way.
    fn of(tokens: usize, steps: &[Walked], blocks: usize) -> Self {
        let (most, read) = (blocks as f64 - 1.0, blocks as f64 - 2.0);
        // The last block is waited for on the way forward, in the phase of the head.
        let wait_forward = |step: &Walked| (step.waited.forward + step.waited.head) / read;
        let wait_backward = |step: &Walked| step.waited.backward / read;
        let forward = |step: &Walked| (step.passed.forward - step.waited.forward) / most + wait_forward(step);
        let backward =
            |step: &Walked| (step.passed.backward - step.waited.backward) / most + wait_backward(step);
        let waiting =
            |step: &Walked| (wait_forward(step) + wait_backward(step)) / (forward(step) + backward(step));
        Self {
            tokens,
            forward: median(steps, forward),
            backward: median(steps, backward),
            reading: median(steps, |step| step.reading),
            waiting: median(steps, waiting),
        }
    }
}

fn median(steps: &[Walked], of: impl Fn(&Walked) -> f64) -> f64 {
    let mut values: Vec<f64> = steps.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
