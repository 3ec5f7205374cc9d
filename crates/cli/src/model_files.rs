//! What lies around a model's weights: configuration, tokenizer, stored types.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::Template;
use camelid_data::catalogue::FetchOptions;
use camelid_eval::judge::{ModelPlace, ModelSpec};
use camelid_files::program::UsageError;
use camelid_files::{FileError, Input};
use camelid_model::{
    LlamaConfig, LoadNote, TokenizerFile, WeightSource, load_notes, model_place, open_weights,
};
use camelid_recipe::{find_base, hub_name, is_spelt_as_a_path};
use serde_json::{Map, Value, json};

/// Files of a Hugging Face directory that do not change with the weights.
const COMPANIONS: [&str; 12] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "merges.txt",
    "generation_config.json",
];

/// Where the model lies that a command was given: a path as it is; else a name of the catalogue or
/// of the hub, as `[model] base` of an experiment takes it, found here or fetched.
pub fn locate(model: &Path) -> Result<PathBuf> {
    match model.to_str() {
        // A path that leads nowhere is an error of the reader, which says what it expects.
        Some(name) if !model.exists() && (hub_name(name).is_some() || !is_spelt_as_a_path(name)) => {
            let fetch = FetchOptions::from_env()?;
            let cache = fetch.cache_dir.clone();
            Ok(find_base(name, &fetch, &cache)?)
        }
        _ => Ok(model.to_owned()),
    }
}

/// The name of a file or folder, without what says which kind it is.
pub fn name_of(model: &Path) -> String {
    let name = model.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    for ending in [".gguf", ".whl", ".safetensors"] {
        if let Some(name) = name.strip_suffix(ending) {
            return name.to_owned();
        }
    }
    name
}

/// The same model with its files found, where it is named as the catalogue or the hub does.
pub fn located(model: &ModelSpec) -> Result<ModelSpec> {
    let place = match &model.place {
        ModelPlace::Files(path) => {
            let path = locate(path)?;
            fs::metadata(&path).map_err(FileError::io(&path, "open"))?;
            ModelPlace::Files(path)
        }
        endpoint => endpoint.clone(),
    };
    Ok(ModelSpec { place, ..model.clone() })
}

/// Opens the weights at `model`, and says on standard error what of them is not taken as it stands.
pub fn open(model: &Path) -> Result<Box<dyn WeightSource>> {
    let source = open_weights(model)?;
    tell(&load_notes(source.as_ref())?);
    Ok(source)
}

/// Prints what was left out, replaced or decided.
pub fn tell(notes: &[LoadNote]) {
    for note in notes {
        camelid_files::say!("warning: {note}");
    }
}

/// The folder in which a model's other files lie; `None` for a GGUF model, which
/// holds everything itself.
pub fn companion_dir(model: &Path) -> Result<Option<PathBuf>> {
    let dir = model_place(model);
    if !dir.is_dir() {
        return Ok(None);
    }
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
        copy_if_there(&dir, name, out)?;
    }
    copy_templates(&dir, out)?;
    Ok(out.join("tokenizer.json").exists() || out.join("tokenizer.model").exists())
}

/// Folder of named chat templates beside `chat_template.jinja`.
pub const NAMED_TEMPLATES: &str = "additional_chat_templates";
/// Files that hold a chat template alone.
pub const TEMPLATE_FILES: [&str; 2] = ["chat_template.jinja", "chat_template.json"];
/// The tokenizer's settings, which may hold a template too.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Takes every chat template out of a folder.
pub fn remove_templates(folder: &Path) -> Result<()> {
    remove_template_files(folder)?;
    let settings = folder.join(TOKENIZER_CONFIG);
    if !settings.is_file() {
        return Ok(());
    }
    let mut value = read_object(&settings)?;
    value.remove("chat_template");
    write_json(&settings, &value.into())
}

