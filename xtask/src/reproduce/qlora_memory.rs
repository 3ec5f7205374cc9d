//! The QLoRA paper's headline, memory: one step of a 33B or 65B model on a small machine
//! (Dettmers et al. 2023, sections 1 and 3).
//!
//! The weights have the true shapes and made-up values, so nothing is downloaded: what a step
//! holds does not depend on what the weights say.

mod balance;
mod bytes;
mod machine;
mod report;
mod size;
mod step;
mod weights;

use std::path::PathBuf;

use anyhow::{Context, bail};
use camelid_lora::LoraConfig;
use camelid_model::{DenseStorage, WeightStorage};
use camelid_quant::QuantConfig;
use camelid_train::{MemoryPlan, PeakMemory, StateBits, StepShape};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::machine::Cleaner;
use self::report::{Report, Settings};
pub use self::size::Size;
use super::Ending;

/// What has to stay free on the disk beside the weights.
const DISK_RESERVE: u64 = 1 << 30;
/// What the process holds beside the plan's parts: code, threads, the allocator's slack.
const PROCESS_RESERVE: u64 = 256 << 20;
/// What a machine needs beside the process.
const MEMORY_RESERVE: u64 = 512 << 20;

/// Options of the memory recipe.
#[derive(Args, Clone)]
pub struct QloraMemoryArguments {
    /// The model's shapes
    #[arg(long, value_enum)]
    pub size: Size,
    /// Most memory the process may hold, as in 16GiB [default: 24GiB, with --stream 16GiB]
    #[arg(long, value_name = "SIZE", value_parser = machine::parse_bytes)]
    pub budget: Option<u64>,
    /// Keep the base weights in a file and stream them block by block [default for 65b]
    #[arg(long)]
    pub stream: bool,
    /// Keep the base weights in memory [default but for 65b]
    #[arg(long, conflicts_with = "stream")]
    pub in_memory: bool,
    /// Most memory for streamed weights [default: what the budget leaves]
    #[arg(long, value_name = "SIZE", value_parser = machine::parse_bytes)]
    pub weights_budget: Option<u64>,
    /// Most memory for saved block inputs; the rest waits in a file
    #[arg(long, value_name = "SIZE", value_parser = machine::parse_bytes)]
    pub inputs_budget: Option<u64>,
    /// Rows of the batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub batch: u32,
    /// Tokens of a row
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=2048))]
    pub seq: u32,
    /// Rank of the adapters on all linear layers
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub rank: u32,
    /// Width of the optimizer's state
    #[arg(long, value_parser = optimizer(), default_value_t = StateBits::Bits8)]
    pub optimizer: StateBits,
    /// Most memory for optimizer state; the rest waits in a file
    #[arg(long, value_name = "SIZE", value_parser = machine::parse_bytes)]
    pub optimizer_budget: Option<u64>,
    /// Keep all activations instead of recomputing each block
    #[arg(long, conflicts_with = "stream")]
    pub no_checkpointing: bool,
    /// Steps to take
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: u32,
    /// Use only so many blocks of the model
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub layers: Option<u32>,
    /// Seed of weights, adapters and tokens
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Instead of a step, find the length and rank at which reading a block takes as long as computing
    /// with it, up to four times --seq and --rank
    #[arg(long, conflicts_with_all = ["dry_run", "in_memory", "no_checkpointing", "batch", "steps", "budget"])]
    #[arg(conflicts_with_all = ["weights_budget", "inputs_budget", "optimizer_budget"])]
    pub balance: bool,
    /// Where runs are kept, streamed weights among them [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
}

/// An optimizer by its name.
fn optimizer() -> impl TypedValueParser<Value = StateBits> {
    PossibleValuesParser::new(StateBits::ALL.map(StateBits::name)).try_map(|given| {
        StateBits::ALL.into_iter().find(|bits| bits.name() == given).ok_or("unknown optimizer")
    })
}

