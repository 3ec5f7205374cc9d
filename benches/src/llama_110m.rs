//! The 110-million-parameter LLaMA of the rows about whole models.

use burn::tensor::Device;
use camelid_model::{DenseStorage, Llama, LlamaConfig, LoadOptions, ModelError, RopeScaling, WeightStorage};
use camelid_quant::QuantConfig;

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
/// As [`Llama::random_with`].
pub fn packed(embeddings: DenseStorage, device: &Device) -> Result<Llama, ModelError> {
    let linears = WeightStorage::Quantized(QuantConfig::default());
    Llama::random_with(&llama_110m(), &LoadOptions { linears, embeddings: embeddings.into() }, 0, device)
}

/// The model in f32, every parameter trainable.
pub fn dense(device: &Device) -> Llama {
    Llama::random(&llama_110m(), 0, device)
}
