//! Models with biases on q, k and v alone, such as those made from Qwen2: transformers' LLaMA has one
//! on the output as well, which is zero for them.

use std::collections::BTreeMap;

use super::{LoadedTensor, StoredType};
use crate::config::LlamaConfig;

/// Tensors that are zero and not stored, with their shapes.
pub(super) type Zeros = BTreeMap<String, Vec<usize>>;

/// The biases of all output projections.
pub(super) fn missing_output_biases(config: &LlamaConfig) -> Zeros {
    let name = |layer| format!("model.layers.{layer}.self_attn.o_proj.bias");
    (0..config.num_hidden_layers).map(|layer| (name(layer), vec![config.hidden_size])).collect()
}

impl LoadedTensor {
    /// A tensor of zeros.
    pub(super) fn zeros(shape: &[usize]) -> Self {
        let values = vec![0.0; shape.iter().product()];
        Self::Dense { shape: shape.to_vec(), values, stored: StoredType::F32 }
    }
}
