//! Tokenizers rebuilt from GGUF vocabularies.

mod smollm2;

use std::path::Path;

use camelid_model::{ModelError, TokenizerFile};
use camelid_tests::gguf::{GgufWriter, Meta, samples};
use camelid_tests::oracles;

fn load(w: &GgufWriter) -> Result<TokenizerFile, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.gguf");
    std::fs::write(&path, w.build()).unwrap();
    TokenizerFile::open(&path)
}

fn bpe() -> GgufWriter {
    let mut w = GgufWriter::default();
    samples::add_bpe_vocabulary(&mut w);
    w
}

fn spm() -> GgufWriter {
    let mut w = GgufWriter::default();
    samples::add_spm_vocabulary(&mut w);
    w
}

fn tokens(file: &TokenizerFile, text: &str) -> Vec<String> {
    file.tokenizer.encode(text, true).unwrap().get_tokens().to_vec()
}

#[test]
fn byte_level_bpe_merges_splits_digits_and_keeps_special_tokens() {
    let file = load(&bpe()).unwrap();
    assert_eq!(tokens(&file, "hello world"), ["hello", "Ġworld"]);
    assert_eq!(tokens(&file, "12"), ["1", "2"], "digits stand alone although 12 is a token");
    assert_eq!(tokens(&file, "<|turn|>hell<|end|>"), ["<|turn|>", "hell", "<|end|>"]);
    let ids = file.tokenizer.encode("hello world\nor", true).unwrap();
    assert_eq!(file.tokenizer.decode(ids.get_ids(), true).unwrap(), "hello world\nor");
    assert_eq!(file.chat_template.as_deref(), Some("{{ messages }}"));
    assert_eq!((file.bos_id(), file.eos_id()), (Some(1), Some(0)));
    assert_eq!(file.eos_token.as_deref(), Some("<|end|>"));
}

