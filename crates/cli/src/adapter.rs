//! PEFT adapters: onto a model, and the tokenizer that was saved with them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use camelid_lora::load_peft;
use camelid_model::Llama;
use serde_json::Value;

use crate::model_files::{NAMED_TEMPLATES, copy_if_there, copy_templates, write_json};

/// Files of a tokenizer that are saved beside an adapter.
const VOCABULARY: [&str; 6] = [
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE_FILES: [&str; 2] = ["chat_template.jinja", "chat_template.json"];

/// The model with the adapter on it. What of the adapter was not followed is said on standard error.
pub fn with_adapter(model: Llama, adapter: &Path, base: &str, device: &Device) -> Result<Llama> {
    let shown = adapter.display();
    let (model, loaded) = load_peft(model, adapter, device)
        .with_context(|| format!("cannot put the adapter {shown} on {base}"))?;
    for note in &loaded.notes {
        eprintln!("warning: {shown}: {note}");
    }
    Ok(model)
}

/// Puts the tokenizer and the chat template that were saved beside an adapter in place of the base's
/// in `out`: the tuned model was asked in that form. Returns the files it took.
pub fn write_adapter_tokenizer(adapter: &Path, out: &Path) -> Result<Vec<String>> {
    let mut taken = Vec::new();
    let whole = adapter.join("tokenizer.json").is_file();
    for name in VOCABULARY {
        if whole {
            // Files of two tokenizers do not mix.
            remove_if_there(&out.join(name))?;
        }
        if copy_if_there(adapter, name, out)? {
            taken.push(name.to_string());
        }
    }
    let settings = adapter.join(TOKENIZER_CONFIG);
    let has_template_files = TEMPLATE_FILES.iter().any(|name| adapter.join(name).is_file())
        || adapter.join(NAMED_TEMPLATES).is_dir();
    let mut own_template = has_template_files;
    if settings.is_file() {
        let mut value = read_object(&settings)?;
        let in_settings = value.get("chat_template").is_some_and(|template| !template.is_null());
        own_template |= in_settings;
        let base = out.join(TOKENIZER_CONFIG);
        // Settings without a template leave the base's as it is.
        if !own_template
            && base.is_file()
            && let Some(template) = read_object(&base)?.get("chat_template")
        {
            value["chat_template"] = template.clone();
        }
        write_json(&base, &value)?;
        taken.push(TOKENIZER_CONFIG.to_string());
    }
    if own_template {
        // A template in a file goes before one in the settings, so the base's files must go.
        for name in TEMPLATE_FILES {
            remove_if_there(&out.join(name))?;
            if copy_if_there(adapter, name, out)? {
                taken.push(name.to_string());
            }
        }
        let named = out.join(NAMED_TEMPLATES);
        if named.is_dir() {
            fs::remove_dir_all(&named).with_context(|| format!("cannot remove {}", named.display()))?;
        }
        if copy_templates(adapter, out)? {
            taken.push(NAMED_TEMPLATES.to_string());
        }
    }
    Ok(taken)
}

fn remove_if_there(path: &Path) -> Result<()> {
    if path.is_file() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn read_object(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{}: not valid JSON: {error}", path.display()))?;
    anyhow::ensure!(value.is_object(), "{}: expected a JSON object", path.display());
    Ok(value)
}
