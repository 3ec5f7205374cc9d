//! Root-mean-square normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use camelid_kernels::rms_norm;

/// `x / rms(x) * weight` over the last dimension (Zhang and Sennrich 2019).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[hidden_size]`.
    pub weight: Param<Tensor<1>>,
    eps: f32,
}

impl RmsNorm {
    pub(super) fn new(weight: Tensor<1>, eps: f64) -> Self {
        Self { weight: Param::from_tensor(weight), eps: eps as f32 }
    }

    /// `[.., hidden_size]` to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        rms_norm(x, self.weight.val(), self.eps)
    }
}
