//! Times of training steps and of generation with a LLaMA of 110 M parameters:
//! `cargo run -p camelid-train --example step_times -- qlora 5`.
//!
//! Cases: `qlora`, `qlora-checkpointing`, `full`, `decode`, `prefill`; after it the number of
//! repetitions. Weights are random; a step takes 4 rows of 256 tokens. Times are the best of the
//! repetitions; the first, which warms up, does not count.
//!
//! For a training step may follow what it multiplies in: `f32` or `bf16`.
//! For `decode` and `prefill` may follow how to hold the weights (`nf4`, `int8`, `f32` or `bf16`) and
//! a model to load: `… step_times -- decode 5 int8 SmolLM2-135M.gguf`.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Error, Result, bail};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_data::{Batch, Example};
use camelid_kernels::ComputeType;
use camelid_lora::{LoraConfig, attach};
use camelid_model::generate::generate_ids;
use camelid_model::{
    DenseStorage, GenerateOptions, KvCache, Llama, LlamaConfig, LoadOptions, RopeScaling, WeightStorage,
    open_weights,
};
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use camelid_quant::{Format, QuantConfig};
use camelid_train::{BlockInputPaging, Memory, MicroBatch, Sft, Step};

const ROWS: usize = 4;
const SEQ: usize = 256;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let case = args.next().context("name a case: qlora, qlora-checkpointing, full, decode or prefill")?;
    let runs = args.next().map_or(Ok(5), |n| n.parse())?;
    println!("{case}, {} threads", rayon::current_num_threads());
    let nf4 = QuantConfig { format: Format::Nf4, double_quant: true, ..QuantConfig::default() };
    let nf4 = LoadOptions::new(WeightStorage::Quantized(nf4));
    let choice = args.next();
    if matches!(case.as_str(), "qlora" | "qlora-checkpointing" | "full") {
        let compute = match choice.as_deref() {
            None | Some("f32") => ComputeType::F32,
            Some("bf16") => ComputeType::Bf16,
            Some(other) => bail!("no compute type `{other}`: f32 or bf16"),
        };
        let device = Device::flex().autodiff();
        let model = if case == "full" {
            Llama::random(&config(), 0, &device)
        } else {
            let lora = LoraConfig { r: 16, lora_alpha: 32.0, ..LoraConfig::default() };
            attach(Llama::random_with(&config(), &nf4, 0, &device)?, &lora, 0, &device)?
        };
        return steps(model.with_compute_type(compute), case == "qlora-checkpointing", runs);
    }
    let held = match choice.as_deref() {
        None | Some("nf4") => nf4,
        Some("int8") => LoadOptions::new(WeightStorage::Int8),
        Some(dense) => LoadOptions::new(dense.parse::<DenseStorage>().map_err(Error::msg)?.into()),
    };
    let mut model = |device: &Device| match args.next() {
        None => Llama::random_with(&config(), &held, 0, device),
        Some(path) => Llama::load_with(open_weights(path.as_ref())?.as_ref(), &held, device),
    };
    match case.as_str() {
        "decode" => decode(&model(&Device::flex())?, runs),
        "prefill" => prefill(&model(&Device::flex())?, runs),
        other => bail!("no case `{other}`"),
    }
}

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 32_000,
        hidden_size: 768,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        num_key_value_heads: 12,
        head_dim: 64,
        max_position_embeddings: 2048,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        ..LlamaConfig::smollm2_135m()
    }
}

fn ids(n: usize, seed: u32) -> Vec<u32> {
    (0..n as u32).map(|i| (i + seed).wrapping_mul(2_654_435_761) % 32_000).collect()
}

