//! One forward pass over the rows of many sequences, their keys and values in blocks.

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::paged_attention::PagedRows;
use camelid_lora::{ForwardContext, LoraLinear};

use super::Llama;
use super::norm::RmsNorm;
use crate::config::LlamaConfig;

/// Consecutive rows of a pass that go through one model: the base, or the base with an adapter on it.
#[derive(Clone, Copy)]
pub(crate) struct RowGroup<'a> {
    pub model: &'a Llama,
    /// Number of rows.
    pub rows: usize,
}

/// Keys and values of many sequences, in blocks of equal size.
pub(crate) struct PagedCache {
    layers: Vec<LayerPool>,
}

impl PagedCache {
    /// A cache of `blocks` blocks, each of `positions` positions in every layer.
    pub fn new(config: &LlamaConfig, blocks: usize, positions: usize, device: &Device) -> Self {
        let (heads, d) = (config.num_key_value_heads, config.head_dim);
        let layer = |_| LayerPool {
            stored: Some((
                Tensor::zeros([blocks, heads, d, positions], device),
                Tensor::zeros([blocks, heads, positions, d], device),
            )),
        };
        Self { layers: (0..config.num_hidden_layers).map(layer).collect() }
    }

    /// Bytes of a block of `positions` positions in all layers.
    pub fn block_bytes(config: &LlamaConfig, positions: usize) -> usize {
        2 * config.num_hidden_layers * config.key_value_width() * positions * size_of::<f32>()
    }
}

/// The blocks of one layer.
pub(crate) struct LayerPool {
    /// Keys `[blocks, key_value_heads, head_dim, positions]` and values
    /// `[blocks, key_value_heads, positions, head_dim]`; absent only while they are written.
    stored: Option<(Tensor<4>, Tensor<4>)>,
}

impl LayerPool {
    /// Changes keys and values, which are held once while `change` has them and so can be written in
    /// place, and returns them.
    pub(super) fn update(
        &mut self,
        change: impl FnOnce(Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
    ) -> (Tensor<4>, Tensor<4>) {
        let (keys, values) = self.stored.take().expect("a pass that was cut short by a panic is not resumed");
        let (keys, values) = change(keys, values);
        self.stored = Some((keys.clone(), values.clone()));
        (keys, values)
    }
}

/// What comes out of the last block for every row, `[1, rows, hidden_size]`; the cache then holds their
/// keys and values.
///
/// The rows of `groups`, `ids` and `rows` are the same ones in the same order. The first group's model
/// or the one it was made from is the base of all others.
///
/// # Panics
/// When an id is outside the vocabulary, the cache lacks a block, or streamed weights cannot be read.
pub(crate) fn forward_paged(
    groups: &[RowGroup<'_>],
    ids: &[u32],
    rows: &PagedRows,
    cache: &mut PagedCache,
) -> Tensor<3> {
    let base = groups[0].model;
    let device = base.embed_tokens.weight.val().device();
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, rows.total()]), &device);
    let positions: Vec<usize> = rows.positions().collect();
    let angles = base.rope.at(&positions, &device);

    let mut x = embed(groups, ids);
    for (i, pool) in cache.layers.iter_mut().enumerate() {
        base.expect_block(i);
        x = block(groups, i, x, angles.clone(), rows, pool);
    }
    x
}

