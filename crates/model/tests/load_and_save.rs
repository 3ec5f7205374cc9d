//! Loading: what is taken, what is refused; saving and loading again.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor};
use camelid_lora::{AdapterHost, ForwardContext, LoraConfig, attach};
use camelid_model::{
    DenseStorage, Llama, LlamaConfig, LoadNote, LoadOptions, LoadedTensor, ModelError, StoredType,
    WeightSource, WeightStorage, load_notes, open_weights,
};
use camelid_quant::{BaseLinear, Format, QuantConfig};

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 40,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        attention_bias: true,
        tie_word_embeddings: false,
        ..LlamaConfig::smollm2_135m()
    }
}

/// Weights in memory, to be spoilt.
#[derive(Debug)]
struct Memory {
    config: LlamaConfig,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Memory {
    fn good(config: LlamaConfig) -> Self {
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, shape: Vec<usize>| {
            let n = shape.iter().product::<usize>();
            let values = (0..n).map(|i| ((i * 37 + name.len()) % 101) as f32 / 500.0 - 0.1);
            tensors.insert(name.clone(), (shape, values.collect()));
        };
        add("model.embed_tokens.weight".into(), vec![vocab, hidden]);
        add("lm_head.weight".into(), vec![vocab, hidden]);
        add("model.norm.weight".into(), vec![hidden]);
        for i in 0..config.num_hidden_layers {
            add(format!("model.layers.{i}.input_layernorm.weight"), vec![hidden]);
            add(format!("model.layers.{i}.post_attention_layernorm.weight"), vec![hidden]);
        }
        for l in config.linear_shapes() {
            add(format!("{}.weight", l.path), vec![l.out_features, l.in_features]);
            if l.bias {
                add(format!("{}.bias", l.path), vec![l.out_features]);
            }
        }
        Self { config, tensors }
    }

    fn error(&self) -> ModelError {
        Llama::load(self, &WeightStorage::F32, &Device::flex()).unwrap_err()
    }
}

impl WeightSource for Memory {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(self.config.clone())
    }
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }
    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let (shape, values) = self.tensors[name].clone();
        Ok(LoadedTensor::Dense { shape, values, stored: StoredType::F32 })
    }
    fn describe(&self) -> String {
        "memory".into()
    }
}

fn ids() -> Tensor<2, Int> {
    Tensor::from_ints([[3, 1, 4, 1, 5, 9, 2, 6]], &Device::flex())
}

fn logits(model: &Llama) -> Vec<f32> {
    let logits = model.forward(ids(), &ForwardContext::evaluation());
    logits.into_data().iter::<f32>().collect()
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let mut source = Memory::good(config());
    source.tensors.remove("model.layers.1.mlp.up_proj.weight");
    let message = source.error().to_string();
    let expected = "memory: tensor `model.layers.1.mlp.up_proj.weight` is missing; expected with shape [64, 32]; \
                    there are `lm_head.weight`, `model.embed_tokens.weight`, ";
    assert!(message.starts_with(expected) && message.ends_with(" more"), "{message}");
}

#[test]
fn an_unexpected_tensor_is_named() {
    let mut source = Memory::good(config());
    let good = logits(&Llama::load(&source, &WeightStorage::F32, &Device::flex()).unwrap());
    assert_eq!(load_notes(&source).unwrap(), []);
    let strange = ["model.layers.2.mlp.up_proj.weight", "vision_tower.patch.weight"];
    for name in strange {
        source.tensors.insert(name.into(), (vec![1], vec![0.0]));
    }
    let model = Llama::load(&source, &WeightStorage::F32, &Device::flex()).unwrap();
    assert_eq!(logits(&model), good);
    let notes = load_notes(&source).unwrap();
    assert_eq!(
        notes,
        [LoadNote::TensorsIgnored { origin: "memory".into(), names: strange.map(String::from).into() }]
    );
    let said = notes[0].to_string();
    assert!(strange.iter().all(|name| said.contains(name)), "{said}");
}

#[test]
fn a_tensor_of_the_wrong_shape_is_named_with_both_shapes() {
    let mut source = Memory::good(config());
    let name = "model.layers.0.self_attn.k_proj.weight";
    source.tensors.insert(name.into(), (vec![32, 16], vec![0.0; 512]));
    let message = source.error().to_string();
    assert!(message.contains(name), "{message}");
    assert!(message.contains("[32, 16], expected [16, 32]"), "{message}");
}

#[test]
fn a_value_that_is_not_finite_is_named_dense_and_packed() {
    let mut source = Memory::good(config());
    let name = "model.layers.0.mlp.down_proj.weight";
    source.tensors.get_mut(name).unwrap().1[77] = f32::NAN;
    let quantized = WeightStorage::Quantized(QuantConfig::default());
    for storage in [WeightStorage::F32, quantized] {
        let error = Llama::load(&source, &storage, &Device::flex()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("77"), "{message}");
        assert!(message.starts_with("memory: "), "{message}");
    }
}

#[test]
fn stored_rotary_frequencies_are_skipped() {
    let mut source = Memory::good(config());
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    source.tensors.insert(name.into(), (vec![4], vec![0.0; 4]));
    assert!(Llama::load(&source, &WeightStorage::F32, &Device::flex()).is_ok());
}

