//! Models written as GGUF files and read again.

mod smollm2;

use std::path::Path;

use burn::tensor::Device;
use camelid_lora::{MergeInto, load_peft, merge};
use camelid_model::gguf::{GgufFile, TensorType, Value, dequantize, quantize};
use camelid_model::{
    ExportType, Exported, FoldedWeights, Llama, LlamaConfig, LoadedTensor, ModelError, RopeScaling,
    TokenizerFile, WeightSource, WeightStorage, expected_tensors, export_gguf, open_weights,
};
use camelid_tests::{
    SmallDisk, byte_tokenizer, byte_tokenizer_with_bos, llama_tokenizer, oracles, tiny_llama,
};
use serde_json::{Value as Json, json};
use tokenizers::Tokenizer;

fn config(change: impl FnOnce(&mut Json)) -> LlamaConfig {
    let mut config = tiny_llama(260, 64, 2);
    config["bos_token_id"] = 256.into();
    config["eos_token_id"] = 257.into();
    change(&mut config);
    LlamaConfig::from_value(&config, "the test").unwrap()
}

fn random(config: &LlamaConfig) -> FoldedWeights {
    FoldedWeights::new(Llama::random_with_std(config, 0.2, 3, &Device::flex()), "the test".into())
}

/// A tokenizer as its file would be read.
fn file(tokenizer: &Tokenizer, settings: &Json) -> TokenizerFile {
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path().join("tokenizer.json"), false).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
    TokenizerFile::open(dir.path()).unwrap()
}

fn bytes_with_bos() -> TokenizerFile {
    let settings = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": "{{ messages }}"});
    file(&byte_tokenizer_with_bos(), &settings)
}

fn values(source: &dyn WeightSource, name: &str) -> Vec<f32> {
    match source.read(name).unwrap() {
        LoadedTensor::Dense { values, .. } => values,
        LoadedTensor::Quantized(packed) => packed.dequantize(),
    }
}

/// Exports, and opens what was written.
fn written(
    source: &dyn WeightSource,
    tokenizer: &TokenizerFile,
    kind: ExportType,
) -> (Exported, Box<dyn WeightSource>, TokenizerFile, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let exported = export_gguf(source, tokenizer, kind, "test", &path).unwrap();
    assert_eq!(exported.bytes, std::fs::metadata(&path).unwrap().len());
    (exported, open_weights(&path).unwrap(), TokenizerFile::open(&path).unwrap(), dir)
}

#[test]
fn a_model_in_f32_is_read_back_to_the_bit() {
    for (bias, tied) in [(false, false), (true, true)] {
        let config = config(|c| {
            c["attention_bias"] = bias.into();
            c["mlp_bias"] = bias.into();
            c["tie_word_embeddings"] = tied.into();
        });
        let source = random(&config);
        let (exported, read, tokenizer, _dir) = written(&source, &bytes_with_bos(), ExportType::F32);
        assert_eq!(read.config().unwrap(), config);
        assert_eq!(exported.parameters, config.parameter_count());
        let names: Vec<String> = expected_tensors(&config).into_iter().map(|(name, _)| name).collect();
        assert_eq!(read.names().len(), names.len());
        for name in names {
            assert_eq!(values(read.as_ref(), &name), values(&source, &name), "{name}");
        }
        assert_eq!(tokenizer.chat_template.as_deref(), Some("{{ messages }}"));
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(256), Some(257)));
        assert_eq!(tokenizer.tokenizer.encode("é<s>", true).unwrap().get_ids()[0], 256);
    }
}

