//! The 110-million-parameter LLaMA of the rows about whole models.

use burn::tensor::Device;
use camelid_model::{
    DenseStorage, LinearShape, Llama, LlamaConfig, LoadOptions, LoadedTensor, ModelError, RopeScaling,
    StoredType, WeightSource, WeightStorage,
};
use camelid_quant::QuantConfig;

use crate::inputs::weights;

/// 12 blocks of 768 units, 32,000 tokens, the head tied to the embedding.
pub fn llama_110m() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 32_000,
        hidden_size: 768,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        num_key_value_heads: 12,
        head_dim: 64,
        max_position_embeddings: 2048,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        ..LlamaConfig::llama_7b()
    }
}

/// The model with its linear layers in NF4, doubly quantised, the rest as `embeddings` says.
///
/// # Errors
/// As [`Llama::load_with`].
pub fn packed(embeddings: DenseStorage, device: &Device) -> Result<Llama, ModelError> {
    let linears = WeightStorage::Quantized(QuantConfig::default());
    Llama::load_with(&MadeUp(llama_110m()), &LoadOptions { linears, embeddings }, device)
}

/// The model in f32, every parameter trainable.
///
/// # Errors
/// As [`Llama::load`].
pub fn dense(device: &Device) -> Result<Llama, ModelError> {
    Llama::load(&MadeUp(llama_110m()), &WeightStorage::F32, device)
}

/// Weights made as they are asked for, so that no dense copy of the model exists.
#[derive(Debug)]
struct MadeUp(LlamaConfig);

impl MadeUp {
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let config = &self.0;
        let norms = (0..config.num_hidden_layers).flat_map(|i| {
            ["input_layernorm", "post_attention_layernorm"]
                .map(|norm| (format!("model.layers.{i}.{norm}.weight"), vec![config.hidden_size]))
        });
        let linears =
            config.linear_shapes().map(|LinearShape { path, out_features, in_features, .. }| {
                (format!("{path}.weight"), vec![out_features, in_features])
            });
        let ends = [
            ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, config.hidden_size]),
            ("model.norm.weight".to_owned(), vec![config.hidden_size]),
        ];
        norms.chain(linears).chain(ends).collect()
    }
}

impl WeightSource for MadeUp {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(self.0.clone())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors().into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let found = self.tensors().into_iter().find(|(known, _)| known == name);
        let (_, shape) = found.ok_or_else(|| ModelError::MissingTensor {
            origin: self.describe(),
            name: name.to_owned(),
            expected: vec![],
        })?;
        let len = shape.iter().product();
        let values = if shape.len() == 1 { vec![1.0; len] } else { weights(len) };
        Ok(LoadedTensor::Dense { shape, values, stored: StoredType::F32 })
    }

    fn describe(&self) -> String {
        "made-up weights".to_owned()
    }
}
