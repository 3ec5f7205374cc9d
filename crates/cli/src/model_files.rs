//! What lies around a model's weights: configuration, tokenizer, stored types.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::Template;
use camelid_model::{LlamaConfig, TokenizerFile, WeightSource, WeightStorage};
use camelid_quant::QuantConfig;
use clap::ValueEnum;
use serde_json::{Map, Value};

/// Files of a Hugging Face directory that do not change with the weights.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
];

/// The folder in which a model's other files lie; `None` for a GGUF model, which
/// holds everything itself.
pub fn companion_dir(model: &Path) -> Result<Option<PathBuf>> {
    let dir = if model.is_dir() {
        model
    } else if model.extension().is_some_and(|e| e == "safetensors" || e == "json") {
        match model.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    } else {
        return Ok(None);
    };
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            return Ok(Some(dir.to_path_buf()));
        }
    }
    Ok(None)
}

/// The tokenizer that belongs to the weights at `model`.
pub fn tokenizer_file(model: &Path) -> Result<TokenizerFile> {
    let place = companion_dir(model)?.unwrap_or_else(|| model.to_path_buf());
    TokenizerFile::open(&place).with_context(|| format!("no usable tokenizer for {}", model.display()))
}

/// Copies the model's tokenizer files to `out`, or writes those that its GGUF
/// file embeds. Returns whether there is a tokenizer.
pub fn write_tokenizer(model: &Path, out: &Path) -> Result<bool> {
    let Some(dir) = companion_dir(model)? else {
        return write_embedded(&tokenizer_file(model)?, out).map(|()| true);
    };
    for name in COMPANIONS {
        let from = dir.join(name);
        if from.is_file() {
            fs::copy(&from, out.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    Ok(out.join("tokenizer.json").exists() || out.join("tokenizer.model").exists())
}

fn write_embedded(file: &TokenizerFile, out: &Path) -> Result<()> {
    let path = out.join("tokenizer.json");
    if let Err(error) = file.tokenizer.save(&path, true) {
        bail!("cannot write {}: {error}", path.display());
    }
    let mut config = Map::new();
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    for (key, value) in [
        ("bos_token", &file.bos_token),
        ("eos_token", &file.eos_token),
        ("chat_template", &file.chat_template),
    ] {
        if let Some(value) = value {
            config.insert(key.into(), value.clone().into());
        }
    }
    write_json(&out.join("tokenizer_config.json"), &config.into())
}

/// The model's `config.json` as it is, or for GGUF the one that stands for it.
pub fn config_value(model: &Path, config: &LlamaConfig) -> Result<Value> {
    let Some(dir) = companion_dir(model)? else {
        return Ok(config.to_value());
    };
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Writes JSON as people and transformers lay it out.
pub fn write_json(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// The named template; for `auto` the model's own, or Guanaco's where it has none.
pub fn template(name: &str, tokenizer: &TokenizerFile) -> Result<Template> {
    Ok(if name == "auto" { tokenizer.template()? } else { Template::builtin(name)? })
}

/// How to hold dense linear layers.
#[derive(Clone, Copy, ValueEnum)]
pub enum Load {
    Nf4,
    F32,
    Bf16,
}

/// The storage that was asked for, else that of the file.
pub fn storage(load: Option<Load>, source: &dyn WeightSource) -> Result<WeightStorage> {
    Ok(match load {
        Some(Load::Nf4) => WeightStorage::Quantized(QuantConfig::default()),
        Some(Load::F32) => WeightStorage::F32,
        Some(Load::Bf16) => WeightStorage::Bf16,
        None => WeightStorage::as_stored(source, &source.config()?)?,
    })
}