/// Plans, makes the weights, takes the step, reports.
pub fn reproduce(arguments: &QloraMemoryArguments) -> anyhow::Result<Ending> {
    if arguments.balance {
        return balance::find(arguments);
    }
    let mut settings = Settings::from_arguments(arguments)?;
    let folder = settings.folder(arguments);
    let mut plan = plan(&settings)?;
    if settings.streamed {
        let free = machine::free_disk(&folder)?;
        let fitting = layers_that_fit(&settings, free)?;
        if fitting == 0 {
            bail!(
                "{} has {} free: not enough for one block of LLaMA {} and {} in reserve",
                folder.display(),
                bytes::size(free),
                settings.size,
                bytes::size(DISK_RESERVE)
            );
        }
        if fitting < settings.model.num_hidden_layers {
            settings.cut_to(fitting, plan);
            plan = self::plan(&settings)?;
        }
    }
    let budgeted = settings.within_budget(&mut plan)?;
    print!("{}", report::plan_table(&settings, &plan));
    let available = machine::available_memory();
    if let Some(sentence) = machine::shortfall(plan.peak() + PROCESS_RESERVE, available, MEMORY_RESERVE) {
        if !arguments.dry_run {
            bail!("{sentence}; a smaller --size, fewer --layers, or --stream needs less");
        }
        println!("\nThis machine cannot hold it now: {sentence}.");
    }
    if !budgeted {
        let sentence = format!(
            "the plan needs {} with the process itself, more than the budget of {}",
            bytes::size(plan.peak() + PROCESS_RESERVE),
            bytes::size(settings.budget)
        );
        if !arguments.dry_run {
            let way_out = if settings.streamed { "a lower --rank or --seq" } else { "--stream" };
            bail!("{sentence}; {way_out} needs less");
        }
        println!("\nIt does not fit the budget: {sentence}.");
    }
    if arguments.dry_run {
        return Ok(Ending::Finished);
    }
    step::warm_up()?;
    let memory = PeakMemory::begin()?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let cleaner = Cleaner::new(&folder)?;
    println!();
    let mut report = Report::new(settings, plan);
    let model = weights::make(&mut report, &cleaner, &memory)?;
    step::take(model, &mut report, &folder, &memory)?;
    report.write(&folder)?;
    print!("\n{}", report.markdown());
    println!("\nreport: {}", folder.join("report.json").display());
    if let Some(sentence) = report.broken_promise() {
        bail!("{sentence}");
    }
    Ok(Ending::Finished)
}

/// The plan of a step with these settings.
fn plan(settings: &Settings) -> anyhow::Result<MemoryPlan> {
    let storage = WeightStorage::Quantized(QuantConfig::default());
    let step = StepShape {
        micro_batch_size: settings.batch,
        grad_accum: 1,
        max_length: settings.seq,
        max_steps: 1,
        optimizer_bits: settings.optimizer,
        optimizer_budget: settings.optimizer_budget,
        activation_checkpointing: settings.checkpointing,
        block_inputs_budget: settings.inputs_budget,
        embeddings: DenseStorage::Bf16,
        stream_budget: settings.streamed.then_some(settings.weights_budget.unwrap_or(u64::MAX)),
    };
    Ok(MemoryPlan::of_step(&settings.model, &storage, Some(&settings.lora()), &step)?)
}

/// How many blocks' weights fit on the disk.
fn layers_that_fit(settings: &Settings, free: u64) -> anyhow::Result<usize> {
    let wanted = settings.model.num_hidden_layers;
    let bytes = |layers: usize| bytes::file_bytes(&settings.with_layers(layers));
    let fits = |layers: &usize| bytes(*layers) + DISK_RESERVE <= free;
    Ok((1..=wanted).rev().find(fits).unwrap_or(0))
}

impl Settings {
    fn lora(&self) -> LoraConfig {
        LoraConfig { r: self.rank, lora_alpha: 16.0, lora_dropout: 0.05, ..LoraConfig::default() }
    }
}
