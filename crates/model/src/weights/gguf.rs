//! A LLaMA-family model in a GGUF file, seen under its Hugging Face names.

use std::collections::BTreeMap;
use std::path::Path;

use super::gguf_config::{OUTPUT_BIAS, ROPE_FACTORS, permuted, read_config};
use super::output_bias::{Zeros, missing_output_biases};
use super::{LoadedTensor, StoredType, WeightSource};
use camelid_quant::{INT8_BLOCK, Int8Matrix, Int8Packer, Int8Spec};

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::gguf::{GgufFile, TensorInfo, TensorType, int8_block, int8_codes};
use crate::notes::LoadNote;

/// Weights in a GGUF file of architecture `llama` or `qwen2`.
///
/// A `llama` file rotates interleaved pairs where Hugging Face rotates halves, so the rows
/// of the query and key projections are stored permuted; reading undoes that.
#[derive(Debug)]
pub struct GgufWeights {
    file: GgufFile,
    config: LlamaConfig,
    /// Hugging Face name to name in the file.
    names: BTreeMap<String, String>,
    /// Tensors that are zero and not stored.
    zeros: Zeros,
}

impl GgufWeights {
    /// Opens the file and checks that its configuration is supported and that every
    /// tensor is of a type that can be read.
    ///
    /// # Errors
    /// If the file is damaged, of another architecture, or holds a tensor of an unknown
    /// name or an unsupported type.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::new(GgufFile::open(path)?)
    }

    fn new(file: GgufFile) -> Result<Self, ModelError> {
        let config = read_config(&file)?;
        let mut names = BTreeMap::new();
        for tensor in file.tensors() {
            file.tensor_type(tensor)?;
            if tensor.name == ROPE_FACTORS || tensor.name.ends_with(".attn_rot_embd.weight") {
                continue;
            }
            let hf = hugging_face_name(&tensor.name).ok_or_else(|| ModelError::UnexpectedTensor {
                origin: file.path().display().to_string(),
                name: tensor.name.clone(),
                count: 1,
            })?;
            names.insert(hf, tensor.name.clone());
        }
        let left_out = config.attention_bias && file.tensor(OUTPUT_BIAS).is_none();
        let zeros = if left_out { missing_output_biases(&config) } else { Zeros::new() };
        Ok(Self { file, config, names, zeros })
    }

    /// The underlying file, for its metadata.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// Whether the rows of a tensor have to be put in order.
    ///
    /// # Errors
    /// When they are not as many as its heads have.
    fn is_permuted(&self, name: &str, tensor: &TensorInfo) -> Result<bool, ModelError> {
        let Some(heads) = self.permuted_heads(name) else { return Ok(false) };
        let expected = heads * self.config.head_dim;
        if tensor.shape.first().copied().unwrap_or(0) == expected {
            return Ok(true);
        }
        let mut expected_shape = tensor.shape.clone();
        if let Some(first) = expected_shape.first_mut() {
            *first = expected;
        }
        Err(ModelError::Shape {
            origin: self.file.path().display().to_string(),
            name: tensor.name.clone(),
            expected: expected_shape,
            found: tensor.shape.clone(),
        })
    }

    /// Heads whose rows are permuted in the tensor `name`, if it is one of those.
    fn permuted_heads(&self, name: &str) -> Option<usize> {
        let (module, _) = name.rsplit_once('.').filter(|_| permuted(&self.file))?;
        match module.rsplit_once('.')?.1 {
            "q_proj" => Some(self.config.num_attention_heads),
            "k_proj" => Some(self.config.num_key_value_heads),
            _ => None,
        }
    }
}

