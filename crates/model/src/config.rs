//! What a LLaMA-family model is made of: Hugging Face's `config.json`.

mod hf;

use std::path::Path;
use std::sync::Arc;

use crate::error::ModelError;
use crate::json_file::{read_json, read_json_if_there};
use crate::notes::LoadNote;

/// The shape and constants of a LLaMA-family decoder.
///
/// Field names are those of Hugging Face's `config.json`. Settings this crate
/// cannot honour are refused at parsing, so a `LlamaConfig` is always runnable.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of decoder blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Longest context the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched for longer contexts.
    pub rope_scaling: RopeScaling,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether the head shares the embedding's weight.
    pub tie_word_embeddings: bool,
    /// Whether q, k, v and o projections have a bias, all four of them.
    pub attention_bias: bool,
    /// Whether gate, up and down projections have a bias.
    pub mlp_bias: bool,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; a list, since some models have several.
    pub eos_token_ids: Vec<u32>,
    /// Token that fills up a batch.
    pub pad_token_id: Option<u32>,
    /// Whether the files hold bitsandbytes 4-bit weights (`quantization_config`).
    pub stored_4bit: bool,
}

/// How rotary frequencies are stretched (`rope_scaling` or `rope_parameters`).
///
/// In an experiment it is a table with its `type`, such as `type = "linear"`, `factor = 4.0`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Frequencies as they are.
    #[serde(rename = "default")]
    None,
    /// Position interpolation: every frequency divided by `factor`.
    Linear {
        /// New context length over the original one.
        factor: f64,
    },
    /// Llama 3.1: only long wavelengths are stretched.
    Llama3 {
        /// Divisor of the long wavelengths' frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are stretched.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before stretching.
        original_max_position_embeddings: usize,
    },
    /// Every frequency divided by a number of its own, as GGUF's `rope_freqs` says.
    #[serde(skip)]
    Divisors(Arc<[f32]>),
}

/// One linear layer of the model: its path and the shape of its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Hugging Face module path, for example `model.layers.0.self_attn.q_proj`.
    pub path: String,
    /// Rows of the weight.
    pub out_features: usize,
    /// Columns of the weight.
    pub in_features: usize,
    /// Whether the layer has a bias of `out_features` values.
    pub bias: bool,
}

/// No size of a model comes near this; larger numbers are damage, and refusing
/// them keeps a product of two from overflowing.
const MAX_SIZE: usize = 1 << 31;
/// As [`MAX_SIZE`], for the number of blocks.
const MAX_LAYERS: usize = 65_536;

impl LlamaConfig {
    /// Reads a Hugging Face `config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, lacks a setting, or holds one
    /// this crate does not support; the message names it and what is supported.
    pub fn from_json(path: &Path) -> Result<Self, ModelError> {
        Self::from_json_noted(path).map(|(config, _)| config)
    }

    /// As [`LlamaConfig::from_json`], with the settings that were left out of account.
    ///
    /// # Errors
    /// As [`LlamaConfig::from_json`].
    fn from_json_noted(path: &Path) -> Result<(Self, Vec<LoadNote>), ModelError> {
        let (value, mut notes) = read_json(path)?;
        let origin = path.display().to_string();
        if !notes.is_empty() {
            hf::refuse_numbers_read_as_null(&value, &origin)?;
        }
        let config = hf::parse(&value, &origin, &mut notes)?;
        config.check(&origin)?;
        Ok((config, notes))
    }

    /// Reads the `config.json` of a folder and its `generation_config.json`, whose end tokens, one
    /// or a list, replace the others: a chat model's end of turn often stands only there. Returns
    /// what was left out of account too.
    ///
    /// # Errors
    /// As [`LlamaConfig::from_json`], for either file.
    pub fn of_folder(dir: &Path) -> Result<(Self, Vec<LoadNote>), ModelError> {
        let (mut config, notes) = Self::from_json_noted(&dir.join("config.json"))?;
        let path = dir.join("generation_config.json");
        let generation = read_json_if_there(&path)?;
        let ends = hf::end_tokens(&generation, &path.display().to_string())?;
        if !ends.is_empty() {
            config.eos_token_ids = ends;
        }
        Ok((config, notes))
    }

    /// Reads the parsed content of a `config.json`; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`LlamaConfig::from_json`].
    pub fn from_value(value: &serde_json::Value, origin: &str) -> Result<Self, ModelError> {
        let config = hf::parse(value, origin, &mut Vec::new())?;
        config.check(origin)?;
        Ok(config)
    }

