//! `camelid export`: a model, with an adapter if there is one, as a GGUF file for llama.cpp.

use std::path::PathBuf;

use anyhow::Result;
use camelid_files::program::UsageError;
use camelid_model::{ExportType, FoldedWeights, Llama, WeightSource, WeightStorage, export_gguf};

use crate::adapter::with_adapter;
use crate::choice::one_of;
use crate::device::DeviceArg;
use crate::model_files::{locate, name_of, open, tell, tokenizer_file};
use crate::waiting::end_on_ctrl_c;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Safetensors directory or file, .gguf or .whl file, or a name of the catalogue
    #[arg(long)]
    model: PathBuf,
    /// PEFT folder to fold in, with the tokenizer and template saved there
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// File to write
    #[arg(long, alias = "to", value_name = "FILE.gguf")]
    out: PathBuf,
    /// What linear layers are stored as; of q4_0, embedding and head are q8_0
    #[arg(long = "type", default_value = "f16", value_parser = one_of(ExportType::ALL, ExportType::name))]
    kind: ExportType,
    /// Name that the file gives the model; its own name unless given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    device: DeviceArg,
}

const EXAMPLES: &str = "Examples:
  camelid export --model models/llama --out llama-q8.gguf --type q8_0
  camelid export --model SmolLM2-135M-Instruct --adapter runs/mine/adapter --out mine.gguf --type q4_0";

pub fn run(args: &Args) -> Result<()> {
    if args.out.is_dir() {
        return Err(UsageError(format!("--out {} is a folder, expected a file", args.out.display())).into());
    }
    end_on_ctrl_c()?;
    let model_path = locate(&args.model)?;
    let source = open(&model_path)?;
    let mut tokenizer = tokenizer_file(&model_path)?;
    let described = source.describe();
    let source: Box<dyn WeightSource> = match &args.adapter {
        None => source,
        Some(adapter) => {
            if let Some(own) = tokenizer.of_adapter(adapter)? {
                tokenizer = own;
            }
            let device = args.device.open()?;
            let storage = WeightStorage::as_stored(source.as_ref(), &source.config()?)?;
            let model = Llama::load(source.as_ref(), &storage, &device)?;
            let model = with_adapter(model, adapter, &described, &device)?;
            Box::new(FoldedWeights::new(model, format!("{described} with {}", adapter.display())))
        }
    };
    tell(&tokenizer.notes);
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.model));
    let exported = export_gguf(source.as_ref(), &tokenizer, args.kind, &name, &args.out)?;
    for note in &exported.notes {
        camelid_files::say!("note: {note}");
    }
    println!("read {}", source.describe());
    let tensors: Vec<String> =
        exported.tensors.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    println!(
        "wrote {}: {} parameters, {} bytes, {:.3} bits per parameter ({})",
        args.out.display(),
        exported.parameters,
        exported.bytes,
        8.0 * exported.bytes as f64 / exported.parameters.max(1) as f64,
        tensors.join(", "),
    );
    Ok(())
}
