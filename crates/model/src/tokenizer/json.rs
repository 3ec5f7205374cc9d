//! `tokenizer.json` and the files that accompany it.

use std::panic::catch_unwind;
use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::TokenizerFile;
use crate::error::ModelError;

pub(super) fn open(path: &Path) -> Result<TokenizerFile, ModelError> {
    let text = std::fs::read(path).map_err(ModelError::io(path))?;
    let json: Value = serde_json::from_slice(&text)
        .map_err(|source| ModelError::Json { path: path.to_path_buf(), source })?;
    let wrong = |problem| ModelError::Tokenizer { origin: path.display().to_string(), problem };
    check_merges(&json["model"]).map_err(wrong)?;
    drop(json);
    // What the check leaves, the library mostly reports; some malformed parts (a
    // `Precompiled` normaliser, for one) it meets with a panic.
    let tokenizer = catch_unwind(|| Tokenizer::from_bytes(&text))
        .map_err(|_| wrong("one of its parts is malformed".into()))?
        .map_err(|e| wrong(e.to_string()))?;

    let config = read_if_present(&path.with_file_name("tokenizer_config.json"))?;
    let jinja = path.with_file_name("chat_template.jinja");
    let chat_template = if jinja.exists() {
        Some(std::fs::read_to_string(&jinja).map_err(ModelError::io(&jinja))?)
    } else {
        chat_template(&config["chat_template"])
    };
    Ok(TokenizerFile {
        tokenizer,
        chat_template,
        bos_token: token(&config["bos_token"]),
        eos_token: token(&config["eos_token"]),
    })
}

/// Checks that every merge of a BPE model joins known tokens to a known token: the
/// library indexes by these lengths without looking.
fn check_merges(model: &Value) -> Result<(), String> {
    let (Some(vocab), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array()) else {
        return Ok(());
    };
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("");
    for (rank, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(a), Value::String(b)] => Some((a.as_str(), b.as_str())),
                _ => None,
            },
            _ => None,
        };
        let Some((left, right)) = pair else {
            return Err(format!("merge {rank} is {merge}, expected two tokens"));
        };
        let joined = format!("{left}{}", right.strip_prefix(prefix).unwrap_or(right));
        for token in [left, right, &joined] {
            if !vocab.contains_key(token) {
                return Err(format!(
                    "merge {rank} ({left:?} + {right:?}) needs the token {token:?}, \
                     which the vocabulary lacks"
                ));
            }
        }
    }
    Ok(())
}

fn read_if_present(path: &Path) -> Result<Value, ModelError> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = std::fs::read(path).map_err(ModelError::io(path))?;
    serde_json::from_slice(&text).map_err(|source| ModelError::Json { path: path.to_path_buf(), source })
}

/// A token is given as text, or as an object with the text under `content`.
fn token(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(String::from)
}

/// A template is given as text, or as a list of named ones of which `default` counts.
fn chat_template(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.into());
    }
    let named = value.as_array()?.iter().find(|t| t["name"] == "default")?;
    named["template"].as_str().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_must_stay_inside_the_vocabulary() {
        let model = |merges| json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges});
        assert_eq!(check_merges(&model(json!([["a", "b"]]))), Ok(()));
        assert_eq!(check_merges(&model(json!(["a b"]))), Ok(()));
        let error = check_merges(&model(json!([["ab", "b"]]))).unwrap_err();
        assert!(error.contains("merge 0") && error.contains("\"abb\""), "{error}");
        assert!(check_merges(&model(json!([["a"]]))).is_err());
    }

    #[test]
    fn templates_and_tokens_in_either_form() {
        assert_eq!(token(&json!("</s>")).as_deref(), Some("</s>"));
        assert_eq!(token(&json!({"content": "</s>", "lstrip": false})).as_deref(), Some("</s>"));
        assert_eq!(token(&Value::Null), None);
        let list = json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]);
        assert_eq!(chat_template(&list).as_deref(), Some("d"));
    }
}
