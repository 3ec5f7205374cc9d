//! The configuration as keys of architecture `llama`.

use super::ExportType;
use crate::config::{LlamaConfig, RopeScaling};
use crate::gguf::MetaValue;

/// llama.cpp's tensor of the numbers that the rotary frequencies are divided by.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The version of the block formats.
const QUANTIZATION_VERSION: u32 = 2;

/// Everything but the tokenizer.
pub(super) fn metadata(config: &LlamaConfig, kind: ExportType, name: &str) -> Vec<(String, MetaValue)> {
    let text = |value: &str| MetaValue::String(value.to_owned());
    // `LlamaConfig::check` keeps every size below 2³¹.
    let size = |value: usize| MetaValue::U32(u32::try_from(value).unwrap_or(u32::MAX));
    let mut keys = vec![
        ("general.architecture", text("llama")),
        ("general.type", text("model")),
        ("general.name", text(name)),
        ("general.file_type", MetaValue::U32(kind.file_type())),
        ("general.quantization_version", MetaValue::U32(QUANTIZATION_VERSION)),
        ("llama.vocab_size", size(config.vocab_size)),
        ("llama.context_length", size(config.max_position_embeddings)),
        ("llama.embedding_length", size(config.hidden_size)),
        ("llama.block_count", size(config.num_hidden_layers)),
        ("llama.feed_forward_length", size(config.intermediate_size)),
        ("llama.attention.head_count", size(config.num_attention_heads)),
        ("llama.attention.head_count_kv", size(config.num_key_value_heads)),
        ("llama.attention.key_length", size(config.head_dim)),
        ("llama.attention.value_length", size(config.head_dim)),
        ("llama.rope.dimension_count", size(config.head_dim)),
        ("llama.rope.freq_base", MetaValue::F32(config.rope_theta as f32)),
        ("llama.attention.layer_norm_rms_epsilon", MetaValue::F32(config.rms_norm_eps as f32)),
    ];
    if let RopeScaling::Linear { factor } = config.rope_scaling {
        keys.push(("llama.rope.scaling.type", text("linear")));
        keys.push(("llama.rope.scaling.factor", MetaValue::F32(factor as f32)));
    }
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
