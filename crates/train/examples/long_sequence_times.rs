//! One training step on a single long row: what `benches/peers/long_sequences.py` takes turns with.
//!
//! `long_sequence_times CASE MODEL LENGTH COMPUTE`: CASE is `qlora` (NF4 base with double quantisation, rank 16
//! on all linear layers) or `full` (every weight trained, f32), MODEL a folder or file of the LLaMA family,
//! COMPUTE what products run in, `f32` or `bf16`. Blocks are recomputed on the way back. Positions are stretched
//! where the row is longer than the model's context. Prints one line of JSON: `seconds` of each step,
//! `peak_mib` of the process while it took them, `before_mib` of the process before it made anything, the `loss`
//! of the first step, the step's `products` in GFLOP, and the processor.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use camelid_data::{Batch, Example};
use camelid_kernels::{ComputeType, Isa, processor_name};
use camelid_lora::{LoraConfig, attach};
use camelid_model::{
    DenseStorage, Llama, LlamaConfig, LoadOptions, RopeScaling, WeightStorage, open_weights,
};
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, Memory, MicroBatch, Sft, Step};
use serde_json::json;

/// Tokens of the step that brings the optimizer's state into being; it is not measured.
const FIRST: usize = 64;
/// Steps are repeated until this much time has passed, a few at most. `long_sequences.py` has the same.
const ENOUGH_SECONDS: f64 = 10.0;
const MOST_STEPS: usize = 5;
const RANK: usize = 16;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, path, length, compute] = args.as_slice() else {
        bail!("expected qlora|full MODEL LENGTH f32|bf16");
    };
    let lora = match case.as_str() {
        "full" => None,
        "qlora" => Some(LoraConfig { r: RANK, lora_alpha: 32.0, ..LoraConfig::default() }),
        other => bail!("no case `{other}`, expected qlora or full"),
    };
    let length: usize = length.parse().with_context(|| format!("LENGTH is `{length}`, expected tokens"))?;
    let compute = match compute.as_str() {
        "f32" => ComputeType::F32,
        "bf16" => ComputeType::Bf16,
        other => bail!("no compute type `{other}`, expected f32 or bf16"),
    };
    let before_mib = Memory::now().peak_mib;
    let model = load(Path::new(path), lora.as_ref(), length)?.with_compute_type(compute);
    let config = model.config().clone();
    let (seconds, loss, peak_mib) = steps(model, length)?;
    let found = json!({
        "seconds": seconds,
        "loss": loss,
        "peak_mib": peak_mib,
        "before_mib": before_mib,
        "products": products(&config, lora.is_none(), length) / 1e9,
        "processor": format!("{} ({}), {} threads", processor_name(), Isa::active(), rayon::current_num_threads()),
    });
    println!("{found}");
    Ok(())
}

fn load(path: &Path, lora: Option<&LoraConfig>, length: usize) -> Result<Llama> {
    let options = match lora {
        None => LoadOptions::new(WeightStorage::F32),
        Some(_) => LoadOptions {
            linears: WeightStorage::Quantized(QuantConfig::default()),
            embeddings: DenseStorage::Bf16.into(),
        },
    };
    let device = Device::flex().autodiff();
    let weights = open_weights(path)?;
    let mut model = Llama::load_with(weights.as_ref(), &options, &device)?;
    let context = model.config().max_position_embeddings;
    if length > context {
        let factor = length as f64 / context as f64;
        model = model.with_rope_scaling(RopeScaling::Linear { factor })?;
    }
    match lora {
        None => Ok(model),
        Some(lora) => Ok(attach(model, lora, 0, &device)?),
    }
}

/// Seconds of each step on a row of `length` tokens, the first one's loss, and the highest memory in MiB.
fn steps(mut model: Llama, length: usize) -> Result<(Vec<f64>, f64, f64)> {
    let step = Step {
        objective: Sft,
        learning_rate: 1e-4,
        max_grad_norm: 0.0,
        activation_checkpointing: true,
        block_inputs: BlockInputPaging::default(),
    };
    let mut optim = PagedAdamW::new(AdamWConfig::default())?;
    let vocabulary = model.config().vocab_size;
    model = step.take(model, &mut optim, &[row(vocabulary, FIRST)?], &mut |_| {})?.model;
    let batch = [row(vocabulary, length)?];
    // What loading held for a moment is no part of a step.
    Memory::reset_peak();
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    while seconds.len() < MOST_STEPS && seconds.iter().sum::<f64>() < ENOUGH_SECONDS {
        let start = Instant::now();
        let done = step.take(model, &mut optim, &batch, &mut |_| {})?;
        seconds.push(start.elapsed().as_secs_f64());
        losses.push(done.loss);
        model = done.model;
    }
    Ok((seconds, losses[0], Memory::now().peak_mib))
}

/// A row of made-up ids, all of them learnt; the script makes the same ones.
fn row(vocabulary: usize, length: usize) -> Result<MicroBatch<Batch>> {
    let ids: Vec<u32> = (0..length).map(|i| (i.wrapping_mul(2_654_435_761) % vocabulary) as u32).collect();
    let labels = ids.iter().map(|id| i64::from(*id)).collect();
    let example = Example { id: "row".into(), ids, labels };
    Ok(MicroBatch { batch: Batch::packed(&[&example])?, dropout_seed: None })
}

/// Operations of the products that such a step cannot do without, a multiply-add counted as two.
///
/// Forwards, every block but the last runs twice. Backwards a linear layer has one product for its input, and one for
/// its weight where that is trained. Attention sees half of the positions: two products forwards, and five
/// backwards, because the scores, which nobody keeps, are computed once more.
fn products(config: &LlamaConfig, full: bool, length: usize) -> f64 {
    let blocks = config.num_hidden_layers as f64;
    let linears = config.linear_parameters() as f64;
    let ranks: usize = config.linear_shapes().map(|linear| linear.in_features + linear.out_features).sum();
    let adapters = if full { 0.0 } else { (RANK * ranks) as f64 };
    let attention = blocks * (config.query_width() * length) as f64;
    let head = (config.vocab_size * config.hidden_size) as f64;
    let forwards = 2.0 - 1.0 / blocks;
    let of_weight = if full { 2.0 } else { 1.0 };
    let forward = forwards * (linears + adapters + attention);
    let backward = of_weight * linears + 2.0 * adapters + 2.5 * attention;
    2.0 * length as f64 * (forward + backward + (1.0 + of_weight) * head)
}
