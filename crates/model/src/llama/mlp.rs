//! The feed-forward part of a block.

use burn::module::Module;
use burn::tensor::Tensor;
use camelid_kernels::swiglu;
use camelid_lora::{ForwardContext, LoraLinear};

use crate::config::{LinearShape, LlamaConfig};

/// `down(silu(gate(x)) * up(x))` (SwiGLU, Shazeer 2020).
#[derive(Module, Debug)]
pub struct Mlp {
    /// `hidden_size` to `intermediate_size`.
    pub gate_proj: LoraLinear,
    /// `hidden_size` to `intermediate_size`.
    pub up_proj: LoraLinear,
    /// `intermediate_size` to `hidden_size`.
    pub down_proj: LoraLinear,
}

impl Mlp {
    /// The feed-forward part of block `layer`, each projection made by `make`.
    pub(super) fn new<E>(
        config: &LlamaConfig,
        layer: usize,
        make: impl Fn(LinearShape) -> Result<LoraLinear, E>,
    ) -> Result<Self, E> {
        let [.., gate, up, down] = config.block_linear_shapes(layer);
        Ok(Self { gate_proj: make(gate)?, up_proj: make(up)?, down_proj: make(down)? })
    }

    /// `[batch, seq, hidden]` to the same shape.
    pub fn forward(&self, x: Tensor<3>, ctx: &ForwardContext) -> Tensor<3> {
        let gate = self.gate_proj.forward(x.clone(), ctx);
        let up = self.up_proj.forward(x, ctx);
        self.down_proj.forward(swiglu(gate, up), ctx)
    }
}
