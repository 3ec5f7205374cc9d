//! GGUF weights under their Hugging Face names.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor};
use camelid_lora::ForwardContext;
use camelid_model::gguf::TensorType;
use camelid_model::rope::inverse_frequencies;
use camelid_model::weights::{GgufWeights, WeightSource};
use camelid_model::{
    Llama, LlamaConfig, LoadedTensor, RopeScaling, StoredType, TokenizerFile, WeightStorage, open_weights,
};
use camelid_quant::QuantConfig;
use camelid_tests::gguf::{GgufWriter, Meta, Stored, samples};
use camelid_tests::oracles;

fn dense(source: &dyn WeightSource, name: &str) -> (Vec<usize>, Vec<f32>, StoredType) {
    match source.read(name).unwrap() {
        LoadedTensor::Dense { shape, values, stored } => (shape, values, stored),
        LoadedTensor::Quantized(_) => panic!("{name} is packed"),
    }
}

/// What llama.cpp's converter makes of a Hugging Face checkpoint, in `f32`.
fn converted(source: &dyn WeightSource, config: &LlamaConfig) -> GgufWriter {
    let mut w = GgufWriter::default();
    w.set("general.architecture", Meta::str("llama"));
    for (key, value) in [
        ("block_count", config.num_hidden_layers),
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("feed_forward_length", config.intermediate_size),
        ("attention.head_count", config.num_attention_heads),
        ("attention.head_count_kv", config.num_key_value_heads),
        ("rope.dimension_count", config.head_dim),
        ("vocab_size", config.vocab_size),
    ] {
        w.set(&format!("llama.{key}"), Meta::U32(value as u32));
    }
    w.set("llama.attention.layer_norm_rms_epsilon", Meta::F32(config.rms_norm_eps as f32))
        .set("llama.rope.freq_base", Meta::F32(config.rope_theta as f32))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(config.bos_token_id.unwrap()))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(config.eos_token_ids[0]))
        .set("tokenizer.ggml.padding_token_id", Meta::U32(config.pad_token_id.unwrap()));
    for name in source.names() {
        let (shape, mut values, _) = dense(source, &name);
        let heads = match name.as_str() {
            n if n.contains("q_proj") => Some(config.num_attention_heads),
            n if n.contains("k_proj") => Some(config.num_key_value_heads),
            _ => None,
        };
        if let Some(heads) = heads {
            values = interleave(&values, heads, config.head_dim, shape[1]);
        }
        let mut gguf = name.replace("model.layers.", "blk.");
        for (hf, ggml) in [
            ("model.embed_tokens", "token_embd"),
            ("model.norm", "output_norm"),
            ("lm_head", "output"),
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.o_proj", "attn_output"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ] {
            gguf = gguf.replace(hf, ggml);
        }
        w.tensor(&gguf, &shape, Stored::F32, &values);
    }
    w
}

/// `reshape(heads, 2, head_dim / 2, width).swapaxes(1, 2)`, the converter's permutation.
fn interleave(values: &[f32], heads: usize, head_dim: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for head in 0..heads {
        for i in 0..head_dim / 2 {
            for half in 0..2 {
                let row = head * head_dim + half * head_dim / 2 + i;
                out.extend(&values[row * width..(row + 1) * width]);
            }
        }
    }
    out
}

#[test]
fn a_converted_checkpoint_equals_the_original() {
    let Some(oracles) = oracles() else { return };
    let original = open_weights(&oracles.join("tiny_llama/base_f32")).unwrap();
    let config = original.config().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    std::fs::write(&path, converted(original.as_ref(), &config).build()).unwrap();

    // A directory with a single GGUF file stands for that file.
    let source = open_weights(dir.path()).unwrap();
    assert_eq!(source.config().unwrap(), config);
    assert_eq!(source.names(), original.names());
    for name in source.names() {
        assert_eq!(dense(source.as_ref(), &name), dense(original.as_ref(), &name), "{name}");
    }
    assert!(source.describe().contains("GGUF version 3") && source.describe().contains("tiny.gguf"));
}

fn write(w: &GgufWriter, path: &Path) {
    std::fs::write(path, w.build()).unwrap();
}

