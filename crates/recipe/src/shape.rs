//! Shapes of bases that are known by name, so that a run can be planned before anything is fetched.

use camelid_model::LlamaConfig;

/// The shape of a base by its name in the catalogue, or by the last part of its path
/// (`models/Llama-2-7b-hf`); `None` where the name does not tell.
pub fn known_shape(base: &str) -> Option<LlamaConfig> {
    let name = base.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(base).to_lowercase();
    let llama_2 =
        |shape: LlamaConfig| LlamaConfig { max_position_embeddings: 4096, rms_norm_eps: 1e-5, ..shape };
    let code_llama = |shape: LlamaConfig| LlamaConfig {
        max_position_embeddings: 16_384,
        rms_norm_eps: 1e-5,
        rope_theta: 1e6,
        ..shape
    };
    match name.as_str() {
        "llama-7b" => Some(LlamaConfig::llama_7b()),
        "llama-13b" => Some(LlamaConfig::llama_13b()),
        "llama-33b" | "llama-30b" => Some(LlamaConfig::llama_33b()),
        "llama-65b" => Some(LlamaConfig::llama_65b()),
        "llama-2-7b" | "llama-2-7b-hf" => Some(llama_2(LlamaConfig::llama_7b())),
        "llama-2-13b" | "llama-2-13b-hf" => Some(llama_2(LlamaConfig::llama_13b())),
        // Grouped queries: eight heads of keys and values.
        "llama-2-70b" | "llama-2-70b-hf" => Some(LlamaConfig {
            intermediate_size: 28_672,
            num_key_value_heads: 8,
            ..llama_2(LlamaConfig::llama_65b())
        }),
        "codellama-7b-python-hf" => Some(code_llama(LlamaConfig::llama_7b())),
        "codellama-13b-python-hf" => Some(code_llama(LlamaConfig::llama_13b())),
        "codellama-34b-python-hf" => Some(LlamaConfig {
            num_hidden_layers: 48,
            num_key_value_heads: 8,
            ..code_llama(LlamaConfig::llama_65b())
        }),
        _ if name.starts_with("smollm2-135m") => Some(LlamaConfig::smollm2_135m()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_known_by_name_and_by_path() {
        assert_eq!(known_shape("llama-33b").unwrap().num_hidden_layers, 60);
        assert_eq!(known_shape("models/Llama-2-13b-hf/").unwrap().max_position_embeddings, 4096);
        assert_eq!(known_shape("smollm2-135m-instruct").unwrap().hidden_size, 576);
        let large = known_shape("llama-2-70b").unwrap();
        assert_eq!((large.num_key_value_heads, large.intermediate_size), (8, 28_672));
        let code = known_shape("codellama/CodeLlama-34b-Python-hf").unwrap();
        assert_eq!((code.num_hidden_layers, code.hidden_size, code.rope_theta), (48, 8192, 1e6));
        assert_eq!(known_shape("models/mine"), None);
    }
}
