//! Models held in blocks of integers.

mod smollm2;

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_lora::{AdapterHost, BaseLinear, ForwardContext, LoraConfig, attach};
use camelid_model::generate::generate_ids;
use camelid_model::{
    GenerateOptions, KvCache, Llama, LlamaConfig, LoadOptions, LoadedTensor, ModelError, PromptCache,
    RopeScaling, TableStorage, WeightStorage, open_weights,
};
use camelid_quant::{Int8Codes, Int8Matrix, QuantConfig, QuantizedTensor};
use camelid_tests::gguf::{Stored, samples};

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 300,
        hidden_size: 96,
        intermediate_size: 160,
        num_hidden_layers: 3,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: 256,
        rope_scaling: RopeScaling::None,
        ..LlamaConfig::smollm2_135m()
    }
}

fn random(storage: WeightStorage) -> Llama {
    Llama::random_with(&config(), &LoadOptions::new(storage), 5, &Device::flex()).unwrap()
}

fn ids(ids: &[i64]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &Device::flex())
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn logits(model: &Llama, of: &[i64]) -> Vec<f32> {
    floats(model.forward(ids(of), &ForwardContext::evaluation()))
}

/// Root of the mean square of the difference, over that of `b`.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let (mut apart, mut size) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        apart += square(a - b);
        size += square(*b);
    }
    (apart / size).sqrt()
}

fn tokens(len: usize) -> Vec<i64> {
    (0..len as i64).map(|i| (i * 37 + 11) % 300).collect()
}

#[test]
fn logits_are_close_to_those_of_dense_weights() {
    let dense = logits(&random(WeightStorage::F32), &tokens(40));
    let int8 = random(WeightStorage::Int8);
    let apart = difference(&logits(&int8, &tokens(40)), &dense);
    println!("relative difference of logits: {apart:.4}");
    assert!(apart > 0.0 && apart < 0.02, "{apart}");
    // 8.5 bits a value, and the norms in f32.
    let norms = (2 * config().num_hidden_layers + 1) * config().hidden_size;
    let values = config().parameter_count() - norms;
    let padding = 20 * 96 * 34 / 32 + 4096; // 300 tokens fill ten panels of 32 rows
    let bytes = int8.weights_nbytes();
    assert!((values * 34 / 32..values * 34 / 32 + norms * 4 + padding).contains(&bytes), "{bytes}");
}

#[test]
fn a_sequence_has_the_same_bits_whatever_it_is_computed_with() {
    let model = random(WeightStorage::Int8);
    let text = tokens(33);
    let alone = logits(&model, &text);
    let other: Vec<i64> = text.iter().map(|id| (id * 7 + 1) % 300).collect();
    let pair = Tensor::cat(vec![ids(&other), ids(&text)], 0);
    let together = floats(model.forward(pair, &ForwardContext::evaluation()));
    assert!(alone == together[alone.len()..], "in a batch of two");

    let mut cache = KvCache::new(config().num_hidden_layers, text.len());
    let mut rows = Vec::new();
    for id in &text {
        rows.extend(floats(model.forward_cached(ids(&[*id]), &mut cache)));
    }
    let apart = difference(&rows, &alone);
    assert!(apart < 1e-3, "token by token, where attention rounds otherwise: {apart}");
}

/// Each tensor of the file, as the model's blocks hold it, has the values that it has when expanded.
#[test]
fn blocks_of_a_gguf_file_are_taken_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    std::fs::write(&path, samples::llama().build()).unwrap();
    let source = open_weights(&path).unwrap();
    let model = Llama::load(source.as_ref(), &WeightStorage::Int8, &Device::flex()).unwrap();
    let values = |name: &str| match source.read(&format!("{name}.weight")).unwrap() {
        LoadedTensor::Dense { values, .. } => values,
        LoadedTensor::Quantized(_) => panic!("{name} is packed"),
    };
    let mut kept = Vec::new();
    for (name, linear) in model.linears() {
        let BaseLinear::Int8(int8) = &linear.base else { panic!("{name} is no int8") };
        let dense = values(&name);
        if source.read_int8(&format!("{name}.weight")).unwrap().is_some() {
            assert_eq!(floats(int8.dequantize()), dense, "{name}");
            kept.push(name.rsplit('.').next().unwrap().to_owned());
        } else {
            assert_eq!(int8.spec().codes, Int8Codes::Bytes);
            assert!(difference(&floats(int8.dequantize()), &dense) < 0.01, "{name}");
        }
    }
    // Rows of q and k are permuted in the file.
    assert_eq!(kept, ["q_proj", "k_proj"]);
    assert_eq!(floats(model.embed_tokens.dense_weight()), values("model.embed_tokens"));
    let embedded = floats(model.embed_tokens.forward(ids(&[3, 0]), &ForwardContext::evaluation()));
    assert_eq!(embedded[..256], values("model.embed_tokens")[3 * 256..4 * 256]);

    let dense = Llama::load(source.as_ref(), &WeightStorage::F32, &Device::flex()).unwrap();
    let apart = difference(&logits(&model, &[1, 5, 7, 2]), &logits(&dense, &[1, 5, 7, 2]));
    assert!(apart < 0.03, "{apart}");
}

