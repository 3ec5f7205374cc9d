//! Damaged GGUF files: each a message that names file and field, never a panic.

use std::path::PathBuf;

use camelid_model::gguf::GgufFile;
use camelid_model::weights::GgufWeights;
use camelid_model::{TokenizerFile, open_weights};
use camelid_tests::gguf::{GgufWriter, Meta, Stored, samples};
use proptest::prelude::*;

struct Written {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn write(bytes: &[u8]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.gguf");
    std::fs::write(&path, bytes).unwrap();
    Written { _dir: dir, path }
}

/// The message of opening `bytes`; it must name the file.
fn error_of(bytes: &[u8]) -> String {
    let file = write(bytes);
    let message = match GgufFile::open(&file.path) {
        Err(error) => error.to_string(),
        Ok(_) => GgufWeights::open(&file.path).expect_err("an error").to_string(),
    };
    assert!(message.contains("broken.gguf"), "{message}");
    message
}

#[track_caller]
fn assert_error(bytes: &[u8], parts: &[&str]) {
    let message = error_of(bytes);
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in: {message}");
    }
}

#[test]
fn other_files_and_versions() {
    assert_error(b"", &["magic", "too early"]);
    assert_error(b"PK\x03\x04 and more", &["not a GGUF file", "47, 47, 55, 46"]);
    let mut bytes = samples::llama().build();
    bytes[4..8].copy_from_slice(&1u32.to_le_bytes());
    assert_error(&bytes, &["version 1", "expected 2 or 3"]);
    bytes[4..8].copy_from_slice(&3u32.to_be_bytes());
    assert_error(&bytes, &["big-endian"]);
}

#[test]
fn every_truncation_is_an_error() {
    let mut w = samples::llama();
    samples::add_bpe_vocabulary(&mut w);
    let bytes = w.build();
    let header = bytes.len() - 600_000; // the data, larger, come last
    let cuts = (0..bytes.len()).step_by(997).chain((0..2000).step_by(13)).chain([bytes.len() - 1, header]);
    for cut in cuts {
        let message = error_of(&bytes[..cut]);
        assert!(
            message.contains("early") || message.contains("left") || message.contains("past the end"),
            "cut at {cut}: {message}"
        );
    }
}

#[test]
fn counts_that_the_file_cannot_hold_allocate_nothing() {
    let sound = samples::llama().build();
    let huge = (1u64 << 60).to_le_bytes();
    let mut bytes = sound.clone();
    bytes[8..16].copy_from_slice(&huge);
    assert_error(&bytes, &["tensor table", "claims 1152921504606846976 tensors"]);
    let mut bytes = sound.clone();
    bytes[16..24].copy_from_slice(&huge);
    assert_error(&bytes, &["claims 1152921504606846976 metadata entries"]);
    let mut bytes = sound.clone();
    bytes[24..32].copy_from_slice(&huge);
    assert_error(&bytes, &["metadata entry 0", "text bytes"]);

    let mut array = 4u32.to_le_bytes().to_vec();
    array.extend(huge);
    let mut w = samples::llama();
    w.set("array", Meta::Raw(9, array));
    assert_error(&w.build(), &["metadata key `array`", "array elements"]);
}

#[test]
fn values_of_no_known_form() {
    let with = |value| {
        let mut w = samples::llama();
        w.set("odd", value);
        w.build()
    };
    assert_error(&with(Meta::Raw(99, vec![])), &["`odd`", "value type 99"]);
    assert_error(&with(Meta::Raw(7, vec![2])), &["`odd`", "byte 2, expected 0 or 1"]);
    let mut text = 3u64.to_le_bytes().to_vec();
    text.extend([b'a', 0xff, b'b']);
    assert_error(&with(Meta::Raw(8, text)), &["`odd`", "not UTF-8", "first bad byte: 1 of 3"]);
    let mut nested = 9u32.to_le_bytes().to_vec();
    nested.extend(1u64.to_le_bytes());
    nested.extend([0; 12]);
    assert_error(&with(Meta::Raw(9, nested)), &["`odd`", "array of arrays"]);
    let mut twice = samples::llama();
    twice.duplicate("llama.block_count");
    assert_error(&twice.build(), &["`llama.block_count`", "twice"]);
    let mut w = samples::llama();
    w.set("general.alignment", Meta::U32(33));
    assert_error(&w.build(), &["general.alignment", "33", "power of two"]);
}