impl WeightSource for GgufWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(self.config.clone())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.keys().chain(self.zeros.keys()).cloned().collect();
        names.sort();
        names
    }

    fn notes(&self) -> Vec<LoadNote> {
        match self.zeros.is_empty() {
            true => Vec::new(),
            false => vec![LoadNote::NoOutputBias { origin: self.describe() }],
        }
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        if let Some(shape) = self.zeros.get(name) {
            return Ok(LoadedTensor::zeros(shape));
        }
        let found = self.names.get(name).and_then(|n| self.file.tensor(n));
        let Some(tensor) = found else {
            return Err(ModelError::Tensor {
                origin: self.file.path().display().to_string(),
                name: name.into(),
                problem: "is not among the weights".into(),
            });
        };
        let stored = match self.file.tensor_type(tensor)? {
            TensorType::F32 => StoredType::F32,
            TensorType::F16 => StoredType::F16,
            TensorType::BF16 => StoredType::Bf16,
            quantised => StoredType::Gguf(quantised),
        };
        let shape = tensor.shape.clone();
        let mut values = self.file.read(&tensor.name)?;
        if self.is_permuted(name, tensor)? {
            let rows = shape.first().copied().unwrap_or(0);
            values = unpermute_rows(&values, rows, self.config.head_dim);
        }
        Ok(LoadedTensor::Dense { shape, values, stored })
    }

    fn read_int8(&self, name: &str) -> Result<Option<Int8Matrix>, ModelError> {
        let Some(tensor) = self.names.get(name).and_then(|n| self.file.tensor(n)) else { return Ok(None) };
        let Some(codes) = int8_codes(self.file.tensor_type(tensor)?) else { return Ok(None) };
        let &[out_features, in_features] = tensor.shape.as_slice() else { return Ok(None) };
        let permuted = self.is_permuted(name, tensor)?;
        let mut packer = Int8Packer::new(Int8Spec { codes, out_features, in_features });
        let blocks = packer.spec().blocks();
        let mut bad = None;
        self.file.read_blocks(tensor, |kind, first, bytes| {
            for (i, bytes) in (first..).zip(bytes.chunks_exact(kind.block_bytes())) {
                let (row, block) = (i / blocks, i % blocks);
                let row = if permuted { unpermuted_row(row, self.config.head_dim) } else { row };
                let (scale, minimum, codes) = int8_block(kind, bytes);
                for constant in [scale, minimum] {
                    if !constant.is_finite() {
                        bad.get_or_insert((constant, row * in_features + block * INT8_BLOCK));
                    }
                }
                packer.block(row, block, scale, minimum, &codes);
            }
        })?;
        if let Some((constant, index)) = bad {
            return Err(ModelError::Tensor {
                origin: self.describe(),
                name: name.into(),
                problem: format!("has a block of scale {constant} at index {index}; expected finite values"),
            });
        }
        Ok(Some(packer.into()))
    }

    fn describe(&self) -> String {
        let mut kinds: Vec<(usize, String)> = Vec::new();
        for tensor in self.file.tensors() {
            let name = tensor.type_name();
            match kinds.iter_mut().find(|(_, n)| *n == name) {
                Some((values, _)) => *values += tensor.len(),
                None => kinds.push((tensor.len(), name)),
            }
        }
        kinds.sort_by(|a, b| b.cmp(a));
        let kinds: Vec<String> = kinds.into_iter().map(|(_, name)| name).collect();
        format!(
            "GGUF version {} file {} ({})",
            self.file.version(),
            self.file.path().display(),
            kinds.join(", ")
        )
    }
}

/// Tensors outside of blocks: GGUF's name and Hugging Face's.
const WHOLE: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];
/// The same of the parts of a block.
const PARTS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The Hugging Face name of a tensor of architecture `llama`.
fn hugging_face_name(name: &str) -> Option<String> {
    if let Some((_, hf)) = WHOLE.iter().find(|(gguf, _)| *gguf == name) {
        return Some((*hf).into());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, module) = PARTS.iter().find(|(gguf, _)| *gguf == part)?;
    matches!(kind, "weight" | "bias").then(|| format!("model.layers.{layer}.{module}.{kind}"))
}

/// The other way: the name in a file of architecture `llama`.
pub(crate) fn gguf_name(hf: &str) -> Option<String> {
    if let Some((gguf, _)) = WHOLE.iter().find(|(_, own)| *own == hf) {
        return Some((*gguf).into());
    }
    let (layer, rest) = hf.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    let (part, _) = PARTS.iter().find(|(_, own)| *own == module)?;
    Some(format!("blk.{layer}.{part}.{kind}"))
}

/// Takes rows from interleaved to half-rotation order: within each head, row
/// `half·head_dim/2 + i` comes from row `2·i + half`.
fn unpermute_rows(values: &[f32], rows: usize, head_dim: usize) -> Vec<f32> {
    let width = values.len() / rows.max(1);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        let (head, within) = (row / head_dim, row % head_dim);
        let (half, i) = (within / (head_dim / 2), within % (head_dim / 2));
        let from = head * head_dim + 2 * i + half;
        out.extend_from_slice(&values[from * width..][..width]);
    }
    out
}

/// The other way: row `2·i + half` comes from row `half·head_dim/2 + i` of its head.
pub(crate) fn permute_rows(values: &[f32], rows: usize, head_dim: usize) -> Vec<f32> {
    let width = values.len() / rows.max(1);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        out.extend_from_slice(&values[unpermuted_row(row, head_dim) * width..][..width]);
    }
    out
}

/// Where the row of a file comes from and goes to: the other direction of [`unpermute_rows`].
fn unpermuted_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    head * head_dim + within % 2 * (head_dim / 2) + within / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_return_to_halves() {
        // Two heads of four rows, one column: interleaved order of halves (0,1 | 2,3).
        let stored = [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0];
        let expected = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(unpermute_rows(&stored, 8, 4), expected);
        assert_eq!(permute_rows(&expected, 8, 4), stored);
        for (row, value) in stored.into_iter().enumerate() {
            assert_eq!(expected[unpermuted_row(row, 4)], value);
        }
    }

    #[test]
    fn names_map_and_strangers_do_not() {
        assert_eq!(
            hugging_face_name("blk.7.attn_output.weight").as_deref(),
            Some("model.layers.7.self_attn.o_proj.weight")
        );
        assert_eq!(
            hugging_face_name("blk.0.attn_q.bias").as_deref(),
            Some("model.layers.0.self_attn.q_proj.bias")
        );
        for name in ["token_embd.weight", "output.weight", "blk.12.ffn_norm.weight", "blk.0.attn_v.bias"] {
            let hf = hugging_face_name(name).unwrap();
            assert_eq!(gguf_name(&hf).as_deref(), Some(name));
        }
        assert_eq!(gguf_name("model.layers.0.mlp.router.weight"), None);
        assert_eq!(hugging_face_name("blk.0.ffn_gate_exps.weight"), None);
        assert_eq!(hugging_face_name("blk.x.attn_q.weight"), None);
    }
}
