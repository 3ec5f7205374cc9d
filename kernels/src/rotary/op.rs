//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// Rotates each head by its position's angles.
///
/// With the halves `a`, `b` of a head: `[a·cos − b·sin, b·cos + a·sin]`.
/// `cos` and `sin` are constants; they get no gradient.
///
/// # Shapes
/// - `x`: `[batch, seq, heads, head_dim]`, `head_dim` even
/// - `cos`, `sin`: `[seq, head_dim / 2]`, the rows of these very positions
/// - returns the shape of `x`
///
/// # Panics
/// If the shapes do not agree.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::rotary;
///
/// let device = Device::flex();
/// let x = Tensor::<4>::from_floats([[[[1.0, 2.0]]]], &device);
/// // a quarter turn
/// let y = rotary(x, Tensor::zeros([1, 1], &device), Tensor::ones([1, 1], &device));
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [-2.0, 1.0]);
/// ```
pub fn rotary(x: Tensor<4>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as RotaryOp>::rotary_op(
        x.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        false,
    ))
}

/// Backends that run [`rotary`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait RotaryOp: Backend {
    /// See [`rotary`]; `inverse` turns the other way, which is the backward pass.
    fn rotary_op(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct RotaryBackward;

impl<B: RotaryOp> Backward<B, 1> for RotaryBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [x] = ops.parents;
        let (cos, sin, inverse) = ops.state;
        if let Some(x) = x {
            grads.register::<B>(x.id, B::rotary_op(dy, cos, sin, !inverse));
        }
    }
}

impl<B: RotaryOp, C: CheckpointStrategy> RotaryOp for Autodiff<B, C> {
    fn rotary_op(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        inverse: bool,
    ) -> FloatTensor<Self> {
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let (x, x_node) = x.into_parts();
        let y = B::rotary_op(x, cos.clone(), sin.clone(), inverse);
        match RotaryBackward.prepare::<C>([x_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos, sin, inverse), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