fn steps(mut model: Llama, checkpointing: bool, runs: usize) -> Result<()> {
    let examples: Vec<Example> = (0..ROWS as u32)
        .map(|row| {
            let ids = ids(SEQ, 1000 * row);
            let labels = ids.iter().map(|id| i64::from(*id)).collect();
            Example { id: row.to_string(), ids, labels }
        })
        .collect();
    let batch = Batch::packed(&examples.iter().collect::<Vec<_>>())?;
    let tokens = batch.tokens() as f64;
    let micro_batches = [MicroBatch { batch, dropout_seed: Some(0) }];
    let step = Step {
        objective: Sft,
        learning_rate: 1e-4,
        max_grad_norm: 0.0,
        activation_checkpointing: checkpointing,
        block_inputs: BlockInputPaging::default(),
    };
    let mut optim = PagedAdamW::new(AdamWConfig::default())?;
    println!("weights {:.0} MB, resident {}", model.weights_nbytes() as f64 / 1e6, resident());
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "forward", "head", "backward", "optimizer", "step", "tok/s"
    );
    let mut best = f64::INFINITY;
    for run in 0..=runs {
        Memory::reset_peak();
        let before = Usage::now();
        let done = step.take(model, &mut optim, &micro_batches, &mut |_| {})?;
        model = done.model;
        let whole: f64 = done.seconds.iter().map(|(_, seconds)| seconds).sum();
        for (_, seconds) in &done.seconds {
            print!("{seconds:>9.3} ");
        }
        println!(
            "{whole:>9.3} {:>9.0}   loss {:.4}, peak {:.0} MB, {}",
            tokens / whole,
            done.loss,
            Memory::now().peak_mib * 1.048_576,
            Usage::now().since(&before),
        );
        if run > 0 {
            best = best.min(whole);
        }
    }
    println!("best: {best:.3} s, {:.0} tok/s", tokens / best);
    Ok(())
}

fn decode(model: &Llama, runs: usize) -> Result<()> {
    let (model, options) = (model.valid(), GenerateOptions { max_new_tokens: 128, ..Default::default() });
    let prompt = ids(16, 0);
    let mut best = f64::INFINITY;
    for run in 0..=runs {
        let before = Usage::now();
        let start = Instant::now();
        generate_ids(&model, &prompt, &options, |_| Ok(ControlFlow::Continue(())))?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{:>9.1} tok/s, {}", 128.0 / seconds, Usage::now().since(&before));
        if run > 0 {
            best = best.min(seconds);
        }
    }
    println!("best: {:.1} tok/s, resident {}", 128.0 / best, resident());
    Ok(())
}

fn prefill(model: &Llama, runs: usize) -> Result<()> {
    const TOKENS: usize = 512;
    let model = model.valid();
    let ids: Vec<i64> = ids(TOKENS, 0).into_iter().map(i64::from).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, TOKENS]), &Device::flex());
    let mut best = f64::INFINITY;
    for run in 0..=runs {
        let before = Usage::now();
        let start = Instant::now();
        let mut cache = KvCache::new(model.config().num_hidden_layers, TOKENS);
        model.forward_cached(ids.clone(), &mut cache);
        let seconds = start.elapsed().as_secs_f64();
        println!("{:>9.0} tok/s, {}", TOKENS as f64 / seconds, Usage::now().since(&before));
        if run > 0 {
            best = best.min(seconds);
        }
    }
    println!("best: {:.0} tok/s, resident {}", TOKENS as f64 / best, resident());
    Ok(())
}

fn resident() -> String {
    format!("{:.0} MB", Memory::now().resident_mib * 1.048_576)
}

/// What the system counts for this process.
struct Usage {
    page_faults: u64,
    user_seconds: f64,
    system_seconds: f64,
}

impl Usage {
    /// Reads `/proc/self/stat`; zeros where there is none.
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        Self { page_faults: field(7), user_seconds: seconds(field(11)), system_seconds: seconds(field(12)) }
    }

    fn since(&self, before: &Self) -> String {
        format!(
            "{} page faults, {:.2} s user, {:.2} s system",
            self.page_faults - before.page_faults,
            self.user_seconds - before.user_seconds,
            self.system_seconds - before.system_seconds
        )
    }
}