    /// The `config.json` that transformers reads, with rotary settings in both
    /// the older (`rope_theta`, `rope_scaling`) and the newer (`rope_parameters`) form.
    pub fn to_value(&self) -> serde_json::Value {
        hf::write(self)
    }

    /// Checks that the numbers fit each other; `origin` names their source in errors.
    ///
    /// # Errors
    /// Names the first setting that does not fit.
    pub fn check(&self, origin: &str) -> Result<(), ModelError> {
        let wrong = |setting: &str, found: String, supported: String| {
            Err(ModelError::Unsupported {
                origin: origin.to_string(),
                setting: setting.to_string(),
                found,
                supported,
            })
        };
        for (setting, value, most) in [
            ("vocab_size", self.vocab_size, MAX_SIZE),
            ("hidden_size", self.hidden_size, MAX_SIZE),
            ("intermediate_size", self.intermediate_size, MAX_SIZE),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MAX_SIZE),
            ("num_key_value_heads", self.num_key_value_heads, MAX_SIZE),
            ("head_dim", self.head_dim, MAX_SIZE),
            ("max_position_embeddings", self.max_position_embeddings, MAX_SIZE),
        ] {
            if !(1..=most).contains(&value) {
                return wrong(setting, value.to_string(), format!("1 to {most}"));
            }
        }
        let widest = MAX_SIZE / self.num_attention_heads;
        if self.head_dim > widest {
            let supported = format!("at most {widest} with {} heads", self.num_attention_heads);
            return wrong("head_dim", self.head_dim.to_string(), supported);
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return wrong(
                "num_key_value_heads",
                self.num_key_value_heads.to_string(),
                format!("divisors of num_attention_heads = {}", self.num_attention_heads),
            );
        }
        if !self.head_dim.is_multiple_of(2) {
            return wrong("head_dim", self.head_dim.to_string(), "even numbers".into());
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return wrong("rope_theta", self.rope_theta.to_string(), "positive numbers".into());
        }
        if let RopeScaling::Divisors(divisors) = &self.rope_scaling
            && (divisors.len() != self.head_dim / 2 || !divisors.iter().all(|d| d.is_finite() && *d > 0.0))
        {
            let found = format!("{} divisors of the rotary frequencies", divisors.len());
            return wrong("rope_scaling", found, format!("{} positive numbers", self.head_dim / 2));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return wrong("rms_norm_eps", self.rms_norm_eps.to_string(), "non-negative numbers".into());
        }
        Ok(())
    }

    /// Checks that every id is inside the vocabulary; the model itself panics on others.
    ///
    /// # Errors
    /// Names the first id that is not, and its position.
    pub fn check_ids(&self, ids: &[u32]) -> Result<(), ModelError> {
        match ids.iter().position(|id| *id as usize >= self.vocab_size) {
            None => Ok(()),
            Some(position) => {
                Err(ModelError::TokenOutOfRange { id: ids[position], position, vocab_size: self.vocab_size })
            }
        }
    }

    /// Every linear layer of the blocks in order: per block q, k, v, o, gate, up, down.
    /// The head is not among them.
    pub fn linear_shapes(&self) -> impl Iterator<Item = LinearShape> + '_ {
        (0..self.num_hidden_layers).flat_map(|layer| self.block_linear_shapes(layer))
    }

    /// The linear layers of one block: q, k, v, o, gate, up, down.
    pub fn block_linear_shapes(&self, layer: usize) -> [LinearShape; 7] {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (queries, keys) = (self.query_width(), self.key_value_width());
        let (attention, mlp) = (self.attention_bias, self.mlp_bias);
        [
            ("self_attn.q_proj", queries, hidden, attention),
            ("self_attn.k_proj", keys, hidden, attention),
            ("self_attn.v_proj", keys, hidden, attention),
            ("self_attn.o_proj", hidden, queries, attention),
            ("mlp.gate_proj", inner, hidden, mlp),
            ("mlp.up_proj", inner, hidden, mlp),
            ("mlp.down_proj", hidden, inner, mlp),
        ]
        .map(|(name, out_features, in_features, bias)| LinearShape {
            path: format!("model.layers.{layer}.{name}"),
            out_features,
            in_features,
            bias,
        })
    }

    /// Tokens the model has room for. Linear scaling stretches `max_position_embeddings`, which
    /// stays that of the original model (so Vicuna's 16k files and FastChat's reading of them);
    /// Llama 3.1's kind is written with the stretched number already.
    pub fn context_length(&self) -> usize {
        match self.rope_scaling {
            RopeScaling::Linear { factor } => (self.max_position_embeddings as f64 * factor) as usize,
            _ => self.max_position_embeddings,
        }
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads (or all value heads) together.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Parameters of the token embedding, and of the head when it is not tied to it.
    pub fn embedding_parameters(&self) -> usize {
        let table = self.vocab_size * self.hidden_size;
        if self.tie_word_embeddings { table } else { 2 * table }
    }

    /// Parameters of the blocks' linear layers, biases included.
    pub fn linear_parameters(&self) -> usize {
        self.linear_shapes()
            .map(|l| l.out_features * l.in_features + if l.bias { l.out_features } else { 0 })
            .sum()
    }

    /// Parameters of the RMSNorms: two in each block and the final one.
    pub fn norm_parameters(&self) -> usize {
        (2 * self.num_hidden_layers + 1) * self.hidden_size
    }

    /// Parameters of the whole model; tied embeddings count once.
    pub fn parameter_count(&self) -> usize {
        self.embedding_parameters() + self.linear_parameters() + self.norm_parameters()
    }

    /// LLaMA-1 7B (Touvron et al. 2023a, table 2).
    pub fn llama_7b() -> Self {
        Self::llama_1(32, 4096, 11_008, 32, 1e-6)
    }

    /// LLaMA-1 13B (Touvron et al. 2023a, table 2).
    pub fn llama_13b() -> Self {
        Self::llama_1(40, 5120, 13_824, 40, 1e-6)
    }

    /// LLaMA-1 33B (Touvron et al. 2023a, table 2; called 30B in its files).
    pub fn llama_33b() -> Self {
        Self::llama_1(60, 6656, 17_920, 52, 1e-6)
    }

    /// LLaMA-1 65B (Touvron et al. 2023a, table 2).
    pub fn llama_65b() -> Self {
        Self::llama_1(80, 8192, 22_016, 64, 1e-5)
    }

    fn llama_1(layers: usize, hidden: usize, inner: usize, heads: usize, eps: f64) -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: hidden,
            intermediate_size: inner,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: hidden / heads,
            max_position_embeddings: 2048,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            rms_norm_eps: eps,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            bos_token_id: Some(1),
            eos_token_ids: vec![2],
            pad_token_id: None,
            stored_4bit: false,
        }
    }

    /// SmolLM2-135M (Hugging Face `HuggingFaceTB/SmolLM2-135M`).
    pub fn smollm2_135m() -> Self {
        Self {
            vocab_size: 49_152,
            hidden_size: 576,
            intermediate_size: 1536,
            num_hidden_layers: 30,
            num_attention_heads: 9,
            num_key_value_heads: 3,
            head_dim: 64,
            max_position_embeddings: 8192,
            rope_theta: 100_000.0,
            rope_scaling: RopeScaling::None,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
            attention_bias: false,
            mlp_bias: false,
            bos_token_id: Some(0),
            eos_token_ids: vec![0],
            pad_token_id: None,
            stored_4bit: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_configurations_have_the_published_sizes() {
        // Counted from the released checkpoints.
        assert_eq!(LlamaConfig::llama_7b().parameter_count(), 6_738_415_616);
        assert_eq!(LlamaConfig::llama_13b().parameter_count(), 13_015_864_320);
        assert_eq!(LlamaConfig::llama_33b().parameter_count(), 32_528_943_616);
        assert_eq!(LlamaConfig::llama_65b().parameter_count(), 65_285_660_672);
        assert_eq!(LlamaConfig::smollm2_135m().parameter_count(), 134_515_008);
    }

    #[test]
    fn linear_shapes_name_every_layer_of_every_block_but_not_the_head() {
        let config = LlamaConfig::smollm2_135m();
        let shapes: Vec<_> = config.linear_shapes().collect();
        assert_eq!(shapes.len(), 7 * 30);
        assert_eq!(shapes[1].path, "model.layers.0.self_attn.k_proj");
        assert_eq!((shapes[1].out_features, shapes[1].in_features), (192, 576));
        assert!(shapes.iter().all(|s| !s.path.contains("lm_head")));
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        let config = LlamaConfig { num_key_value_heads: 4, ..LlamaConfig::smollm2_135m() };
        let message = config.check("test").unwrap_err().to_string();
        assert!(message.contains("num_key_value_heads"), "{message}");
    }
}
