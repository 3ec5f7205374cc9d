//! A model to be trained from nothing.

use std::convert::Infallible;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use camelid_lora::{Embedding, LoraLinear};
use camelid_quant::{BaseLinear, DenseLinear};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::load::{head, matrix};
use super::storage::{DenseStorage, LoadOptions};
use super::{Attention, Block, Llama, Mlp, RmsNorm};
use crate::config::{LinearShape, LlamaConfig};
use crate::error::ModelError;
use crate::expected::expected_tensors;
use crate::weights::{LoadedTensor, StoredType, WeightSource};

/// Standard deviation of fresh weights: transformers' `initializer_range`.
const INIT_STD: f64 = 0.02;

impl Llama {
    /// A dense `f32` model with fresh weights: normal with standard deviation
    /// 0.02, norms one, biases zero, as transformers initialises LLaMA.
    ///
    /// Each tensor depends on `seed` and its name alone.
    pub fn random(config: &LlamaConfig, seed: u64, device: &Device) -> Self {
        Self::random_with_std(config, INIT_STD, seed, device)
    }

    /// As [`Llama::random`], with another standard deviation. 0.02 suits wide
    /// models; a narrow one learns sooner from 1/√`hidden_size`.
    pub fn random_with_std(config: &LlamaConfig, init_std: f64, seed: u64, device: &Device) -> Self {
        let init = Init { init_std, seed, device };
        let norm = || {
            let weight = Tensor::ones([config.hidden_size], device);
            RmsNorm::new(weight, config.rms_norm_eps)
        };
        let table = |name| init.normal(name, [config.vocab_size, config.hidden_size]);
        let layers = (0..config.num_hidden_layers)
            .map(|i| Block {
                input_layernorm: norm(),
                self_attn: always(Attention::new(config, i, |shape| Ok(init.linear(&shape)))),
                post_attention_layernorm: norm(),
                mlp: always(Mlp::new(config, i, |shape| Ok(init.linear(&shape)))),
            })
            .collect();
        let lm_head = (!config.tie_word_embeddings).then(|| head(table("lm_head.weight")));
        let embed_tokens = Embedding::new(table("model.embed_tokens.weight"));
        Self::from_parts(config.clone(), embed_tokens, layers, norm(), lm_head)
    }

    /// The values of [`Llama::random`], held as `options` say: each tensor is made, packed
    /// if it is to be packed, and dropped, as when a model is loaded.
    ///
    /// # Errors
    /// When the configuration does not fit together, or a tensor cannot be packed.
    pub fn random_with(
        config: &LlamaConfig,
        options: &LoadOptions,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::load_with(&FreshWeights { config: config.clone(), seed }, options, device)
    }
}

/// The tensors of [`Llama::random`] as a source to load from.
#[derive(Debug)]
struct FreshWeights {
    config: LlamaConfig,
    seed: u64,
}

impl WeightSource for FreshWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(self.config.clone())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = expected_tensors(&self.config).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let mut tensors = expected_tensors(&self.config).into_iter();
        let Some((_, shape)) = tensors.find(|(expected, _)| expected == name) else {
            return Err(ModelError::Tensor {
                origin: self.describe(),
                name: name.to_string(),
                problem: "is not part of this model".into(),
            });
        };
        let values = match shape.as_slice() {
            [_, _] => normal_values(INIT_STD, self.seed, name, shape.iter().product()),
            _ if name.ends_with(".bias") => vec![0.0; shape.iter().product()],
            _ => vec![1.0; shape.iter().product()],
        };
        Ok(LoadedTensor::Dense { shape, values, stored: StoredType::F32 })
    }

    fn describe(&self) -> String {
        format!("fresh weights of seed {}", self.seed)
    }
}

fn always<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

struct Init<'a> {
    init_std: f64,
    seed: u64,
    device: &'a Device,
}

impl Init<'_> {
    fn linear(&self, shape: &LinearShape) -> LoraLinear {
        let weight = self.normal(&format!("{}.weight", shape.path), [shape.out_features, shape.in_features]);
        let bias = shape.bias.then(|| Param::from_tensor(Tensor::zeros([shape.out_features], self.device)));
        LoraLinear::new(BaseLinear::Dense(DenseLinear::from_params(weight, bias)))
    }

    fn normal(&self, name: &str, shape: [usize; 2]) -> Param<Tensor<2>> {
        let values = normal_values(self.init_std, self.seed, name, shape[0] * shape[1]);
        matrix(values, shape, DenseStorage::F32, self.device)
    }
}

/// The first `n` values of the generator of `name`.
fn normal_values(std: f64, seed: u64, name: &str, n: usize) -> Vec<f32> {
    let mut rng = named_rng(seed, name);
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let (a, b) = normal_pair(&mut rng);
        values.push((std * a) as f32);
        values.push((std * b) as f32);
    }
    values.truncate(n);
    values
}

/// A generator of its own for each name.
fn named_rng(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Two independent standard normal values (Box and Muller 1958).
fn normal_pair(rng: &mut impl Rng) -> (f64, f64) {
    // In (0, 1], so that the logarithm is finite.
    let unit = |bits: u64| ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let radius = (-2.0 * unit(rng.next_u64()).ln()).sqrt();
    let angle = 2.0 * std::f64::consts::PI * unit(rng.next_u64());
    (radius * angle.cos(), radius * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_values_are_normal_and_repeatable() {
        let mut rng = named_rng(3, "w");
        let values: Vec<f64> = (0..20_000).flat_map(|_| <[f64; 2]>::from(normal_pair(&mut rng))).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let within_one = values.iter().filter(|v| v.abs() < 1.0).count() as f64 / n;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        assert!((within_one - 0.6827).abs() < 0.01, "{within_one}");

        let first = |seed, name| named_rng(seed, name).next_u64();
        assert_eq!(first(3, "w"), first(3, "w"));
        assert_ne!(first(3, "w"), first(4, "w"));
        assert_ne!(first(3, "w"), first(3, "v"));
    }
}
