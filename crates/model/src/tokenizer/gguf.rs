//! What the two kinds of GGUF vocabulary have in common: tokens, their types, the
//! special ones, and what is put around a text.

use std::collections::BTreeMap;

use camelid_chat::DEFAULT_TEMPLATE;
use tokenizers::processors::template::{SpecialToken, TemplateProcessing};
use tokenizers::{AddedToken, Tokenizer};

use super::vocabulary::{Vocabulary, wrong};
use super::{TokenizerFile, bpe, spm};
use crate::error::ModelError;
use crate::gguf::GgufFile;

/// Token types as in `llama.h` (`enum llama_token_type`).
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Further special tokens by the name that templates use, with their keys (`gguf-py`'s constants, one
/// of them misspelt there and in every file).
const OTHER_TOKENS: [(&str, &str); 5] = [
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

pub(super) fn rebuild(file: &GgufFile) -> Result<TokenizerFile, ModelError> {
    let kind = file.string("tokenizer.ggml.model")?;
    let vocabulary = Vocabulary::read(file)?;
    let (mut tokenizer, adds_bos) = match kind {
        "gpt2" => bpe::build(file, &vocabulary)?,
        "llama" => spm::build(file, &vocabulary)?,
        other => {
            return Err(ModelError::Tokenizer {
                origin: file.path().display().to_string(),
                problem: format!(
                    "metadata key `tokenizer.ggml.model` is `{other}`, expected `gpt2` or `llama`"
                ),
            });
        }
    };
    add_special_tokens(file, &vocabulary, &mut tokenizer)?;
    let bos = vocabulary.token(file, "tokenizer.ggml.bos_token_id")?;
    let eos = vocabulary.token(file, "tokenizer.ggml.eos_token_id")?;
    let wants_bos = file.optional_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(adds_bos);
    let wants_eos = file.optional_bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    frame_texts(file, &mut tokenizer, bos.filter(|_| wants_bos), eos.filter(|_| wants_eos))?;
    let templates = templates(file)?;
    let mut other_tokens = BTreeMap::new();
    for (name, key) in OTHER_TOKENS {
        // An id that is none (all ones, for example) names no token.
        if let Ok(Some((_, token))) = vocabulary.token(file, key) {
            other_tokens.insert(name.to_owned(), token.to_owned());
        }
    }
    Ok(TokenizerFile {
        tokenizer,
        chat_template: templates.get(DEFAULT_TEMPLATE).cloned(),
        bos_token: bos.map(|(_, token)| token.to_string()),
        eos_token: eos.map(|(_, token)| token.to_string()),
        other_tokens,
        templates,
        notes: Vec::new(),
    })
}

/// The chat templates of the file by name: the usual one, and those that `tokenizer.chat_templates`
/// lists.
fn templates(file: &GgufFile) -> Result<BTreeMap<String, String>, ModelError> {
    let mut templates = BTreeMap::new();
    if let Some(usual) = file.optional_string("tokenizer.chat_template")? {
        templates.insert(DEFAULT_TEMPLATE.to_owned(), usual.to_owned());
    }
    let list = "tokenizer.chat_templates";
    let names = if file.value(list).is_some() { file.strings(list)? } else { &[] };
    for name in names {
        if let Some(template) = file.optional_string(&format!("tokenizer.chat_template.{name}"))? {
            templates.insert(name.clone(), template.to_owned());
        }
    }
    Ok(templates)
}

/// Makes control tokens (and the unknown one) special and user-defined ones whole,
/// none of them subject to normalisation.
fn add_special_tokens(
    file: &GgufFile,
    vocabulary: &Vocabulary,
    tokenizer: &mut Tokenizer,
) -> Result<(), ModelError> {
    let of_types = |types: &[i64], special: bool| -> Vec<AddedToken> {
        vocabulary
            .types
            .iter()
            .zip(vocabulary.tokens)
            .filter(|(kind, token)| types.contains(kind) && !token.is_empty())
            .map(|(_, token)| AddedToken::from(token.as_str(), special).normalized(false))
            .collect()
    };
    tokenizer
        .add_special_tokens(of_types(&[UNKNOWN, CONTROL], true))
        .and_then(|_| tokenizer.add_tokens(of_types(&[USER_DEFINED], false)))
        .map_err(|e| wrong(file, e))?;
    Ok(())
}

/// Puts `bos` before and `eos` after every text, as a post-processor.
fn frame_texts(
    file: &GgufFile,
    tokenizer: &mut Tokenizer,
    bos: Option<(u32, &str)>,
    eos: Option<(u32, &str)>,
) -> Result<(), ModelError> {
    if bos.is_none() && eos.is_none() {
        return Ok(());
    }
    let mut special = Vec::new();
    let (mut single, mut pair) = (vec!["$A:0"], vec!["$A:0"]);
    if let Some((id, token)) = bos {
        let bos = SpecialToken::new("bos".into(), vec![id], vec![token.into()]);
        special.push(bos.map_err(|e| wrong(file, e))?);
        single.insert(0, "bos:0");
        pair.insert(0, "bos:0");
        pair.push("bos:1");
    }
    pair.push("$B:1");
    if let Some((id, token)) = eos {
        let eos = SpecialToken::new("eos".into(), vec![id], vec![token.into()]);
        special.push(eos.map_err(|e| wrong(file, e))?);
        single.push("eos:0");
        pair.push("eos:1");
    }
    let template = TemplateProcessing::builder()
        .try_single(single)
        .map_err(|e| wrong(file, e))?
        .try_pair(pair)
        .map_err(|e| wrong(file, e))?
        .special_tokens(special)
        .build()
        .map_err(|e| wrong(file, e))?;
    tokenizer.with_post_processor(Some(template));
    Ok(())
}
