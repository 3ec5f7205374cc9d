//! Root-mean-square normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use camelid_kernels::rms_norm;
use camelid_lora::{ForwardContext, ModuleMut, ModuleRef};

/// `x / rms(x) * weight` over the last dimension (Zhang and Sennrich 2019).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[hidden_size]`. Trained whole (`modules_to_save`) it is the copy that trains.
    pub weight: Param<Tensor<1>>,
    /// What `weight` was before it was replaced by a copy that an adapter trains whole.
    pub(super) original: Option<Param<Tensor<1>>>,
    eps: f32,
}

impl RmsNorm {
    pub(super) fn new(weight: Tensor<1>, eps: f64) -> Self {
        Self { weight: Param::from_tensor(weight), original: None, eps: eps as f32 }
    }

    /// `[.., hidden_size]` to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, ctx: &ForwardContext) -> Tensor<D> {
        let weight = self.original.as_ref().filter(|_| !ctx.adapters).unwrap_or(&self.weight);
        rms_norm(x, weight.val(), self.eps)
    }

    pub(super) fn as_module(&self) -> ModuleRef<'_> {
        ModuleRef::Norm(&self.weight, &self.original)
    }

    pub(super) fn as_module_mut(&mut self) -> ModuleMut<'_> {
        ModuleMut::Norm(&mut self.weight, &mut self.original)
    }
}