#[test]
fn the_configuration_follows_the_metadata_and_its_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    let mut w = samples::llama();
    write(&w, &path);
    let config = open_weights(&path).unwrap().config().unwrap();
    let expected = LlamaConfig {
        vocab_size: 8,
        hidden_size: 256,
        intermediate_size: 256,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 128,
        max_position_embeddings: 128,
        rope_theta: 100_000.0,
        rope_scaling: RopeScaling::None,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        pad_token_id: None,
        stored_4bit: false,
    };
    assert_eq!(config, expected);

    w.remove("llama.rope.freq_base")
        .remove("llama.attention.head_count_kv")
        .set("llama.rope.scaling.type", Meta::str("linear"))
        .set("llama.rope.scaling.factor", Meta::F32(4.0))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(2))
        .set("tokenizer.ggml.eot_token_id", Meta::U32(5))
        .tensor("output.weight", &[8, 256], Stored::F32, &[0.0; 2048])
        .tensor("blk.0.attn_q.bias", &[256], Stored::F32, &samples::values(7, 256));
    write(&w, &path);
    let message = open_weights(&path).unwrap_err().to_string();
    assert!(message.contains("present without `blk.0.attn_output.bias`"), "{message}");
    w.tensor("blk.0.attn_output.bias", &[256], Stored::F32, &[0.0; 256]);
    write(&w, &path);
    let source = open_weights(&path).unwrap();
    let config = source.config().unwrap();
    assert_eq!(config.rope_theta, 10_000.0);
    assert_eq!(config.num_key_value_heads, 2);
    assert_eq!(config.rope_scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(config.eos_token_ids, [2, 5]);
    assert!(!config.tie_word_embeddings && config.attention_bias);
    assert!(source.names().contains(&"lm_head.weight".to_string()));
    // Query biases are permuted as the rows are: stored row 1 is the second half's first.
    let (_, bias, _) = dense(source.as_ref(), "model.layers.0.self_attn.q_proj.bias");
    let stored = samples::values(7, 256);
    assert_eq!((bias[0], bias[1], bias[64]), (stored[0], stored[2], stored[1]));
}

#[test]
fn stored_types_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    write(&samples::llama(), &path);
    let source = open_weights(&path).unwrap();
    for (name, stored, text) in [
        ("embed_tokens", StoredType::Gguf(TensorType::Q8_0), "Q8_0"),
        ("layers.0.self_attn.v_proj", StoredType::Gguf(TensorType::Q4_K), "Q4_K"),
        ("layers.0.mlp.gate_proj", StoredType::F16, "F16"),
        ("layers.0.mlp.up_proj", StoredType::Bf16, "BF16"),
        ("layers.0.mlp.down_proj", StoredType::F32, "F32"),
    ] {
        let (_, _, found) = dense(source.as_ref(), &format!("model.{name}.weight"));
        assert_eq!(found, stored);
        assert_eq!(found.to_string(), text);
    }
}

#[test]
fn every_type_loads_into_a_model_and_nan_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    let mut w = samples::llama();
    write(&w, &path);
    let device = Device::flex();
    let storages = [WeightStorage::F32, WeightStorage::Quantized(QuantConfig::default())];
    for storage in &storages {
        let model = Llama::load(open_weights(&path).unwrap().as_ref(), storage, &device).unwrap();
        let ids = Tensor::<2, Int>::from_data([[1, 5, 7]], &device);
        let logits = model.forward(ids, &ForwardContext::default());
        assert_eq!(logits.dims(), [1, 3, 8]);
        assert!(logits.into_data().try_to_vec::<f32>().unwrap().iter().all(|x| x.is_finite()));
    }

    let mut values = samples::values(1, 128 * 256);
    values[300] = f32::NAN;
    w.remove_tensor("blk.0.attn_v.weight");
    w.tensor("blk.0.attn_v.weight", &[128, 256], Stored::F32, &values);
    write(&w, &path);
    for storage in &storages {
        let error = Llama::load(open_weights(&path).unwrap().as_ref(), storage, &device).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("layers.0.self_attn.v_proj.weight") && message.contains("300"), "{message}");
    }
}

/// The divisors Llama 3.1's converter writes, by its own formula.
fn llama3_divisors(head_dim: usize, theta: f64, factor: f64) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|i| {
            let wavelength = 2.0 * std::f64::consts::PI * theta.powf((2 * i) as f64 / head_dim as f64);
            let (high, low) = (8192.0 / 4.0, 8192.0);
            if wavelength < high {
                1.0
            } else if wavelength > low {
                factor as f32
            } else {
                let smooth = (8192.0 / wavelength - 1.0) / 3.0;
                (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
            }
        })
        .collect()
}

