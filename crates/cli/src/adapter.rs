//! PEFT adapters: onto a model, and the tokenizer that was saved with them.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use camelid_lora::load_peft;
use camelid_model::Llama;

use crate::model_files::{
    NAMED_TEMPLATES, TEMPLATE_FILES, TOKENIZER_CONFIG, copy_if_there, copy_templates, read_object,
    remove_if_there, remove_template_files, write_json,
};

/// Files of a tokenizer that are saved beside an adapter.
const VOCABULARY: [&str; 6] = [
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];

/// The model with the adapter on it. What of the adapter was not followed is said on standard error.
pub fn with_adapter(model: Llama, adapter: &Path, base: &str, device: &Device) -> Result<Llama> {
    let shown = adapter.display();
    let (model, loaded) = load_peft(model, adapter, device)
        .with_context(|| format!("cannot put the adapter {shown} on {base}"))?;
    for note in &loaded.notes {
        camelid_files::say!("warning: {shown}: {note}");
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
            value.insert("chat_template".into(), template.clone());
        }
        write_json(&base, &value.into())?;
        taken.push(TOKENIZER_CONFIG.to_string());
    }
    if own_template {
        remove_template_files(out)?;
        for name in TEMPLATE_FILES {
            if copy_if_there(adapter, name, out)? {
                taken.push(name.to_string());
            }
        }
        if copy_templates(adapter, out)? {
            taken.push(NAMED_TEMPLATES.to_string());
        }
    }
    Ok(taken)
}