/// Logits of rows that came out of [`forward_paged`]: `[1, rows, hidden_size]` to
/// `[rows, vocab_size]`.
pub(crate) fn logits_paged(groups: &[RowGroup<'_>], x: Tensor<3>) -> Tensor<2> {
    let rows = x.dims()[1];
    let vocab_size = groups[0].model.config.vocab_size;
    let x = norm(groups, x, |model| &model.norm);
    head(groups, x).reshape([rows, vocab_size])
}

/// As [`linear`]: the widest weight is read once.
fn head(groups: &[RowGroup<'_>], x: Tensor<3>) -> Tensor<3> {
    let ctx = ForwardContext::evaluation();
    if groups.iter().all(|group| group.model.lm_head.is_some()) {
        return linear(groups, x, |model| model.lm_head.as_ref().expect("looked for above"));
    }
    let tied = |model: &Llama| model.lm_head.is_none() && model.embed_tokens.original.is_none();
    if groups.iter().all(|group| tied(group.model)) {
        return groups[0].model.head(x, &ctx);
    }
    by_group(groups, x, |model, x| model.head(x, &ctx))
}

fn embed(groups: &[RowGroup<'_>], ids: Tensor<2, Int>) -> Tensor<3> {
    let ctx = ForwardContext::evaluation();
    let mut first = 0;
    let parts: Vec<Tensor<3>> = groups
        .iter()
        .map(|group| {
            let ids = ids.clone().narrow(1, first, group.rows);
            first += group.rows;
            group.model.embed_ids(ids, &ctx)
        })
        .collect();
    joined(parts)
}

fn block(
    groups: &[RowGroup<'_>],
    i: usize,
    x: Tensor<3>,
    angles: (Tensor<2>, Tensor<2>),
    rows: &PagedRows,
    pool: &mut LayerPool,
) -> Tensor<3> {
    let h = norm(groups, x.clone(), |model| &model.layers[i].input_layernorm);
    let q = linear(groups, h.clone(), |model| &model.layers[i].self_attn.q_proj);
    let k = linear(groups, h.clone(), |model| &model.layers[i].self_attn.k_proj);
    let v = linear(groups, h, |model| &model.layers[i].self_attn.v_proj);
    let y = groups[0].model.layers[i].self_attn.attend_paged([q, k, v], angles, rows, pool);
    let x = x + linear(groups, y, |model| &model.layers[i].self_attn.o_proj);

    let h = norm(groups, x.clone(), |model| &model.layers[i].post_attention_layernorm);
    let gate = linear(groups, h.clone(), |model| &model.layers[i].mlp.gate_proj);
    let up = linear(groups, h, |model| &model.layers[i].mlp.up_proj);
    x + linear(groups, camelid_kernels::swiglu(gate, up), |model| &model.layers[i].mlp.down_proj)
}

fn norm(groups: &[RowGroup<'_>], x: Tensor<3>, of: impl Fn(&Llama) -> &RmsNorm) -> Tensor<3> {
    let ctx = ForwardContext::evaluation();
    if groups.iter().all(|group| of(group.model).original.is_none()) {
        return of(groups[0].model).forward(x, &ctx);
    }
    by_group(groups, x, |model, x| of(model).forward(x, &ctx))
}

/// One product with the base's weight for all rows, then each group's update; a layer that an adapter
/// replaced whole goes by group.
fn linear(groups: &[RowGroup<'_>], x: Tensor<3>, of: impl Fn(&Llama) -> &LoraLinear) -> Tensor<3> {
    let ctx = ForwardContext::evaluation();
    let shared = groups.iter().all(|group| of(group.model).original.is_none());
    if groups.len() == 1 || !shared {
        return by_group(groups, x, |model, x| of(model).forward(x, &ctx));
    }
    let y = of(groups[0].model).forward(x.clone(), &ctx.without_adapters());
    if groups.iter().all(|group| of(group.model).adapter.is_none()) {
        return y;
    }
    let mut first = 0;
    let parts = groups.iter().map(|group| {
        let of_group = |tensor: &Tensor<3>| tensor.clone().narrow(1, first, group.rows);
        let part = of(group.model).forward_onto(of_group(&y), of_group(&x), &ctx);
        first += group.rows;
        part
    });
    joined(parts.collect())
}

/// Each group's rows through `f`, in order.
fn by_group(groups: &[RowGroup<'_>], x: Tensor<3>, f: impl Fn(&Llama, Tensor<3>) -> Tensor<3>) -> Tensor<3> {
    if let [group] = groups {
        return f(group.model, x);
    }
    let mut first = 0;
    let parts = groups.iter().map(|group| {
        let part = f(group.model, x.clone().narrow(1, first, group.rows));
        first += group.rows;
        part
    });
    joined(parts.collect())
}

fn joined(mut parts: Vec<Tensor<3>>) -> Tensor<3> {
    if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(parts, 1) }
}
