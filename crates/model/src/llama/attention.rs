//! Self-attention with grouped queries and rotary positions.

use burn::module::Module;
use burn::tensor::Tensor;
use camelid_kernels::{causal_attention, rotary};
use camelid_lora::{ForwardContext, LoraLinear};

use super::cache::LayerCache;
use crate::config::{LinearShape, LlamaConfig};
use crate::rope::Rope;

/// Causal self-attention in which several query heads share one key and value
/// head (Ainslie et al. 2023), positions being rotated into queries and keys.
#[derive(Module, Debug)]
pub struct Attention {
    /// `hidden_size` to `heads * head_dim`.
    pub q_proj: LoraLinear,
    /// `hidden_size` to `key_value_heads * head_dim`.
    pub k_proj: LoraLinear,
    /// `hidden_size` to `key_value_heads * head_dim`.
    pub v_proj: LoraLinear,
    /// `heads * head_dim` to `hidden_size`.
    pub o_proj: LoraLinear,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
}

impl Attention {
    /// The attention of block `layer`, each projection made by `make`.
    pub(super) fn new<E>(
        config: &LlamaConfig,
        layer: usize,
        make: impl Fn(LinearShape) -> Result<LoraLinear, E>,
    ) -> Result<Self, E> {
        let [q, k, v, o, ..] = config.block_linear_shapes(layer);
        Ok(Self {
            q_proj: make(q)?,
            k_proj: make(k)?,
            v_proj: make(v)?,
            o_proj: make(o)?,
            heads: config.num_attention_heads,
            key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        })
    }

    /// Attends from every position of `x` to itself and all before it, those in
    /// `cache` included; their keys and values are added to the cache.
    ///
    /// # Shapes
    /// - `x` and result: `[batch, seq, hidden_size]`
    pub fn forward(
        &self,
        x: Tensor<3>,
        rope: &Rope,
        ctx: &ForwardContext,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let split = |x: Tensor<3>, heads| x.reshape([batch, seq, heads, self.head_dim]);
        let q = split(self.q_proj.forward(x.clone(), ctx), self.heads);
        let k = split(self.k_proj.forward(x.clone(), ctx), self.key_value_heads);
        let v = split(self.v_proj.forward(x, ctx), self.key_value_heads);

        let start = cache.as_ref().map_or(0, |c| c.len());
        let (cos, sin) = rope.slice(start, seq, &q.device());
        let q = rotary(q, cos.clone(), sin.clone());
        let k = rotary(k, cos, sin);

        let (k, v) = match cache {
            Some(cache) => cache.append(k, v),
            None => (k, v),
        };
        let scale = (self.head_dim as f32).sqrt().recip();
        let y = causal_attention(q, k, v, scale);
        self.o_proj.forward(y.reshape([batch, seq, self.heads * self.head_dim]), ctx)
    }
}
