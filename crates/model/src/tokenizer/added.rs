//! Tokens that the files beside `tokenizer.json` add to it: `added_tokens.json` and the
//! `added_tokens_decoder` of `tokenizer_config.json`, each with the id that the model knows it by.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

/// The special tokens that have a name, in the order in which transformers adds them.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Keys of lists of special tokens.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// The special tokens that `tokenizer_config.json` and `special_tokens_map.json` name, in order,
/// without repetition.
pub(super) fn named_specials(config: &Value, map: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned);
    let mut names: Vec<String> = Vec::new();
    for file in [config, map] {
        let single = NAMED.iter().filter_map(|key| text(&file[*key]));
        let lists = LISTS.iter().flat_map(|key| match &file[*key] {
            Value::Array(list) => list.iter().filter_map(text).collect(),
            Value::Object(named) => named.values().filter_map(text).collect(),
            _ => Vec::new(),
        });
        for token in single.chain(lists) {
            if !token.is_empty() && !names.contains(&token) {
                names.push(token);
            }
        }
    }
    names
}

/// Adds to the content of `tokenizer.json` what the other two files have and it has not. Returns the
/// tokens concerned with their ids, for a check of the tokenizer that is made of it.
///
/// # Errors
/// An entry of another shape, a token with two ids, an id with two tokens; by file and token.
pub(super) fn complete(
    tokenizer: &mut Value,
    added_tokens: &Value,
    config: &Value,
    specials: &[String],
) -> Result<BTreeMap<u32, String>, String> {
    let mut known = Known::of(tokenizer);
    let mut fresh: BTreeMap<u32, Value> = BTreeMap::new();
    for (file, id, entry) in entries(added_tokens, config, specials)? {
        let content = entry["content"].as_str().unwrap_or_default().to_owned();
        if let Some(other) = known.ids.get(&content).filter(|other| **other != id) {
            return Err(format!("{file} gives the token {content:?} the id {id}, elsewhere it is {other}"));
        }
        if let Some(other) = known.tokens.get(&id).filter(|other| **other != content) {
            return Err(format!(
                "{file} gives the id {id} to the token {content:?}, elsewhere it is {other:?}"
            ));
        }
        known.ids.insert(content.clone(), id);
        known.tokens.insert(id, content.clone());
        if !known.whole.contains(&content) {
            fresh.entry(id).or_insert(entry);
        }
    }
    let Some(object) = tokenizer.as_object_mut().filter(|_| !fresh.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    // The library numbers new tokens one after the other unless its model knows them: a vocabulary
    // by names can have gaps.
    if let Some(vocab) =
        object.get_mut("model").and_then(|model| model.get_mut("vocab")).and_then(Value::as_object_mut)
    {
        for (id, entry) in &fresh {
            vocab.entry(entry["content"].as_str().unwrap_or_default()).or_insert_with(|| json!(id));
        }
    }
    let names =
        fresh.iter().map(|(id, entry)| (*id, entry["content"].as_str().unwrap_or_default().to_owned()));
    let names = names.collect();
    match object.entry("added_tokens").or_insert_with(|| json!([])) {
        Value::Array(list) => list.extend(fresh.into_values()),
        other => *other = Value::Array(fresh.into_values().collect()),
    }
    Ok(names)
}

/// What `tokenizer.json` knows.
struct Known {
    ids: HashMap<String, u32>,
    tokens: HashMap<u32, String>,
    /// Tokens that are matched whole.
    whole: Vec<String>,
}

impl Known {
    fn of(tokenizer: &Value) -> Self {
        let mut known = Self { ids: HashMap::new(), tokens: HashMap::new(), whole: Vec::new() };
        let vocab = &tokenizer["model"]["vocab"];
        let named = vocab.as_object().into_iter().flatten().map(|(token, id)| (token.clone(), id.as_u64()));
        // Unigram models list pieces with their scores.
        let listed = vocab.as_array().into_iter().flatten().enumerate();
        let listed = listed.filter_map(|(id, piece)| Some((piece[0].as_str()?.to_owned(), Some(id as u64))));
        let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
        let added =
            added.filter_map(|token| Some((token["content"].as_str()?.to_owned(), token["id"].as_u64())));
        known.whole = added.clone().map(|(token, _)| token).collect();
        for (token, id) in named.chain(listed).chain(added) {
            if let Some(id) = id.and_then(|id| u32::try_from(id).ok()) {
                known.tokens.insert(id, token.clone());
                known.ids.insert(token, id);
            }
        }
        known
    }
}

/// File, id and entry as `tokenizer.json` writes it, of every token that the two files list.
fn entries(
    added_tokens: &Value,
    config: &Value,
    specials: &[String],
) -> Result<Vec<(&'static str, u32, Value)>, String> {
    let mut entries = Vec::new();
    let whole_number = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let file = "added_tokens.json";
    match added_tokens {
        Value::Null => {}
        Value::Object(tokens) => {
            for (content, id) in tokens.iter().filter(|(content, _)| !content.is_empty()) {
                let id = whole_number(id)
                    .ok_or_else(|| format!("{file}: the id of {content:?} is {id}, expected a token id"))?;
                let special = specials.contains(content);
                entries.push((file, id, entry(id, content, &json!({ "special": special }))));
            }
        }
        _ => return Err(format!("{file} is no object of tokens and their ids")),
    }
    let file = "tokenizer_config.json's added_tokens_decoder";
    match &config["added_tokens_decoder"] {
        Value::Null => {}
        Value::Object(tokens) => {
            for (id, flags) in tokens {
                let content = flags["content"].as_str().or_else(|| flags.as_str());
                let (Ok(id), Some(content)) = (id.parse(), content) else {
                    return Err(format!(
                        "{file}: {id:?} is {flags}, expected an id and a token with `content`"
                    ));
                };
                if !content.is_empty() {
                    entries.push((file, id, entry(id, content, flags)));
                }
            }
        }
        _ => return Err(format!("{file} is no object of ids and their tokens")),
    }
    Ok(entries)
}

/// A token as `tokenizer.json` lists it, its flags false where nothing is said.
fn entry(id: u32, content: &str, flags: &Value) -> Value {
    let mut entry = Map::from_iter([("id".to_owned(), json!(id)), ("content".to_owned(), json!(content))]);
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
        entry.insert(flag.to_owned(), json!(flags[flag].as_bool().unwrap_or(false)));
    }
    Value::Object(entry)
}