#[test]
fn tensors_that_lie_about_their_place_or_shape() {
    let with = |change: &dyn Fn(&mut GgufWriter)| {
        let mut w = samples::llama();
        change(&mut w);
        w.build()
    };
    let one = [0.0; 32];
    let bytes = with(&|w| {
        w.tensor("x", &[32], Stored::F32, &one).at_offset(64);
    });
    assert_error(&bytes, &["`x`", "inside tensor `token_embd.weight`"]);
    let bytes = with(&|w| {
        w.tensor("x", &[32], Stored::F32, &one).at_offset(1 << 40);
    });
    assert_error(&bytes, &["`x`", "past the end"]);
    let bytes = with(&|w| {
        w.tensor("x", &[32], Stored::F32, &one).at_offset(u64::MAX - 31);
    });
    assert_error(&bytes, &["`x`", "past the end"]);
    let bytes = with(&|w| {
        w.tensor("x", &[32], Stored::F32, &one).at_offset(33);
    });
    assert_error(&bytes, &["`x`", "expected a multiple of 32"]);
    let bytes = with(&|w| {
        w.raw_tensor("x", &[1 << 62], 0, vec![0; 4]);
    });
    assert_error(&bytes, &["`x`", "past the end"]);
    let bytes = with(&|w| {
        w.raw_tensor("x", &[1 << 40, 1 << 40], 0, vec![0; 4]);
    });
    assert_error(&bytes, &["`x`", "too many elements"]);
    let bytes = with(&|w| {
        w.raw_tensor("x", &[1; 5], 0, vec![0; 4]);
    });
    assert_error(&bytes, &["`x`", "5 dimensions"]);
    let bytes = with(&|w| {
        w.raw_tensor("x", &[31], 2, vec![0; 18]);
    });
    assert_error(&bytes, &["`x`", "rows of 31", "multiple of 32", "Q4_0"]);
    let bytes = with(&|w| {
        w.tensor("output_norm.weight", &[32], Stored::F32, &one);
    });
    assert_error(&bytes, &["`output_norm.weight`", "twice"]);
}

#[test]
fn models_that_are_not_what_they_should_be() {
    let with = |change: &dyn Fn(&mut GgufWriter)| {
        let mut w = samples::llama();
        change(&mut w);
        w.build()
    };
    let bytes = with(&|w| {
        w.set("general.architecture", Meta::str("mamba"));
    });
    assert_error(&bytes, &["general.architecture", "`mamba`", "`llama`"]);
    let bytes = with(&|w| {
        w.set("llama.expert_count", Meta::U32(8));
    });
    assert_error(&bytes, &["llama.expert_count", "8"]);
    let bytes = with(&|w| {
        w.set("split.count", Meta::U16(2));
    });
    assert_error(&bytes, &["split.count", "one of 2 parts", "NAME-00001-of-00002.gguf"]);
    for key in
        ["general.architecture", "llama.block_count", "llama.attention.head_count", "llama.context_length"]
    {
        let bytes = with(&|w| {
            w.remove(key);
        });
        assert_error(&bytes, &[&format!("`{key}` is missing")]);
    }
    let bytes = with(&|w| {
        w.set("llama.block_count", Meta::U64(1 << 30));
    });
    assert_error(&bytes, &["llama.block_count", "at most the number of tensors"]);
    let bytes = with(&|w| {
        w.set("llama.attention.head_count", Meta::U32(0));
    });
    assert_error(&bytes, &["llama.attention.head_count", "from 1"]);
    let bytes = with(&|w| {
        w.set("llama.embedding_length", Meta::U64(1 << 62));
    });
    assert_error(&bytes, &["llama.embedding_length"]);
    let bytes = with(&|w| {
        w.set("llama.rope.dimension_count", Meta::U32(64));
    });
    assert_error(&bytes, &["llama.rope.dimension_count", "64", "128"]);
    let bytes = with(&|w| {
        w.set("llama.rope.scaling.type", Meta::str("yarn"));
    });
    assert_error(&bytes, &["llama.rope.scaling.type", "`yarn`"]);
    let bytes = with(&|w| {
        w.remove_tensor("token_embd.weight");
    });
    assert_error(&bytes, &["`token_embd.weight` is missing"]);
    let bytes = with(&|w| {
        w.tensor("blk.0.ffn_gate_inp.weight", &[32], Stored::F32, &[0.0; 32]);
    });
    assert_error(&bytes, &["unexpected tensor `blk.0.ffn_gate_inp.weight`"]);
    let bytes = with(&|w| {
        w.raw_tensor("output.weight", &[8, 256], 16, vec![0; 8 * 66]);
    });
    assert_error(&bytes, &["`output.weight`", "IQ2_XXS"]);
}

