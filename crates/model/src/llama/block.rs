//! One decoder block.

use burn::module::Module;
use burn::tensor::Tensor;
use camelid_kernels::CuSeqlens;
use camelid_lora::{ForwardContext, LoraLinear};

use super::attention::Attention;
use super::cache::LayerCache;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use crate::rope::Rope;

/// Attention and feed-forward, each on a normalised input and added back.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before attention.
    pub input_layernorm: RmsNorm,
    /// Attention.
    pub self_attn: Attention,
    /// Norm before the feed-forward part.
    pub post_attention_layernorm: RmsNorm,
    /// Feed-forward part.
    pub mlp: Mlp,
}

impl Block {
    /// `[batch, seq, hidden_size]` to the same shape; see [`Attention::forward`]
    /// for `cache`.
    pub fn forward(
        &self,
        x: Tensor<3>,
        rope: &Rope,
        ctx: &ForwardContext,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let h = self.input_layernorm.forward(x.clone(), ctx);
        let x = x + self.self_attn.forward(h, rope, ctx, cache);
        self.feed_forward(x, ctx)
    }

    /// As [`Block::forward`] for packed sequences; see [`Attention::forward_varlen`].
    pub fn forward_varlen(
        &self,
        x: Tensor<3>,
        cu_seqlens: &CuSeqlens,
        rope: &Rope,
        ctx: &ForwardContext,
    ) -> Tensor<3> {
        let h = self.input_layernorm.forward(x.clone(), ctx);
        let x = x + self.self_attn.forward_varlen(h, cu_seqlens, rope, ctx);
        self.feed_forward(x, ctx)
    }

    fn feed_forward(&self, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        let h = self.post_attention_layernorm.forward(x.clone(), ctx);
        x + self.mlp.forward(h, ctx)
    }

    /// The norms by their names inside the block.
    pub(super) fn norms(&self) -> [(&'static str, &RmsNorm); 2] {
        [
            ("input_layernorm", &self.input_layernorm),
            ("post_attention_layernorm", &self.post_attention_layernorm),
        ]
    }

    /// As [`Block::norms`], to be changed.
    pub(super) fn norms_mut(&mut self) -> [(&'static str, &mut RmsNorm); 2] {
        [
            ("input_layernorm", &mut self.input_layernorm),
            ("post_attention_layernorm", &mut self.post_attention_layernorm),
        ]
    }

    /// The linear layers by their names inside the block.
    pub fn linears(&self) -> [(&'static str, &LoraLinear); 7] {
        [
            ("self_attn.q_proj", &self.self_attn.q_proj),
            ("self_attn.k_proj", &self.self_attn.k_proj),
            ("self_attn.v_proj", &self.self_attn.v_proj),
            ("self_attn.o_proj", &self.self_attn.o_proj),
            ("mlp.gate_proj", &self.mlp.gate_proj),
            ("mlp.up_proj", &self.mlp.up_proj),
            ("mlp.down_proj", &self.mlp.down_proj),
        ]
    }

    /// As [`Block::linears`], to be changed.
    pub fn linears_mut(&mut self) -> [(&'static str, &mut LoraLinear); 7] {
        [
            ("self_attn.q_proj", &mut self.self_attn.q_proj),
            ("self_attn.k_proj", &mut self.self_attn.k_proj),
            ("self_attn.v_proj", &mut self.self_attn.v_proj),
            ("self_attn.o_proj", &mut self.self_attn.o_proj),
            ("mlp.gate_proj", &mut self.mlp.gate_proj),
            ("mlp.up_proj", &mut self.mlp.up_proj),
            ("mlp.down_proj", &mut self.mlp.down_proj),
        ]
    }
}
