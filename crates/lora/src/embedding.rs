//! A token embedding with a low-rank update.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::{embedding, linear};
use rand::Rng;

use crate::adapter::{LoraAdapter, rng};
use crate::config::LoraConfig;
use crate::context::ForwardContext;
use crate::error::LoraError;

/// A table with a row per token: `y = W[id] + scale · (B·A)ᵀ[id]`.
///
/// Without an adapter it is its weight. Dropout has no place in it.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab_size, hidden_size]`. Trained whole (`modules_to_save`) it is the copy that trains.
    pub weight: Param<Tensor<2>>,
    /// What `weight` was before it was replaced by a copy that an adapter trains whole.
    pub original: Option<Param<Tensor<2>>>,
    /// The update, when there is one: `A` is `[r, vocab_size]`, `B` `[hidden_size, r]`.
    pub adapter: Option<LoraAdapter>,
}

impl Embedding {
    /// An embedding without an adapter; `weight` is `[vocab_size, hidden_size]`.
    pub fn new(weight: Param<Tensor<2>>) -> Self {
        Self { weight, original: None, adapter: None }
    }

    /// Looks tokens up.
    ///
    /// # Shapes
    /// - `ids`: `[batch, seq]`
    /// - result: `[batch, seq, hidden_size]`
    ///
    /// # Panics
    /// When an id is outside the vocabulary.
    pub fn forward(&self, ids: Tensor<2, Int>, ctx: &ForwardContext) -> Tensor<3> {
        let x = embedding(self.weight(ctx), ids.clone());
        match &self.adapter {
            Some(adapter) if ctx.adapters => {
                let low = embedding(adapter.lora_a.val().transpose(), ids);
                x + linear(low, adapter.lora_b.val(), None) * adapter.scale()
            }
            _ => x,
        }
    }

    /// The table itself, without the low-rank update: what a tied head multiplies with.
    pub fn weight(&self, ctx: &ForwardContext) -> Tensor<2> {
        self.original.as_ref().filter(|_| !ctx.adapters).unwrap_or(&self.weight).val()
    }

    /// Whether an adapter changes this embedding.
    pub fn is_adapted(&self) -> bool {
        self.adapter.is_some() || self.original.is_some()
    }

    /// A fresh adapter: `A` zero, so that it changes nothing yet, `B` standard normal, as PEFT.
    pub(crate) fn fresh_adapter(
        &self,
        config: &LoraConfig,
        seed: u64,
        path: &str,
        device: &Device,
    ) -> Result<LoraAdapter, LoraError> {
        let [vocab, hidden] = self.weight.dims();
        let r = config.layer(path)?.r;
        let mut rng = rng(seed, path);
        let b: Vec<f32> = (0..hidden * r).map(|_| normal(&mut rng)).collect();
        let a = Tensor::from_data(TensorData::new(vec![0.0_f32; r * vocab], [r, vocab]), device);
        LoraAdapter::of_embedding(config, path, a, Tensor::from_data(TensorData::new(b, [hidden, r]), device))
    }

    /// The embedding as it is without its adapter.
    pub(crate) fn stripped(&self) -> Self {
        Self::new(self.original.as_ref().unwrap_or(&self.weight).clone())
    }

    /// Puts a copy in the weight's place, which is kept.
    pub(crate) fn replace_weight(&mut self, copy: Param<Tensor<2>>) {
        let weight = std::mem::replace(&mut self.weight, copy);
        self.original.get_or_insert(weight);
    }
}

/// A standard normal value (Box and Muller 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    // In (0, 1], so that the logarithm is finite.
    let unit = |bits: u64| ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let radius = (-2.0 * unit(rng.next_u64()).ln()).sqrt();
    (radius * (2.0 * std::f64::consts::PI * unit(rng.next_u64())).cos()) as f32
}
