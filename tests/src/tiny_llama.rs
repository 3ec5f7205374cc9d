//! The shape of a very small LLaMA.

use serde_json::{Value, json};

/// `config.json` of a LLaMA of `blocks` blocks and `hidden` values a token: heads of 8 values, of which
/// two share a key head, room for 64 tokens, a head of its own. What a test wants otherwise it sets.
pub fn tiny_llama(vocabulary: usize, hidden: usize, blocks: usize) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary,
        "hidden_size": hidden, "intermediate_size": hidden * 2, "num_hidden_layers": blocks,
        "num_attention_heads": hidden / 8, "num_key_value_heads": hidden / 16,
        "max_position_embeddings": 64, "tie_word_embeddings": false, "bos_token_id": 0, "eos_token_id": 1
    })
}
