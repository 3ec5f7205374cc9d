//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// Divides each row by its root mean square and multiplies by `weight`.
///
/// The backward pass keeps handles to `x` and `weight` and nothing else.
///
/// # Shapes
/// - `x`: `[.., d]`
/// - `weight`: `[d]`
/// - returns `[.., d]`
///
/// # Panics
/// If the last dimension of `x` is not the length of `weight`.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::rms_norm;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_floats([[3.0, 4.0]], &device);
/// let y = rms_norm(x, Tensor::ones([2], &device), 0.0);
/// let y = y.to_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0] - 3.0 / 12.5f32.sqrt()).abs() < 1e-6);
/// ```
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as RmsNormOp>::rms_norm_op(
        x.into_dispatch(),
        weight.into_dispatch(),
        eps,
    ))
}

/// Backends that run [`rms_norm`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait RmsNormOp: Backend {
    /// See [`rms_norm`].
    fn rms_norm_op(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`rms_norm`].
pub trait RmsNormGrad: RmsNormOp {
    /// The gradient of `x`.
    fn rms_norm_dx(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
    /// The gradient of `weight`.
    fn rms_norm_dweight(dy: FloatTensor<Self>, x: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RmsNormGrad> Backward<B, 2> for RmsNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [x_node, weight_node] = ops.parents;
        let (x, weight, eps) = ops.state;
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::rms_norm_dweight(dy.clone(), x.clone(), eps));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::rms_norm_dx(dy, x, weight, eps));
        }
    }
}

impl<B: RmsNormGrad, C: CheckpointStrategy> RmsNormOp for Autodiff<B, C> {
    fn rms_norm_op(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        match RmsNormBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::rms_norm_op(x.clone(), weight.clone(), eps);
                prep.finish((x, weight, eps), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rms_norm_op(x, weight, eps)),
        }
    }
}