#[test]
fn a_projection_with_the_wrong_number_of_rows_is_named() {
    let mut w = samples::llama();
    w.set("llama.attention.head_count_kv", Meta::U32(2));
    let file = write(&w.build());
    let source = open_weights(&file.path).unwrap();
    let message = source.read("model.layers.0.self_attn.k_proj.weight").unwrap_err().to_string();
    assert!(message.contains("`blk.0.attn_k.weight` has shape [128, 256], expected [256, 256]"), "{message}");
}

/// Everything a user of the file would do with it; the results do not matter.
fn use_everything(path: &std::path::Path) {
    if let Ok(source) = open_weights(path) {
        for name in source.names() {
            let _ = source.read(&name);
        }
    }
    if let Ok(file) = TokenizerFile::open(path) {
        let encoded = file.tokenizer.encode("hello world 123 <|end|> </s> ¿qué?", true);
        if let Ok(encoded) = encoded {
            let _ = file.tokenizer.decode(encoded.get_ids(), false);
        }
    }
}

/// A small file: one head of 32, no K types, so that headers make up much of it.
fn small(spm: bool) -> Vec<u8> {
    let mut w = GgufWriter::default();
    w.set("general.architecture", Meta::str("llama"));
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 16),
        ("embedding_length", 32),
        ("feed_forward_length", 32),
        ("attention.head_count", 1),
    ] {
        w.set(&format!("llama.{key}"), Meta::U32(value));
    }
    w.set("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5));
    for (i, name) in ["token_embd", "blk.0.attn_q", "blk.0.attn_k"].into_iter().enumerate() {
        let kind = [Stored::Q8_0, Stored::Q4_1, Stored::F16][i];
        w.tensor(&format!("{name}.weight"), &[32, 32], kind, &samples::values(i as u64, 1024));
    }
    if spm {
        samples::add_spm_vocabulary(&mut w);
    } else {
        samples::add_bpe_vocabulary(&mut w);
    }
    w.build()
}

#[test]
fn the_files_that_are_mutated_are_sound() {
    for spm in [false, true] {
        let file = write(&small(spm));
        let source = open_weights(&file.path).unwrap();
        assert_eq!(source.names().len(), 3);
        source.names().iter().for_each(|n| drop(source.read(n).unwrap()));
        let tokenizer = TokenizerFile::open(&file.path).unwrap().tokenizer;
        assert!(!tokenizer.encode("hello", true).unwrap().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    /// Flips bytes and plants extreme numbers; nothing may panic or run away.
    #[test]
    fn no_mutation_panics(
        spm: bool,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        plants in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            0u64, 1, 0xff, 0xffff, u32::MAX as u64, 1 << 32, 1 << 40, 1 << 62, u64::MAX, i64::MAX as u64,
        ]), 1usize..=8), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = small(spm);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (at, number, width) in plants {
            let at = at.index(bytes.len() - 8);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        use_everything(&write(&bytes).path);
    }
}