/// A file in three parts, as `gguf-split` writes it, in a folder.
fn in_three_parts(dir: &Path) -> [PathBuf; 3] {
    let mut whole = samples::llama();
    let count = whole.tensors.len();
    let mut parts = [GgufWriter::default(), GgufWriter::default(), GgufWriter::default()];
    parts[2].tensors = whole.tensors.split_off(count / 2);
    parts[1].tensors = whole.tensors.split_off(count / 4);
    parts[0] = whole;
    std::array::from_fn(|i| {
        let part = &mut parts[i];
        part.set("split.count", Meta::U16(3)).set("split.no", Meta::U16(i as u16));
        part.set("split.tensors.count", Meta::I32(count as i32));
        let path = dir.join(format!("sample-q4-{:05}-of-00003.gguf", i + 1));
        write(part, &path);
        path
    })
}

#[test]
fn a_file_in_several_parts_is_one_model_whichever_part_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    let split = dir.path().join("split");
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&split).unwrap();
    write(&samples::llama(), &one.join("sample.gguf"));
    let parts = in_three_parts(&split);
    let whole = open_weights(&one).unwrap();
    for path in [&split, &parts[0], &parts[1], &parts[2]] {
        let source = open_weights(path).unwrap();
        assert_eq!(source.config().unwrap(), whole.config().unwrap());
        assert_eq!(source.names(), whole.names());
        for name in whole.names() {
            assert_eq!(dense(source.as_ref(), &name), dense(whole.as_ref(), &name), "{name}");
        }
        // The sample has no vocabulary; it is looked for in the first part, whichever is named.
        let Err(error) = TokenizerFile::open(path) else { panic!("a vocabulary in {}", path.display()) };
        assert!(error.to_string().contains("`tokenizer.ggml.model` is missing"), "{error}");
    }
}

#[test]
fn a_part_that_is_missing_or_of_another_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let parts = in_three_parts(dir.path());
    let aside = dir.path().join("aside");
    std::fs::rename(&parts[1], &aside).unwrap();
    let message = open_weights(&parts[2]).unwrap_err().to_string();
    assert!(message.contains("sample-q4-00002-of-00003.gguf` is missing"), "{message}");
    std::fs::copy(&parts[2], &parts[1]).unwrap();
    let message = open_weights(&parts[0]).unwrap_err().to_string();
    assert!(message.contains("00002-of-00003.gguf: metadata key `split.no`: is 2, expected 1"), "{message}");
    std::fs::remove_file(&parts[1]).unwrap();
    let other = dir.path().join("renamed.gguf");
    std::fs::copy(&parts[0], &other).unwrap();
    let message = open_weights(&other).unwrap_err().to_string();
    assert!(message.contains("expected to be named NAME-00001-of-00003.gguf"), "{message}");
}

#[test]
fn llama3_scaling_is_recognised_and_any_other_divisors_are_used_as_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    let with = |divisors: &[f32]| {
        let mut w = samples::llama();
        w.set("llama.rope.freq_base", Meta::F32(500_000.0));
        w.tensor("rope_freqs.weight", &[divisors.len()], Stored::F32, divisors);
        write(&w, &path);
        GgufWeights::open(&path)
    };
    let mut divisors = llama3_divisors(128, 500_000.0, 32.0);
    let source = with(&divisors).unwrap();
    let expected = RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    assert_eq!(source.config().unwrap().rope_scaling, expected);
    assert!(!source.names().iter().any(|n| n.contains("rope")));

    assert_eq!(with(&[1.0; 64]).unwrap().config().unwrap().rope_scaling, RopeScaling::None);
    divisors[40] *= 1.1;
    let config = with(&divisors).unwrap().config().unwrap();
    assert_eq!(config.rope_scaling, RopeScaling::Divisors(divisors.as_slice().into()));
    let plain = inverse_frequencies(128, 500_000.0, &RopeScaling::None);
    let divided = inverse_frequencies(128, 500_000.0, &config.rope_scaling);
    assert!(plain.iter().zip(&divisors).zip(&divided).all(|((p, d), s)| p / d == *s));

    divisors[40] = 0.0;
    for (divisors, expected) in
        [(&divisors[..], "holds 0 at index 40"), (&[1.0; 3], "3 divisors, expected 64")]
    {
        let message = with(divisors).unwrap_err().to_string();
        assert!(message.contains("rope_freqs.weight") && message.contains("sample.gguf"), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
