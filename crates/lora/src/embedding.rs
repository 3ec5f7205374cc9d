//! A token embedding with a low-rank update.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::{ComputeType, embedding, linear, linear_with};
use camelid_quant::Int8Linear;
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
    /// Without rows where the table is held in blocks of integers.
    pub weight: Param<Tensor<2>>,
    /// What `weight` was before it was replaced by a copy that an adapter trains whole.
    pub original: Option<Param<Tensor<2>>>,
    /// The update, when there is one: `A` is `[r, vocab_size]`, `B` `[hidden_size, r]`.
    pub adapter: Option<LoraAdapter>,
    int8: Option<Int8Linear>,
}

impl Embedding {
    /// An embedding without an adapter; `weight` is `[vocab_size, hidden_size]`.
    pub fn new(weight: Param<Tensor<2>>) -> Self {
        Self { weight, original: None, adapter: None, int8: None }
    }

    /// An embedding whose table, `[vocab_size, hidden_size]`, is held in blocks of integers.
    pub fn int8(table: Int8Linear) -> Self {
        let none = Tensor::zeros([0, table.in_features()], &table.device());
        let weight = Param::from_tensor(none).set_require_grad(false);
        Self { weight, original: None, adapter: None, int8: Some(table) }
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
        let x = match self.int8_in(ctx) {
            Some(table) => table.look_up(ids.clone()),
            None => embedding(self.held(ctx), ids.clone()),
        };
        match &self.adapter {
            Some(adapter) if ctx.adapters => {
                let low = embedding(adapter.lora_a.val().transpose(), ids);
                x + linear(low, adapter.lora_b.val(), None) * adapter.scale()
            }
            _ => x,
        }
    }

    /// What a tied head computes: `x · Wᵀ` with the table, without the low-rank update.
    ///
    /// # Shapes
    /// - `x`: `[.., hidden_size]`
    /// - result: `[.., vocab_size]`
    pub fn project<const D: usize>(
        &self,
        x: Tensor<D>,
        ctx: &ForwardContext,
        compute_type: ComputeType,
    ) -> Tensor<D> {
        match self.int8_in(ctx) {
            Some(table) => table.forward(x),
            None => linear_with(x, self.held(ctx), None, compute_type),
        }
    }

    /// The table itself, without the low-rank update: what a tied head multiplies with. One held in
    /// blocks of integers is written out in f32.
    pub fn weight(&self, ctx: &ForwardContext) -> Tensor<2> {
        match self.int8_in(ctx) {
            Some(table) => table.dequantize(),
            None => self.held(ctx),
        }
    }

    /// The table as it is now, an adapter's copy included: [`Embedding::weight()`] in evaluation.
    pub fn dense_weight(&self) -> Tensor<2> {
        self.weight(&ForwardContext::evaluation())
    }

    /// The table in blocks of integers, if it is held so and no adapter replaced it.
    pub fn int8_table(&self) -> Option<&Int8Linear> {
        self.int8_in(&ForwardContext::evaluation())
    }

    /// `[vocab_size, hidden_size]`.
    pub fn dims(&self) -> [usize; 2] {
        match self.int8_table() {
            Some(table) => [table.out_features(), table.in_features()],
            None => self.weight.dims(),
        }
    }

    /// The dense table; without rows where the one in blocks of integers counts.
    fn held(&self, ctx: &ForwardContext) -> Tensor<2> {
        self.original.as_ref().filter(|_| !ctx.adapters).unwrap_or(&self.weight).val()
    }

    fn int8_in(&self, ctx: &ForwardContext) -> Option<&Int8Linear> {
        let replaced = self.original.is_some() && ctx.adapters;
        self.int8.as_ref().filter(|_| !replaced)
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
        let [vocab, hidden] = self.dims();
        let r = config.layer(path)?.r;
        let mut rng = rng(seed, path);
        let b: Vec<f32> = (0..hidden * r).map(|_| normal(&mut rng)).collect();
        let a = Tensor::from_data(TensorData::new(vec![0.0_f32; r * vocab], [r, vocab]), device);
        LoraAdapter::of_embedding(config, path, a, Tensor::from_data(TensorData::new(b, [hidden, r]), device))
    }

    /// The embedding as it is without its adapter.
    pub(crate) fn stripped(&self) -> Self {
        let weight = self.original.as_ref().unwrap_or(&self.weight).clone();
        Self { weight, original: None, adapter: None, int8: self.int8.clone() }
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