#[test]
fn blocks_hold_what_the_quantiser_makes_of_each_row() {
    let config = config(|_| {});
    let source = random(&config);
    for kind in [ExportType::F16, ExportType::Q8_0, ExportType::Q4_0] {
        let (exported, read, _, _dir) = written(&source, &bytes_with_bos(), kind);
        for (name, shape) in expected_tensors(&config) {
            let outer = name == "model.embed_tokens.weight" || name == "lm_head.weight";
            let stored = match kind {
                _ if shape.len() == 1 => TensorType::F32,
                ExportType::Q4_0 if !outer => TensorType::Q4_0,
                ExportType::Q4_0 | ExportType::Q8_0 => TensorType::Q8_0,
                _ => TensorType::F16,
            };
            let plain = values(&source, &name);
            let mut bytes = Vec::new();
            quantize(stored, &plain, &mut bytes).unwrap();
            let mut expected = vec![0.0; plain.len()];
            dequantize(stored, &bytes, &mut expected);
            assert_eq!(values(read.as_ref(), &name), expected, "{kind} {name}");
        }
        assert!(exported.notes.iter().any(|note| note.contains("2 rows of the embedding have no token")));
    }
}

#[test]
fn rows_that_are_no_whole_blocks_stay_in_half_precision_with_a_note() {
    let config = config(|c| {
        c["hidden_size"] = 48.into();
        c["num_attention_heads"] = 6.into();
        c["num_key_value_heads"] = 3.into();
    });
    let (exported, _, _, _dir) = written(&random(&config), &bytes_with_bos(), ExportType::Q8_0);
    assert!(exported.notes.iter().any(|note| note.contains("stay in F16")), "{:?}", exported.notes);
    assert!(exported.tensors.iter().any(|(kind, count)| *kind == TensorType::Q8_0 && *count > 0));
}

#[test]
fn stretched_positions_are_said_as_llama_cpp_knows_them() {
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    for scaling in [RopeScaling::Linear { factor: 4.0 }, llama3] {
        // Llama 3's base, at which the slowest frequencies are divided by the whole factor.
        let config = LlamaConfig { rope_scaling: scaling.clone(), rope_theta: 500_000.0, ..config(|_| {}) };
        let (_, read, _, _dir) = written(&random(&config), &bytes_with_bos(), ExportType::F16);
        assert_eq!(read.config().unwrap().rope_scaling, scaling);
    }
}

#[test]
fn all_ends_of_a_turn_are_kept_the_tokenizers_own_first() {
    let config = config(|c| c["eos_token_id"] = json!([256, 257]));
    let (_, read, _, dir) = written(&random(&config), &bytes_with_bos(), ExportType::F16);
    assert_eq!(read.config().unwrap().eos_token_ids, [257, 256]);
    let file = GgufFile::open(&dir.path().join("model.gguf")).unwrap();
    assert_eq!(file.value("tokenizer.ggml.eot_token_id"), Some(&Value::Integer(256)));
    assert_eq!(file.value("tokenizer.ggml.add_bos_token"), Some(&Value::Bool(true)));
    assert_eq!(file.value("tokenizer.ggml.add_eos_token"), Some(&Value::Bool(false)));
}

