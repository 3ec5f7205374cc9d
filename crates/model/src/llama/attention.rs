//! Self-attention with grouped queries and rotary positions.

use burn::module::Module;
use burn::tensor::Tensor;
use camelid_kernels::paged_attention::{PagedRows, paged_append, paged_attention};
use camelid_kernels::{CuSeqlens, causal_attention, causal_attention_varlen, rotary};
use camelid_lora::{ForwardContext, LoraLinear};

use super::cache::LayerCache;
use super::paged::LayerPool;
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
        let start = cache.as_ref().map_or(0, |c| c.len());
        let angles = rope.slice(start, x.dims()[1], &x.device());
        let [q, k, v] = self.project(x, angles, ctx);
        let (k, v) = match cache {
            Some(cache) => cache.append(k, v),
            None => (k, v),
        };
        self.output(causal_attention(q, k, v, self.scale()), ctx)
    }

    /// Attends within each of the sequences packed in `x`.
    ///
    /// # Shapes
    /// - `x` and result: `[1, positions, hidden_size]`, as many positions as `cu_seqlens` counts
    pub fn forward_varlen(
        &self,
        x: Tensor<3>,
        cu_seqlens: &CuSeqlens,
        rope: &Rope,
        ctx: &ForwardContext,
    ) -> Tensor<3> {
        let angles = rope.varlen(cu_seqlens, &x.device());
        let [q, k, v] = self.project(x, angles, ctx);
        self.output(causal_attention_varlen(q, k, v, self.scale(), cu_seqlens), ctx)
    }

    /// Attends from every row to the positions of its own sequence up to its own; the keys and
    /// values of the rows are added to the pool.
    ///
    /// # Shapes
    /// - `q`: `[1, rows, heads * head_dim]`; `k`, `v`: `[1, rows, key_value_heads * head_dim]`
    /// - result: as `q`
    pub(super) fn attend_paged(
        &self,
        [q, k, v]: [Tensor<3>; 3],
        (cos, sin): (Tensor<2>, Tensor<2>),
        rows: &PagedRows,
        pool: &mut LayerPool,
    ) -> Tensor<3> {
        let n = q.dims()[1];
        let split = |x: Tensor<3>, heads| x.reshape([1, n, heads, self.head_dim]);
        let q = rotary(split(q, self.heads), cos.clone(), sin.clone());
        let k = rotary(split(k, self.key_value_heads), cos, sin);
        let by_row = |x: Tensor<4>, heads| x.reshape([n, heads, self.head_dim]);
        let (k, v) = (by_row(k, self.key_value_heads), v.reshape([n, self.key_value_heads, self.head_dim]));
        let (keys, values) = pool.update(|keys, values| paged_append(keys, values, k, v, rows));
        let y = paged_attention(by_row(q, self.heads), keys, values, self.scale(), rows);
        y.reshape([1, n, self.heads * self.head_dim])
    }

    /// Queries, keys and values by head, positions rotated into the first two.
    fn project(
        &self,
        x: Tensor<3>,
        (cos, sin): (Tensor<2>, Tensor<2>),
        ctx: &ForwardContext,
    ) -> [Tensor<4>; 3] {
        let [batch, seq, _] = x.dims();
        let split = |x: Tensor<3>, heads| x.reshape([batch, seq, heads, self.head_dim]);
        let q = split(self.q_proj.forward(x.clone(), ctx), self.heads);
        let k = split(self.k_proj.forward(x.clone(), ctx), self.key_value_heads);
        let v = split(self.v_proj.forward(x, ctx), self.key_value_heads);
        [rotary(q, cos.clone(), sin.clone()), rotary(k, cos, sin), v]
    }

    fn output(&self, y: Tensor<4>, ctx: &ForwardContext) -> Tensor<3> {
        let [batch, seq, heads, head_dim] = y.dims();
        self.o_proj.forward(y.reshape([batch, seq, heads * head_dim]), ctx)
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }
}
