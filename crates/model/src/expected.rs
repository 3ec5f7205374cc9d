//! The tensors of a model, by their Hugging Face names.

use crate::config::LlamaConfig;

/// Every tensor the configuration calls for, with its shape.
pub fn expected_tensors(config: &LlamaConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let table = vec![config.vocab_size, hidden];
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), table.clone()),
        ("model.norm.weight".to_string(), vec![hidden]),
    ];
    if !config.tie_word_embeddings {
        tensors.push(("lm_head.weight".to_string(), table));
    }
    for i in 0..config.num_hidden_layers {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("model.layers.{i}.{norm}.weight"), vec![hidden]));
        }
    }
    for l in config.linear_shapes() {
        tensors.push((format!("{}.weight", l.path), vec![l.out_features, l.in_features]));
        if l.bias {
            tensors.push((format!("{}.bias", l.path), vec![l.out_features]));
        }
    }
    tensors
}