/// Takes the chat templates out of a folder that are files of their own: they go before one in the
/// tokenizer's settings.
pub fn remove_template_files(folder: &Path) -> Result<()> {
    for name in TEMPLATE_FILES {
        remove_if_there(&folder.join(name))?;
    }
    let named = folder.join(NAMED_TEMPLATES);
    if named.is_dir() {
        fs::remove_dir_all(&named).with_context(|| format!("cannot remove {}", named.display()))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub fn remove_if_there(path: &Path) -> Result<()> {
    if path.is_file() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Copies the folder of named templates, if there is one; returns whether.
pub fn copy_templates(dir: &Path, out: &Path) -> Result<bool> {
    let (from, to) = (dir.join(NAMED_TEMPLATES), out.join(NAMED_TEMPLATES));
    if !from.is_dir() {
        return Ok(false);
    }
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let name = entry.with_context(|| format!("cannot read {}", from.display()))?.file_name();
        copy_if_there(&from, name, &to)?;
    }
    Ok(true)
}

/// Copies a file by its name, if it is there; returns whether.
pub fn copy_if_there(dir: &Path, name: impl AsRef<Path>, out: &Path) -> Result<bool> {
    let from = dir.join(&name);
    if !from.is_file() {
        return Ok(false);
    }
    fs::copy(&from, out.join(&name)).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(true)
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = Input::open(path)?.bytes()?;
    let (value, _) = camelid_files::json::parse(&bytes)
        .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), camelid_files::json::words(&error)))?;
    Ok(value)
}

/// Reads a JSON object.
pub fn read_object(path: &Path) -> Result<Map<String, Value>> {
    match read_json(path)? {
        Value::Object(object) => Ok(object),
        _ => bail!("{}: expected a JSON object", path.display()),
    }
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
    if file.templates.len() > usize::from(file.chat_template.is_some()) {
        let named = file.templates.iter().map(|(name, source)| json!({"name": name, "template": source}));
        config.insert("chat_template".into(), named.collect());
    }
    write_json(&out.join(TOKENIZER_CONFIG), &config.into())
}

/// The model's `config.json` as it is, or for GGUF the one that stands for it.
pub fn config_value(model: &Path, config: &LlamaConfig) -> Result<Value> {
    let Some(dir) = companion_dir(model)? else {
        return Ok(config.to_value());
    };
    let mut value = read_json(&dir.join("config.json"))?;
    // The weights decide whether the head is tied.
    if value["tie_word_embeddings"].as_bool().unwrap_or(false) != config.tie_word_embeddings {
        value["tie_word_embeddings"] = config.tie_word_embeddings.into();
    }
    Ok(value)
}

/// What the model's `generation_config.json` suggests for sampling, in words; it is never taken
/// unasked.
pub fn suggested_sampling(model: &Path) -> Result<Option<String>> {
    let Some(dir) = companion_dir(model)? else { return Ok(None) };
    let path = dir.join("generation_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let config = read_json(&path)?;
    let suggested: Vec<String> = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty"]
        .iter()
        .filter_map(|key| config[*key].as_f64().map(|value| format!("{key} {value}")))
        .collect();
    Ok((!suggested.is_empty()).then(|| suggested.join(", ")))
}

/// Writes JSON as people and transformers lay it out.
pub fn write_json(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// The named template, the model's own of that name before a built-in one; for `auto` the model's
/// default, or Guanaco's where it has none.
pub fn template(name: &str, tokenizer: &TokenizerFile) -> Result<Template> {
    let template = match name {
        "auto" => tokenizer.template()?,
        name => match tokenizer.template_named(name)? {
            Some(own) => own,
            None => Template::builtin(name).map_err(UsageError::of)?,
        },
    };
    for marker in template.textual_markers(&tokenizer.tokenizer) {
        camelid_files::say!(
            "warning: {}: {marker} is no token of the tokenizer: it is spelt out, and the model cannot end \
             its turn by it",
            template.name()
        );
    }
    for token in template.unnamed_tokens() {
        camelid_files::say!(
            "warning: {}: no file names a {token}; the template writes nothing for it",
            template.name()
        );
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_that_of_its_file() {
        for (path, name) in
            [("models/llama", "llama"), ("a/b.gguf", "b"), ("HuggingFaceTB/SmolLM2-1.7B", "SmolLM2-1.7B")]
        {
            assert_eq!(name_of(Path::new(path)), name);
        }
    }
}
