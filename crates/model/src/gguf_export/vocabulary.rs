//! The tokenizer as keys of `tokenizer.ggml`.
//!
//! llama.cpp has two kinds for this family: `gpt2` (byte-level BPE: tokens, merges and the name of a
//! way to cut text) and `llama` (SentencePiece: tokens and scores, of which the best pair joins first).

use std::collections::HashMap;

use camelid_chat::byte_token;
use serde_json::Value;

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::gguf::MetaValue;
use crate::tokenizer::{TokenizerFile, pre_tokenization_name};

/// Token types as in `llama.h` (`enum llama_token_type`).
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// SentencePiece's visible space.
const SPACE: &str = "▁";

/// Special tokens by the names of templates, with their keys, the separator's misspelt as in every file.
const NAMED: [(&str, &str); 5] = [
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// The keys of a tokenizer for a model of this configuration.
pub(super) fn metadata(
    file: &TokenizerFile,
    config: &LlamaConfig,
    origin: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, MetaValue)>, ModelError> {
    let wrong = |problem: String| ModelError::Tokenizer { origin: origin.to_owned(), problem };
    let json = serde_json::to_value(&file.tokenizer).map_err(|error| wrong(error.to_string()))?;
    let kind = Kind::of(&json).map_err(wrong)?;
    let mut vocabulary = Vocabulary::read(&json, config).map_err(wrong)?;
    if vocabulary.padding > 0 {
        notes.push(format!(
            "{} rows of the embedding have no token; the file names them [PAD…], unused",
            vocabulary.padding
        ));
    }
    let mut keys: Vec<(String, MetaValue)> = Vec::new();
    let mut put = |key: &str, value: MetaValue| keys.push((key.to_owned(), value));
    match kind {
        Kind::ByteLevel { pre } => {
            put("tokenizer.ggml.model", MetaValue::String("gpt2".into()));
            put("tokenizer.ggml.pre", MetaValue::String(pre.into()));
            let merges = merges(&json).into_iter().map(|(left, right)| format!("{left} {right}"));
            put("tokenizer.ggml.merges", MetaValue::Strings(merges.collect()));
        }
        Kind::SentencePiece { prefix } => {
            put("tokenizer.ggml.model", MetaValue::String("llama".into()));
            put("tokenizer.ggml.pre", MetaValue::String("default".into()));
            vocabulary.mark_bytes_and_unknown(&json);
            put("tokenizer.ggml.scores", MetaValue::F32s(scores(&vocabulary.tokens, &merges(&json))));
            put("tokenizer.ggml.add_space_prefix", MetaValue::Bool(prefix));
        }
    }
    put("tokenizer.ggml.tokens", MetaValue::Strings(vocabulary.tokens));
    put("tokenizer.ggml.token_type", MetaValue::I32s(vocabulary.types));

    let bos = file.bos_id().or(config.bos_token_id);
    if let Some(id) = bos {
        put("tokenizer.ggml.bos_token_id", MetaValue::U32(id));
    }
    let ends = end_tokens(file, config);
    let end_keys = ["eos", "eot", "eom"].map(|name| format!("tokenizer.ggml.{name}_token_id"));
    for (key, id) in end_keys.iter().zip(&ends) {
        put(key, MetaValue::U32(*id));
    }
    if ends.len() > end_keys.len() {
        let left: Vec<String> = ends[end_keys.len()..].iter().map(ToString::to_string).collect();
        notes.push(format!("of the end tokens, GGUF has no place for {}", left.join(", ")));
    }
    for (name, key) in NAMED {
        let named = file.other_tokens.get(name).and_then(|token| file.tokenizer.token_to_id(token));
        let id = named.or(config.pad_token_id.filter(|_| name == "pad_token"));
        if let Some(id) = id {
            put(key, MetaValue::U32(id));
        }
    }
    let framed = file.tokenizer.encode("a", true).map_err(|error| wrong(error.to_string()))?;
    let plain = file.tokenizer.encode("a", false).map_err(|error| wrong(error.to_string()))?;
    let (framed, plain) = (framed.get_ids(), plain.get_ids());
    let adds =
        |end: Option<&u32>, id: Option<u32>| framed.len() > plain.len() && id.is_some() && end.copied() == id;
    put("tokenizer.ggml.add_bos_token", MetaValue::Bool(adds(framed.first(), bos)));
    put("tokenizer.ggml.add_eos_token", MetaValue::Bool(adds(framed.last(), ends.first().copied())));

    if let Some(template) = &file.chat_template {
        put("tokenizer.chat_template", MetaValue::String(template.clone()));
    }
    let others: Vec<(&String, &String)> =
        file.templates.iter().filter(|(name, _)| *name != camelid_chat::DEFAULT_TEMPLATE).collect();
    if !others.is_empty() {
        let names = others.iter().map(|(name, _)| (*name).clone()).collect();
        put("tokenizer.chat_templates", MetaValue::Strings(names));
        for (name, template) in others {
            put(&format!("tokenizer.chat_template.{name}"), MetaValue::String(template.clone()));
        }
    }
    Ok(keys)
}

/// The two kinds of vocabulary.
enum Kind {
    ByteLevel { pre: &'static str },
    SentencePiece { prefix: bool },
}

impl Kind {
    fn of(json: &Value) -> Result<Self, String> {
        let model = &json["model"];
        if model["type"] != "BPE" {
            return Err(format!("its model is {}, GGUF holds BPE of this family", model["type"]));
        }
        if model["byte_fallback"].as_bool().unwrap_or(false) {
            return prefix(json).map(|prefix| Self::SentencePiece { prefix });
        }
        match pre_tokenization_name(json) {
            Some(pre) => Ok(Self::ByteLevel { pre }),
            None => Err(format!(
                "it cuts text in a way that llama.cpp has no name for (pre_tokenizer {}, normalizer {})",
                json["pre_tokenizer"], json["normalizer"]
            )),
        }
    }
}

/// Whether a space is put before a text, as SentencePiece does by default.
fn prefix(json: &Value) -> Result<bool, String> {
    let listed = |key: &str, inner: &str| match &json[key] {
        Value::Null => Vec::new(),
        Value::Object(object) if object.get("type") == Some(&"Sequence".into()) => {
            object.get(inner).and_then(Value::as_array).cloned().unwrap_or_default()
        }
        one => vec![one.clone()],
    };
    let normalizers = listed("normalizer", "normalizers");
    let pre_tokenizers = listed("pre_tokenizer", "pretokenizers");
    let is = |step: &Value, kind: &str| step["type"] == kind;
    let replaces =
        |step: &Value| is(step, "Replace") && step["content"] == SPACE && step["pattern"]["String"] == " ";
    let prepends = |step: &Value| is(step, "Prepend") && step["prepend"] == SPACE;
    match (normalizers.as_slice(), pre_tokenizers.as_slice()) {
        ([first, second], []) if prepends(first) && replaces(second) => Ok(true),
        ([only], []) if replaces(only) => Ok(false),
        ([], [only]) if is(only, "Metaspace") && only["replacement"] == SPACE && only["split"] == false => {
            Ok(only["prepend_scheme"] != "never")
        }
        _ => Err(format!(
            "it has bytes to fall back on, but does not mark spaces as SentencePiece does (normalizer {}, \
             pre_tokenizer {})",
            json["normalizer"], json["pre_tokenizer"]
        )),
    }
}

/// Tokens and their types, one for each row of the embedding.
struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
    /// Rows without a token.
    padding: usize,
}

impl Vocabulary {
    fn read(json: &Value, config: &LlamaConfig) -> Result<Self, String> {
        let mut found: HashMap<usize, (String, i32)> = HashMap::new();
        for (token, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
            let id = id.as_u64().and_then(|id| usize::try_from(id).ok()).ok_or("an id is no number")?;
            found.insert(id, (token.clone(), NORMAL));
        }
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let id =
                added["id"].as_u64().and_then(|id| usize::try_from(id).ok()).ok_or("an id is no number")?;
            let token = added["content"].as_str().unwrap_or_default().to_owned();
            let kind = if added["special"].as_bool().unwrap_or(false) { CONTROL } else { USER_DEFINED };
            found.insert(id, (token, kind));
        }
        if let Some(id) = found.keys().max().filter(|id| **id >= config.vocab_size) {
            return Err(format!(
                "its token {:?} has the id {id}, the model's embedding {} rows",
                found[id].0, config.vocab_size
            ));
        }
        let padding = config.vocab_size - found.len();
        let (mut tokens, mut types) = (Vec::new(), Vec::new());
        for id in 0..config.vocab_size {
            let (token, kind) = found.remove(&id).unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED));
            tokens.push(token);
            types.push(kind);
        }
        Ok(Self { tokens, types, padding })
    }

    /// SentencePiece knows its 256 bytes and its unknown token by their types.
    fn mark_bytes_and_unknown(&mut self, json: &Value) {
        let unknown = json["model"]["unk_token"].as_str();
        for (token, kind) in self.tokens.iter().zip(&mut self.types) {
            if Some(token.as_str()) == unknown {
                *kind = UNKNOWN;
            } else if byte_token(token).is_some() && *kind == NORMAL {
                *kind = BYTE;
            }
        }
    }
}