#[test]
fn storage_decides_the_bytes_held_and_hardly_the_logits() {
    let source = Memory::good(config());
    let device = Device::flex();
    let load = |storage| Llama::load(&source, &storage, &device).unwrap();
    let dense = load(WeightStorage::F32);
    assert_eq!(dense.weights_nbytes(), 4 * biased_parameters());
    let half = load(DenseStorage::Bf16.into());
    let packed = load(WeightStorage::Quantized(QuantConfig::default()));
    assert!(half.weights_nbytes() < dense.weights_nbytes() * 6 / 10);
    assert!(packed.weights_nbytes() < half.weights_nbytes());
    for (_, linear) in packed.linears() {
        assert!(matches!(linear.base, BaseLinear::Quant(_)));
    }
    let reference = logits(&dense);
    let error = |model: &Llama| {
        let squares = logits(model).iter().zip(&reference).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        squares.sqrt() / reference.iter().map(|b| b * b).sum::<f32>().sqrt()
    };
    let (half, packed) = (error(&half), error(&packed));
    println!("relative logit error: bf16 {half:.4}, nf4 {packed:.4}");
    assert!(half > 0.0 && half < 0.02 && packed > half && packed < 0.5);

    let options = LoadOptions {
        linears: WeightStorage::Quantized(QuantConfig::default()),
        embeddings: DenseStorage::Bf16.into(),
    };
    let smallest = Llama::load_with(&source, &options, &device).unwrap();
    let saved = 2 * config().embedding_parameters();
    let all_packed = load(WeightStorage::Quantized(QuantConfig::default()));
    assert_eq!(smallest.weights_nbytes() + saved, all_packed.weights_nbytes());
}

fn biased_parameters() -> usize {
    config().parameter_count()
}

#[test]
fn a_saved_model_loads_with_the_same_bits_dense_and_packed() {
    let device = Device::flex();
    let random = Llama::random(&config(), 5, &device);
    let dir = tempfile::tempdir().unwrap();
    random.save_safetensors(dir.path()).unwrap();
    let source = open_weights(dir.path()).unwrap();
    assert_eq!(source.config().unwrap(), config());
    let loaded = Llama::load(source.as_ref(), &WeightStorage::F32, &device).unwrap();
    assert_eq!(logits(&loaded), logits(&random));

    for format in [Format::Nf4, Format::Fp4, Format::Int4] {
        for double_quant in [false, true] {
            let quantized =
                WeightStorage::Quantized(QuantConfig { format, double_quant, ..Default::default() });
            let packed = Llama::load(source.as_ref(), &quantized, &device).unwrap();
            let packed_dir = tempfile::tempdir().unwrap();
            packed.save_safetensors(packed_dir.path()).unwrap();
            let source = open_weights(packed_dir.path()).unwrap();
            assert!(source.config().unwrap().stored_4bit);
            let loaded = Llama::load(source.as_ref(), &WeightStorage::F32, &device).unwrap();
            assert_eq!(logits(&loaded), logits(&packed), "{quantized:?}");
        }
    }

    let halves = Llama::load(source.as_ref(), &DenseStorage::Bf16.into(), &device).unwrap();
    let half_dir = tempfile::tempdir().unwrap();
    halves.save_safetensors(half_dir.path()).unwrap();
    let source = open_weights(half_dir.path()).unwrap();
    let loaded = Llama::load(source.as_ref(), &DenseStorage::Bf16.into(), &device).unwrap();
    assert_eq!(logits(&loaded), logits(&halves));
}

/// transformers packs every layer of a 4-bit model that `llm_int8_skip_modules` does not name.
#[test]
fn a_packed_model_names_its_dense_layers() {
    let device = Device::flex();
    let random = Llama::random(&config(), 5, &device);
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let mut mixed = Llama::random_with(&config(), &options, 5, &device).unwrap();
    let skipped = |model: &Llama| {
        let dir = tempfile::tempdir().unwrap();
        model.save_safetensors(dir.path()).unwrap();
        let loaded = Llama::load(open_weights(dir.path()).unwrap().as_ref(), &WeightStorage::F32, &device);
        assert_eq!(logits(&loaded.unwrap()), logits(model));
        let text = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["quantization_config"]["llm_int8_skip_modules"].clone()
    };
    assert!(skipped(&mixed).is_null());
    mixed.layers[0].mlp.down_proj = random.layers[0].mlp.down_proj.clone();
    assert_eq!(skipped(&mixed), serde_json::json!(["lm_head", "model.layers.0.mlp.down_proj"]));
}

#[test]
fn a_model_is_not_saved_where_a_shard_index_hides_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors.index.json"), r#"{"weight_map": {}}"#).unwrap();
    let model = Llama::random(&config(), 5, &Device::flex());
    let message = model.save_safetensors(dir.path()).unwrap_err().to_string();
    assert!(message.contains("model.safetensors.index.json: belongs to a sharded model"), "{message}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn weights_that_cannot_be_replaced_are_not_left_with_an_old_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let model = Llama::random(&config(), 5, &Device::flex());
    model.save_safetensors(dir.path()).unwrap();
    // A folder in the weights' place: the rename fails.
    let weights = dir.path().join("model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::fs::create_dir_all(weights.join("inside")).unwrap();
    let error = model.save_safetensors(dir.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["model.safetensors"]);
}

#[test]
fn a_model_with_an_adapter_is_not_saved_as_if_it_had_none() {
    let device = Device::flex();
    let model = Llama::random(&config(), 5, &device);
    let model = attach(model, &LoraConfig::default(), 1, &device).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let message = model.save_safetensors(dir.path()).unwrap_err().to_string();
    assert!(message.contains("adapter"), "{message}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn random_models_repeat_with_their_seed() {
    let device = Device::flex();
    let make = |seed| logits(&Llama::random(&config(), seed, &device));
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}
