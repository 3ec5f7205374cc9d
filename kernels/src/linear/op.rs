//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};

use crate::ComputeType;

/// `x·Wᵀ + b`, PyTorch's convention.
///
/// A weight of f16 or bf16 must be frozen; it is widened a tile of rows at a time.
/// The backward pass keeps `x` only when the weight's gradient is wanted.
///
/// # Shapes
/// - `x`: `[.., in]`, f32
/// - `weight`: `[out, in]`, f32, f16 or bf16
/// - `bias`: `[out]`, f32
/// - returns `[.., out]`
///
/// # Panics
/// If the shapes do not agree, or a 16-bit weight requires a gradient.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::linear;
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let w = Tensor::<2>::from_floats([[1.0, 1.0], [0.0, -1.0], [3.0, 0.5]], &device);
/// let y = linear(x, w, None);
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [3.0, -2.0, 4.0]);
/// ```
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    linear_with(x, weight, bias, ComputeType::F32)
}

/// [`linear`] in a given compute type, forward and backward.
///
/// Up to four rows of `x` are bound by reading the weight: they go through a kernel
/// that computes in f32 whatever the type.
pub fn linear_with<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    compute: ComputeType,
) -> Tensor<D> {
    let y = <Dispatch as LinearOp>::linear_op(x.into_dispatch(), weight.into_dispatch(), compute);
    Tensor::from_dispatch(match bias {
        None => y,
        Some(bias) => <Dispatch as LinearOp>::add_bias_op(y, bias.into_dispatch()),
    })
}

/// Backends that run [`linear`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait LinearOp: Backend {
    /// `x·Wᵀ`.
    fn linear_op(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: ComputeType) -> FloatTensor<Self>;
    /// Adds `bias[out]` to the rows of `y[.., out]`, in place when nothing else holds `y`.
    fn add_bias_op(y: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`linear`].
pub trait LinearGrad: LinearOp {
    /// `dx[.., in] = dy[.., out]·W`.
    fn linear_dx(dy: FloatTensor<Self>, weight: FloatTensor<Self>, compute: ComputeType)
    -> FloatTensor<Self>;
    /// `dW[out, in] = dyᵀ·x`.
    fn linear_dw(dy: FloatTensor<Self>, x: FloatTensor<Self>, compute: ComputeType) -> FloatTensor<Self>;
    /// `db[out]`: the rows of `dy` summed.
    fn linear_db(dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearGrad> Backward<B, 2> for LinearBackward {
    /// `x` when the weight is trained, the weight when `x` is tracked.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>, ComputeType);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [x_node, weight_node] = ops.parents;
        let (x, weight, compute) = ops.state;
        if let (Some(node), Some(weight)) = (x_node, weight) {
            grads.register::<B>(node.id, B::linear_dx(dy.clone(), weight, compute));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            grads.register::<B>(node.id, B::linear_dw(dy, x, compute));
        }
    }
}

#[derive(Debug)]
struct AddBiasBackward;

impl<B: LinearGrad> Backward<B, 2> for AddBiasBackward {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [y_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::linear_db(dy.clone()));
        }
        if let Some(node) = y_node {
            grads.register::<B>(node.id, dy);
        }
    }
}

impl<B: LinearGrad, C: CheckpointStrategy> LinearOp for Autodiff<B, C> {
    fn linear_op(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: ComputeType) -> FloatTensor<Self> {
        let keep_x = weight.is_tracked();
        let keep_weight = x.is_tracked();
        assert!(
            !keep_x || weight.dtype() == DType::F32,
            "linear: a weight of {:?} must be frozen",
            weight.dtype()
        );
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let state = (keep_x.then(|| x.clone()), keep_weight.then(|| weight.clone()), compute);
        let y = B::linear_op(x, weight, compute);
        match LinearBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn add_bias_op(y: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let (y, y_node) = y.into_parts();
        let (bias, bias_node) = bias.into_parts();
        AddBiasBackward.prepare::<C>([y_node, bias_node]).compute_bound().stateless(B::add_bias_op(y, bias))
    }
}
