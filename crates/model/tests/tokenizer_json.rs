//! `tokenizer.json` and its companions.

use std::path::Path;

use camelid_model::{TokenizerFile, load_tokenizer};
use proptest::prelude::*;
use tokenizers::Tokenizer;

/// The 47 texts and their ids, as llama.cpp's vocabulary tests store them.
fn vectors(dir: &Path) -> Vec<(String, Vec<u32>)> {
    let texts = std::fs::read_to_string(dir.join("vectors.inp")).unwrap();
    let ids = std::fs::read_to_string(dir.join("vectors.out")).unwrap();
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<Vec<u32>> =
        ids.split('\n').map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect()).collect();
    assert_eq!(texts.len(), ids.len());
    texts.into_iter().map(String::from).zip(ids).collect()
}

fn assert_vectors(tokenizer: &Tokenizer, vectors: &[(String, Vec<u32>)]) {
    for (text, expected) in vectors {
        let encoded = tokenizer.encode(text.as_str(), false).unwrap();
        assert_eq!(encoded.get_ids(), expected, "{text:?}");
        let decoded = tokenizer.decode(expected, true).unwrap();
        assert_eq!(decoded.trim_start_matches(' '), text.trim_start_matches(' '), "back from {expected:?}");
    }
}

#[test]
fn the_llama_tokenizer_passes_its_47_vectors() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let dir = oracles.join("llama-tokenizer");
    let vectors = vectors(&dir);
    assert_eq!(vectors.len(), 47);
    assert_vectors(&load_tokenizer(&dir.join("tokenizer.json")).unwrap(), &vectors);
    assert_vectors(&load_tokenizer(&dir).unwrap(), &vectors);
}

#[test]
fn companions_give_template_and_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("tokenizer.json", &small().to_string());
    let bare = TokenizerFile::open(dir.path()).unwrap();
    assert_eq!((bare.chat_template, bare.bos_token, bare.eos_token), (None, None, None));

    put(
        "tokenizer_config.json",
        r#"{"chat_template": "T", "bos_token": {"content": "a"}, "eos_token": "b", "model_max_length": 1e30}"#,
    );
    let file = TokenizerFile::open(&dir.path().join("tokenizer.json")).unwrap();
    assert_eq!(file.chat_template.as_deref(), Some("T"));
    assert_eq!((file.bos_id(), file.eos_id()), (Some(0), Some(1)));
    put("chat_template.jinja", "J");
    assert_eq!(TokenizerFile::open(dir.path()).unwrap().chat_template.as_deref(), Some("J"));
    put("tokenizer_config.json", "{");
    let message = TokenizerFile::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer_config.json"), "{message}");
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = load_tokenizer(dir.path()).unwrap_err().to_string();
    assert!(message.contains("neither tokenizer.json nor exactly one .gguf"), "{message}");
    let path = dir.path().join("tokenizer.json");
    let message = load_tokenizer(&path).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json"), "{message}");
    std::fs::write(&path, "[1, 2").unwrap();
    let message = load_tokenizer(&path).unwrap_err().to_string();
    assert!(message.contains("not valid JSON"), "{message}");
    let mut odd = small();
    odd["model"]["merges"][0] = serde_json::json!(["ab", "b"]);
    std::fs::write(&path, odd.to_string()).unwrap();
    let message = load_tokenizer(&path).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json") && message.contains("merge 0"), "{message}");
}

fn small() -> serde_json::Value {
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [{"id": 3, "content": "<e>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<e>": 3}, "merges": [["a", "b"]]},
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_mutation_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = small().to_string().into_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(tokenizer) = load_tokenizer(&path) {
            let _ = tokenizer.encode("abba<e> b", true);
        }
    }
}
