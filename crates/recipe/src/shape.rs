//! Shapes of bases that are known by name, so that a run can be planned before anything is fetched.

use camelid_model::LlamaConfig;

/// The shape of a base by its name in the catalogue, or by the last part of its path
/// (`models/Llama-2-7b-hf`); `None` where the name does not tell.
pub fn known_shape(base: &str) -> Option<LlamaConfig> {
    let name = base.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(base).to_lowercase();
    let llama_2 =
        |shape: LlamaConfig| LlamaConfig { max_position_embeddings: 4096, rms_norm_eps: 1e-5, ..shape };
    match name.as_str() {
        "llama-7b" => Some(LlamaConfig::llama_7b()),
        "llama-13b" => Some(LlamaConfig::llama_13b()),
        "llama-33b" | "llama-30b" => Some(LlamaConfig::llama_33b()),
        "llama-65b" => Some(LlamaConfig::llama_65b()),
        "llama-2-7b" | "llama-2-7b-hf" => Some(llama_2(LlamaConfig::llama_7b())),
        "llama-2-13b" | "llama-2-13b-hf" => Some(llama_2(LlamaConfig::llama_13b())),
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
        assert_eq!(known_shape("models/mine"), None);
    }
}