#[test]
fn a_scale_that_is_no_number_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.gguf");
    let mut w = samples::llama();
    let mut values = samples::values(1, 128 * 256);
    values[300] = f32::INFINITY;
    for (kind, place) in [(Stored::F32, "row 1, column 44"), (Stored::Q8_0, "index 288")] {
        w.remove_tensor("blk.0.attn_v.weight");
        w.tensor("blk.0.attn_v.weight", &[128, 256], kind, &values);
        std::fs::write(&path, w.build()).unwrap();
        let source = open_weights(&path).unwrap();
        let error = Llama::load(source.as_ref(), &WeightStorage::Int8, &Device::flex()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("layers.0.self_attn.v_proj.weight") && message.contains(place), "{message}");
    }
}

#[test]
fn the_codes_of_a_4_bit_model_are_kept() {
    let values = samples::values(9, 64 * 128);
    for double_quant in [false, true] {
        let config = QuantConfig { double_quant, ..QuantConfig::default() };
        let q = QuantizedTensor::quantize("w", &values, &[64, 128], &config).unwrap();
        let int8 = Int8Matrix::from_quantized("w", &q).unwrap();
        assert!(matches!(int8.spec().codes, Int8Codes::Nibbles { minima: false, .. }));
        let linear = camelid_quant::Int8Linear::new(int8, None, &Device::flex()).unwrap();
        let apart = difference(&floats(linear.dequantize()), &q.dequantize());
        assert!(apart > 0.0 && apart < 0.004, "{apart}");
    }
    // 48 is no multiple of a block: the values are rounded to 8 bits.
    let q = QuantizedTensor::quantize("w", &values[..64 * 48], &[64, 48], &QuantConfig::default()).unwrap();
    let int8 = Int8Matrix::from_quantized("w", &q).unwrap();
    assert_eq!(int8.spec().codes, Int8Codes::Bytes);
}

#[test]
fn a_head_of_integers_goes_with_other_linears() {
    let nf4 = WeightStorage::Quantized(QuantConfig::default());
    let options = LoadOptions { linears: nf4, embeddings: TableStorage::Int8 };
    let mixed = Llama::random_with(&config(), &options, 5, &Device::flex()).unwrap();
    let dense = random(nf4);
    let apart = difference(&logits(&mixed, &tokens(9)), &logits(&dense, &tokens(9)));
    assert!(apart > 0.0 && apart < 0.02, "{apart}");
}

#[test]
fn adapters_go_on_and_saving_is_refused() {
    let model = random(WeightStorage::Int8);
    let before = logits(&model, &tokens(5));
    let lora = LoraConfig { r: 4, ..LoraConfig::default() };
    let adapted = attach(model.clone(), &lora, 1, &Device::flex()).unwrap();
    assert!(logits(&adapted, &tokens(5)) == before, "a fresh adapter changes nothing");

    let dir = tempfile::tempdir().unwrap();
    let error = model.save_safetensors(dir.path()).unwrap_err();
    assert!(error.to_string().contains("int8"), "{error}");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was written");
}

#[test]
fn an_untied_head_is_held_likewise() {
    let config = LlamaConfig { tie_word_embeddings: false, ..config() };
    let load = |storage| Llama::random_with(&config, &LoadOptions::new(storage), 5, &Device::flex()).unwrap();
    let int8 = load(WeightStorage::Int8);
    assert!(matches!(int8.lm_head.as_ref().unwrap().base, BaseLinear::Int8(_)));
    let apart = difference(&logits(&int8, &tokens(9)), &logits(&load(WeightStorage::F32), &tokens(9)));
    assert!(apart > 0.0 && apart < 0.02, "{apart}");
}

/// SmolLM2-135M on a text of its own making and on the golden one: what int8 costs.
#[test]
fn a_real_model_loses_little() {
    let Some(path) = smollm2::smollm2() else { return };
    let load = |storage| load(&path, storage).unwrap();
    let (dense, int8) = (load(WeightStorage::F32), load(WeightStorage::Int8));
    let prompt: Vec<u32> = vec![1, 4093, 198, 1780, 253, 2421, 563, 253, 2862, 30, 2, 198, 1, 520, 9531, 198];
    let options = GenerateOptions { max_new_tokens: 200, ..GenerateOptions::default() };
    let text = |model: &Llama| {
        let mut text = prompt.clone();
        text.extend(generate_ids(model, &prompt, &options, |_| Ok(ControlFlow::Continue(()))).unwrap().ids);
        text
    };
    let written = text(&dense);
    let count = written.len() - prompt.len();
    // Both read the dense model's text: agreement position by position, and perplexity.
    let rows = |model: &Llama| {
        let logits = PromptCache::new(model).logits_from(&written, 0).unwrap();
        logits.chunks_exact(model.config().vocab_size).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let (exact, rounded) = (rows(&dense), rows(&int8));
    let top = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let positions = prompt.len() - 1..written.len() - 1;
    let agree = positions.clone().filter(|&t| top(&exact[t]) == top(&rounded[t])).count();
    let nll = |rows: &[Vec<f32>]| -> f64 {
        let loss = |t: usize| {
            let row = &rows[t];
            let most = row.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
            f64::from(most) + sum.ln() - f64::from(row[written[t + 1] as usize])
        };
        positions.clone().map(loss).sum::<f64>() / count as f64
    };
    let (before, after) = (nll(&exact), nll(&rounded));
    println!("{agree} of {count} likeliest tokens agree; mean NLL {before:.4}, int8 {after:.4}");
    assert!(agree * 100 >= count * 93, "{agree} of {count} agree");
    assert!((after - before).abs() < 0.05, "mean NLL {before}, int8 {after}");
}

fn load(path: &Path, storage: WeightStorage) -> Result<Llama, ModelError> {
    Llama::load(open_weights(path)?.as_ref(), &storage, &Device::flex())
}
