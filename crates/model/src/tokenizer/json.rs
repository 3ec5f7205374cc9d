//! `tokenizer.json` and the files that accompany it.

use std::panic::catch_unwind;
use std::path::Path;

use camelid_chat::{ChatFiles, DEFAULT_TEMPLATE};
use camelid_files::Input;
use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use super::TokenizerFile;
use super::added::{complete, named_specials};
use crate::error::ModelError;
use crate::json_file::{odd_json, read_json_if_there};
use crate::notes::LoadNote;

pub(super) fn open(path: &Path) -> Result<TokenizerFile, ModelError> {
    let mut text = Input::open(path)?.bytes()?;
    let (mut json, odd) = camelid_files::json::parse::<Value>(&text)
        .map_err(|cause| ModelError::Json { path: path.to_path_buf(), cause })?;
    let wrong = |problem| ModelError::Tokenizer { origin: path.display().to_string(), problem };
    check_merges(&json["model"]).map_err(wrong)?;
    let config = read_json_if_there(&path.with_file_name("tokenizer_config.json"))?;
    let map = read_json_if_there(&path.with_file_name("special_tokens_map.json"))?;
    let added = read_json_if_there(&path.with_file_name("added_tokens.json"))?;
    let specials = named_specials(&config, &map);
    let completed = complete(&mut json, &added, &config, &specials).map_err(wrong)?;
    if !completed.is_empty() || !odd.is_empty() {
        text = json.to_string().into_bytes();
    }
    drop(json);
    // What the check leaves, the library mostly reports; some malformed parts (a
    // `Precompiled` normaliser, for one) it meets with a panic.
    let mut tokenizer = catch_unwind(|| Tokenizer::from_bytes(&text))
        .map_err(|_| wrong("one of its parts is malformed".into()))?
        .map_err(|e| wrong(e.to_string()))?;

    for (id, token) in &completed {
        if tokenizer.token_to_id(token) != Some(*id) {
            return Err(wrong(format!(
                "the token {token:?} cannot have the id {id} that the files beside it give"
            )));
        }
    }
    let mut notes: Vec<LoadNote> = odd.iter().map(|what| odd_json(path, what)).collect();
    for token in specials {
        if tokenizer.token_to_id(&token).is_none() {
            tokenizer
                .add_special_tokens([AddedToken::from(token.as_str(), true)])
                .map_err(|e| wrong(e.to_string()))?;
            let id = tokenizer.token_to_id(&token).map_or_else(String::new, |id| id.to_string());
            notes.push(LoadNote::Other(format!(
                "{}: the special token {token:?} is in no vocabulary; it takes the next id, {id}",
                path.display()
            )));
        }
    }
    let chat = ChatFiles::of_folder(path.parent().unwrap_or(Path::new("")))?;
    notes.extend(chat.notes.iter().cloned().map(LoadNote::Other));
    Ok(TokenizerFile {
        tokenizer,
        chat_template: chat.templates.get(DEFAULT_TEMPLATE).cloned(),
        bos_token: chat.tokens.bos,
        eos_token: chat.tokens.eos,
        other_tokens: chat.tokens.others,
        templates: chat.templates,
        notes,
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
}