/// The merges, in either spelling of `tokenizer.json`.
fn merges(json: &Value) -> Vec<(&str, &str)> {
    let listed = json["model"]["merges"].as_array().into_iter().flatten();
    listed
        .filter_map(|merge| match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(pair) => Some((pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
            _ => None,
        })
        .collect()
}

/// A score for every token: the later its first merge, the lower. Longer ones that no merge makes come
/// last, so that two tokens that happen to spell one do not join before others.
fn scores(tokens: &[String], merges: &[(&str, &str)]) -> Vec<f32> {
    let mut first: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        first.entry(format!("{left}{right}")).or_insert(rank);
    }
    let last = merges.len();
    let rank = |token: &String| {
        first.get(token).copied().unwrap_or(if token.chars().count() > 1 { last } else { 0 })
    };
    tokens.iter().map(|token| -(rank(token) as f32)).collect()
}

/// The tokens at which generation ends, the tokenizer's own first where it is among them.
fn end_tokens(file: &TokenizerFile, config: &LlamaConfig) -> Vec<u32> {
    let mut ends = config.eos_token_ids.clone();
    match file.eos_id() {
        Some(own) if ends.is_empty() => ends.push(own),
        Some(own) => ends.sort_by_key(|id| *id != own),
        None => {}
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_scores_by_its_first_merge() {
        let tokens = ["a", "b", "ab", "aba", "</s>"].map(String::from);
        let scores = scores(&tokens, &[("a", "b"), ("ab", "a"), ("a", "ba")]);
        assert_eq!(scores, [0.0, 0.0, 0.0, -1.0, -3.0]);
    }
}