#[test]
fn pre_tokenisation_goes_by_name() {
    let with = |pre: &str| {
        let mut w = bpe();
        w.set("tokenizer.ggml.pre", Meta::str(pre));
        load(&w)
    };
    assert_eq!(tokens(&with("gpt-2").unwrap(), "12 12"), ["12", "Ġ", "12"]);
    assert_eq!(tokens(&with("llama-bpe").unwrap(), "12world"), ["12", "w", "or", "ld"]);
    let message = with("whatever").unwrap_err().to_string();
    for part in ["vocab.gguf", "tokenizer.ggml.pre", "`whatever`", "smollm", "llama-bpe"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    // Without a name llama.cpp's default holds: digits in threes, punctuation apart.
    let mut w = bpe();
    w.remove("tokenizer.ggml.pre");
    let file = load(&w).unwrap();
    assert_eq!(tokens(&file, "1234,12"), ["12", "3", "4", ",", "12"]);
}

#[test]
fn texts_begin_and_end_as_the_file_says() {
    let mut w = bpe();
    w.set("tokenizer.ggml.add_bos_token", Meta::Bool(true))
        .set("tokenizer.ggml.add_eos_token", Meta::Bool(true));
    assert_eq!(tokens(&load(&w).unwrap(), "hell"), ["<|turn|>", "hell", "<|end|>"]);
    w.remove("tokenizer.ggml.add_bos_token").remove("tokenizer.ggml.add_eos_token");
    assert_eq!(tokens(&load(&w).unwrap(), "hell"), ["hell"], "no bos by default for smollm");
    w.set("tokenizer.ggml.pre", Meta::str("llama-bpe"));
    assert_eq!(tokens(&load(&w).unwrap(), "hell"), ["<|turn|>", "hell"], "but for Llama 3");
    assert_eq!(tokens(&load(&spm()).unwrap(), "hello"), ["<s>", "▁hello"], "and for SentencePiece");
}

#[test]
fn sentencepiece_joins_by_score_and_falls_back_to_bytes() {
    let file = load(&spm()).unwrap();
    assert_eq!(tokens(&file, "hello hell"), ["<s>", "▁hello", "▁hel", "l"]);
    assert_eq!(tokens(&file, "é"), ["<s>", "▁", "<0xC3>", "<0xA9>"]);
    let ids = file.tokenizer.encode("hello é\n", true).unwrap();
    assert_eq!(file.tokenizer.decode(ids.get_ids(), true).unwrap(), "hello é\n");
    let mut w = spm();
    w.set("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    assert_eq!(tokens(&load(&w).unwrap(), "el"), ["<s>", "el"]);
}

#[test]
fn inconsistent_vocabularies_are_named() {
    let error = |w: &GgufWriter, parts: &[&str]| {
        let message = load(w).unwrap_err().to_string();
        for part in ["vocab.gguf"].iter().chain(parts) {
            assert!(message.contains(part), "{part} in {message}");
        }
    };
    error(bpe().remove("tokenizer.ggml.tokens"), &["`tokenizer.ggml.tokens` is missing"]);
    error(
        bpe().set("tokenizer.ggml.model", Meta::str("bert")),
        &["tokenizer.ggml.model", "`bert`", "`gpt2` or `llama`"],
    );
    error(bpe().set("tokenizer.ggml.eos_token_id", Meta::U32(9999)), &["eos_token_id", "9999"]);
    error(bpe().set("tokenizer.ggml.token_type", Meta::I32Array(vec![1])), &["token_type", "1 elements"]);
    let merges = |merge: &str| Meta::StrArray(vec!["h e".into(), merge.into()]);
    error(bpe().set("tokenizer.ggml.merges", merges("h")), &["merges", "\"h\" at 1"]);
    error(bpe().set("tokenizer.ggml.merges", merges("hello hello")), &["\"hellohello\" at 1"]);
    error(spm().set("tokenizer.ggml.scores", Meta::F32Array(vec![0.0])), &["scores", "1 elements"]);
    error(spm().set("tokenizer.ggml.scores", Meta::F32Array(vec![f32::NAN; 270])), &["scores", "NaN at 0"]);
}

#[test]
fn of_a_repeated_token_the_last_id_counts() {
    let Meta::StrArray(tokens) = vocabulary_of(&bpe()) else { panic!("an array") };
    let hello = tokens.iter().position(|token| token == "hello").unwrap();
    let mut twice = tokens.clone();
    twice.push("hello".into());
    let mut w = bpe();
    w.set("tokenizer.ggml.tokens", Meta::StrArray(twice));
    let types = vec![1; tokens.len() + 1];
    w.set("tokenizer.ggml.token_type", Meta::I32Array(types));
    let file = load(&w).unwrap();
    let ids = file.tokenizer.encode("hello world", false).unwrap();
    assert_eq!(ids.get_ids()[0] as usize, tokens.len());
    assert_eq!(file.tokenizer.decode(ids.get_ids(), false).unwrap(), "hello world");
    assert_eq!(file.tokenizer.id_to_token(hello as u32), None);
}

fn vocabulary_of(w: &GgufWriter) -> Meta {
    w.metadata.iter().find(|(key, _)| key == "tokenizer.ggml.tokens").unwrap().1.clone()
}

#[test]
fn newer_pre_tokenisations_cut_as_their_models_do() {
    let with = |pre: &str, text: &str| {
        let mut w = bpe();
        w.set("tokenizer.ggml.pre", Meta::str(pre)).set("tokenizer.ggml.add_bos_token", Meta::Bool(false));
        tokens(&load(&w).unwrap(), text)
    };
    assert_eq!(with("mpt", "12 12"), with("gpt-2", "12 12"));
    assert_eq!(with("qwen2", "12"), ["1", "2"], "digits stand alone");
    assert_eq!(with("qwen2", "e\u{301}"), with("qwen2", "é"), "in normal form C");
    assert_ne!(with("tekken", "e\u{301}"), with("tekken", "é"));
    assert_eq!(with("smaug-bpe", "12"), ["12"], "digits go in threes");
    assert_eq!(with("tekken", "12"), ["1", "2"]);
}

/// The LLaMA vocabulary as its GGUF files hold it: no merges, but scores. A piece's
/// score is minus its rank; runs of spaces, which stand first among the pieces, have
/// the lowest of all.
fn llama_vocabulary(json: &serde_json::Value) -> GgufWriter {
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocab.len()];
    for (token, id) in vocab {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let types = (0..tokens.len()).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    });
    let scores = tokens.iter().enumerate().map(|(id, token)| match id {
        0..259 => 0.0,
        _ if token.chars().count() > 1 && token.chars().all(|c| c == '▁') => -1e9,
        _ => -(id as f32 - 259.0),
    });
    let mut w = GgufWriter::default();
    w.set("tokenizer.ggml.model", Meta::str("llama"))
        .set("tokenizer.ggml.token_type", Meta::I32Array(types.collect()))
        .set("tokenizer.ggml.scores", Meta::F32Array(scores.collect()))
        .set("tokenizer.ggml.tokens", Meta::StrArray(tokens))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(1))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(2))
        .set("tokenizer.ggml.unknown_token_id", Meta::U32(0));
    w
}

