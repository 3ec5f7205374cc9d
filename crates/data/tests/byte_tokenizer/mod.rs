//! A tokenizer with one token per byte, so that counts can be checked by eye.

use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// Ids 0–255 are bytes (in the byte-level alphabet's order), 256 is `<s>`, 257
/// `</s>`. With `bos` the post-processor puts `<s>` first, as LLaMA's does.
pub fn byte_tokenizer(bos: bool) -> Tokenizer {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let mut vocab = serde_json::Map::new();
    for (id, symbol) in alphabet.iter().enumerate() {
        vocab.insert(symbol.to_string(), id.into());
    }
    let mut added = Vec::new();
    for (id, token) in [(256, "<s>"), (257, "</s>")] {
        vocab.insert(token.to_string(), id.into());
        added.push(serde_json::json!({
            "id": id, "content": token, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    let byte_level = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let template = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}},
    });
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": byte_level, "decoder": byte_level,
        "post_processor": if bos { template } else { serde_json::Value::Null },
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    Tokenizer::from_bytes(json.to_string()).unwrap()
}
