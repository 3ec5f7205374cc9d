//! A tokenizer with one token per byte, so that token spans are byte spans and counts can be checked
//! by eye.

use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;

/// Byte-level, no merges: ids 0–255 are bytes in the byte-level alphabet's order, `specials` follow. Its
/// post-processor
/// trims offsets, as GPT-2's and SmolLM2's do, and adds no beginning token.
///
/// # Panics
/// Never.
pub fn byte_tokenizer(specials: &[&str]) -> Tokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut vocab = serde_json::Map::new();
    for (id, c) in alphabet.iter().enumerate() {
        vocab.insert(c.to_string(), id.into());
    }
    let mut added = Vec::new();
    for (i, special) in specials.iter().enumerate() {
        let id = alphabet.len() + i;
        vocab.insert(special.to_string(), id.into());
        added.push(serde_json::json!({
            "id": id, "content": special, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    let byte_level = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    Tokenizer::from_bytes(json.to_string()).expect("a sound tokenizer")
}

/// The same with `<s>` (256) and `</s>` (257), whose post-processor puts `<s>` first, as LLaMA's does.
///
/// # Panics
/// Never.
pub fn byte_tokenizer_with_bos() -> Tokenizer {
    let mut tokenizer = byte_tokenizer(&["<s>", "</s>"]);
    let template = TemplateProcessing::builder()
        .try_single("<s> $A")
        .and_then(|builder| builder.try_pair("$A $B"))
        .map(|builder| builder.special_tokens(vec![("<s>", 256)]).build());
    let template = template.expect("a sound template").expect("a sound template");
    tokenizer.with_post_processor(Some(template));
    tokenizer
}