#[test]
fn llamas_own_tokenizer_gives_the_same_ids_from_the_file() {
    let Some(tokenizer) = llama_tokenizer() else { return };
    let config = config(|c| {
        c["vocab_size"] = 32_000.into();
        c["hidden_size"] = 32.into();
        c["num_attention_heads"] = 4.into();
        c["num_key_value_heads"] = 2.into();
        c["num_hidden_layers"] = 1.into();
        c["bos_token_id"] = 1.into();
        c["eos_token_id"] = 2.into();
    });
    let original = file(&tokenizer, &json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}));
    let (_, _, read, dir) = written(&random(&config), &original, ExportType::Q8_0);
    let path = oracles().unwrap().join("llama-tokenizer/vectors.inp");
    let texts = std::fs::read_to_string(path).unwrap();
    let ids = |tokenizer: &Tokenizer, text: &str| tokenizer.encode(text, true).unwrap().get_ids().to_vec();
    let mut compared = 0;
    for text in texts.split("\n__ggml_vocab_test__\n") {
        assert_eq!(ids(&read.tokenizer, text), ids(&tokenizer, text), "{text:?}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
    let gguf = GgufFile::open(&dir.path().join("model.gguf")).unwrap();
    assert_eq!(gguf.value("tokenizer.ggml.model"), Some(&Value::String("llama".into())));
    let types = gguf.integers("tokenizer.ggml.token_type").unwrap();
    assert_eq!((types[0], types[1], types[3], types[300]), (2, 3, 6, 1), "unknown, control, byte, normal");
}

fn refused(source: &dyn WeightSource, tokenizer: &TokenizerFile, kind: ExportType) -> String {
    let dir = tempfile::tempdir().unwrap();
    let error: ModelError =
        export_gguf(source, tokenizer, kind, "test", &dir.path().join("model.gguf")).unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
    error.to_string()
}

#[test]
fn a_tokenizer_that_gguf_cannot_say_is_refused_and_nothing_is_left() {
    let config = config(|_| {});
    let mut json = serde_json::to_value(byte_tokenizer_with_bos()).unwrap();
    let own =
        json!({"type": "Split", "pattern": {"Regex": "[a-z]"}, "behavior": "Isolated", "invert": false});
    json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [own, json["pre_tokenizer"]]});
    let odd = file(&Tokenizer::from_bytes(json.to_string()).unwrap(), &json!({}));
    let said = refused(&random(&config), &odd, ExportType::F16);
    assert!(said.contains("no name for") && said.contains("[a-z]"), "{said}");

    let specials: Vec<String> = (0..8).map(|i| format!("<{i}>")).collect();
    let specials: Vec<&str> = specials.iter().map(String::as_str).collect();
    let large = file(&byte_tokenizer(&specials), &json!({}));
    let said = refused(&random(&config), &large, ExportType::F16);
    assert!(said.contains("id 263") && said.contains("260 rows"), "{said}");
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let config = config(|_| {});
    let device = Device::flex();
    let mut model = Llama::random_with_std(&config, 0.2, 3, &device);
    model.norm.weight = model.norm.weight.map(|weight| weight * f32::NAN);
    let said = refused(&FoldedWeights::new(model, "the test".into()), &bytes_with_bos(), ExportType::Q8_0);
    assert!(said.contains("model.norm"), "{said}");
}

#[test]
fn a_disk_that_is_full_leaves_nothing() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let path = disk.path().join("model.gguf");
    let error = export_gguf(&random(&config(|_| {})), &bytes_with_bos(), ExportType::F32, "test", &path);
    assert!(error.unwrap_err().to_string().contains("model.gguf"));
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn adapters_fold_in_as_a_merge_does() {
    let Some(oracles) = oracles() else { return };
    let tiny = oracles.join("tiny_llama");
    let device = Device::flex();
    for (base, adapter) in
        [("base_f32", "adapter_r8_a16"), ("base_f32", "adapter_dora"), ("base_nf4_dq", "adapter_r8_a16")]
    {
        let source = open_weights(&tiny.join(base)).unwrap();
        let storage = WeightStorage::as_stored(source.as_ref(), &source.config().unwrap()).unwrap();
        let model = Llama::load(source.as_ref(), &storage, &device).unwrap();
        let (model, _) = load_peft(model, Path::new(&tiny.join(adapter)), &device).unwrap();
        let folded = FoldedWeights::new(model.clone(), "folded".into());
        let mut merged = model;
        merge(&mut merged, MergeInto::Dense, |_| Vec::new()).unwrap();
        let merged = FoldedWeights::new(merged, "merged".into());
        for name in folded.names() {
            assert_eq!(values(&folded, &name), values(&merged, &name), "{base} {adapter} {name}");
        }
        assert_ne!(
            values(&folded, "model.layers.0.self_attn.q_proj.weight"),
            values(source.as_ref(), "model.layers.0.self_attn.q_proj.weight"),
        );
    }
}

#[test]
fn a_real_model_goes_through_and_back() {
    let Some(path) = smollm2::smollm2() else { return };
    let (source, tokenizer) = (open_weights(&path).unwrap(), TokenizerFile::open(&path).unwrap());
    let (exported, read, _, _dir) = written(source.as_ref(), &tokenizer, ExportType::Q8_0);
    assert_eq!(exported.parameters, 134_515_008);
    assert_eq!(read.config().unwrap(), source.config().unwrap());
    let name = "model.layers.3.self_attn.k_proj.weight";
    let (before, after) = (values(source.as_ref(), name), values(read.as_ref(), name));
    let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 0.02, "{worst}");
}
