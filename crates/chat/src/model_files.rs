//! A chat template from the files beside a model's weights.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{ChatError, SpecialTokens, Template};

impl Template {
    /// Reads the chat template of a Hugging Face model directory:
    /// `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`
    /// (of several named ones, `default`), with that file's `bos_token` and
    /// `eos_token`. `None` where the directory has no template.
    ///
    /// # Errors
    /// A file that cannot be read, JSON of another shape, a template with a
    /// syntax error.
    pub fn from_model_dir(dir: &Path) -> Result<Option<Template>, ChatError> {
        let config_path = dir.join("tokenizer_config.json");
        let bad = |message: String| ChatError::BadFile { path: config_path.clone(), message };
        let config = match read_if_there(&config_path)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?,
            None => Value::Null,
        };
        let tokens = SpecialTokens {
            bos: token(&config, "bos_token").map_err(bad)?,
            eos: token(&config, "eos_token").map_err(bad)?,
        };
        let source = match read_if_there(&dir.join("chat_template.jinja"))? {
            Some(source) => Some(source),
            None => chat_template(&config).map_err(bad)?,
        };
        let name = dir.join("chat_template").display().to_string();
        source.map(|source| Template::from_jinja(&name, &source, tokens)).transpose()
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, ChatError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ChatError::BadFile { path: path.to_path_buf(), message: error.to_string() }),
    }
}

/// A token given as a string or as an object with `content`.
fn token(config: &Value, field: &str) -> Result<Option<String>, String> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token.clone())),
        Some(Value::Object(token)) => match token.get("content") {
            Some(Value::String(content)) => Ok(Some(content.clone())),
            _ => Err(format!("`{field}` has no string `content`")),
        },
        Some(_) => Err(format!("`{field}` is neither a string nor an object")),
    }
}

fn chat_template(config: &Value) -> Result<Option<String>, String> {
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .and_then(|entry| entry["template"].as_str())
            .map(|source| Some(source.to_string()))
            .ok_or_else(|| "`chat_template` is a list without an entry `default`".to_string()),
        Some(_) => Err("`chat_template` is neither a string nor a list".to_string()),
    }
}