#[test]
fn the_llama_vocabulary_rebuilt_from_scores_equals_its_tokenizer_json() {
    let Some(oracles) = oracles() else { return };
    let dir = oracles.join("llama-tokenizer");
    let text = std::fs::read_to_string(dir.join("tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rebuilt = load(&llama_vocabulary(&json)).unwrap().tokenizer;
    let original = camelid_model::load_tokenizer(&dir).unwrap();

    let texts = std::fs::read_to_string(dir.join("vectors.inp")).unwrap();
    let questions = std::fs::read_to_string(oracles.join("oasst1/oa_questions.jsonl")).unwrap();
    let texts = texts.split("\n__ggml_vocab_test__\n").chain(questions.lines().step_by(5)).chain([
        "<s>hello</s> <unk>",
        "  two  spaces  ",
        "\u{10ffff}\u{0}",
    ]);
    let mut compared = 0;
    for text in texts {
        let (a, b) = (rebuilt.encode(text, true).unwrap(), original.encode(text, true).unwrap());
        assert_eq!(a.get_ids(), b.get_ids(), "{text:?}");
        assert_eq!(rebuilt.decode(a.get_ids(), true).unwrap(), original.decode(b.get_ids(), true).unwrap());
        compared += 1;
    }
    assert!(compared > 230, "only {compared} texts");
}

#[test]
fn smollm2s_embedded_tokenizer_gives_the_golden_ids() {
    let (Some(oracles), Some(model)) = (oracles(), smollm2::smollm2()) else { return };
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(oracles.join("smollm2/golden.json")).unwrap()).unwrap();
    let file = TokenizerFile::open(Path::new(&model)).unwrap();
    let ids: Vec<u32> =
        golden["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let encoded = file.tokenizer.encode(golden["text"].as_str().unwrap(), true).unwrap();
    assert_eq!(encoded.get_ids(), ids);
    assert_eq!(file.eos_token.as_deref(), Some("<|im_end|>"));
    assert!(file.chat_template.unwrap().contains("<|im_start|>"));
    let chat = file.tokenizer.encode("<|im_start|>user\nHi!<|im_end|>\n", true).unwrap();
    assert_eq!(chat.get_ids()[0], 1);
    assert_eq!(chat.get_tokens().iter().filter(|t| *t == "<|im_end|>").count(), 1);
    let text = "In 1234, ünïcödé 漢字 🦙  and\ttabs\n\n  it's 3.14";
    let ids = file.tokenizer.encode(text, true).unwrap();
    assert_eq!(file.tokenizer.decode(ids.get_ids(), true).unwrap(), text);
}
