//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::Dropout;
use crate::ComputeType;

/// Adds a LoRA update to the output of a base linear.
///
/// `base` is consumed; when nothing else holds its buffer the update is added in place.
///
/// # Shapes
/// - `base`: `[.., out]`
/// - `x`: `[.., in]`, the same leading dimensions
/// - `lora_a`: `[r, in]`
/// - `lora_b`: `[out, r]`
/// - returns `[.., out]`
///
/// # Panics
/// If the shapes do not agree.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::lora_update;
///
/// let device = Device::flex();
/// let base = Tensor::<2>::from_floats([[10.0]], &device);
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
/// let a = Tensor::<2>::from_floats([[3.0, 4.0]], &device);
/// let b = Tensor::<2>::from_floats([[2.0]], &device);
/// let y = lora_update(base, x, a, b, 0.5, None);
/// assert_eq!(y.into_scalar::<f32>(), 21.0); // 10 + 0.5·2·(3 + 8)
/// ```
pub fn lora_update<const D: usize>(
    base: Tensor<D>,
    x: Tensor<D>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scale: f32,
    dropout: Option<Dropout>,
) -> Tensor<D> {
    lora_update_with(base, x, lora_a, lora_b, scale, dropout, ComputeType::F32)
}

/// [`lora_update`] in a given compute type, forward and backward.
pub fn lora_update_with<const D: usize>(
    base: Tensor<D>,
    x: Tensor<D>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scale: f32,
    dropout: Option<Dropout>,
    compute: ComputeType,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as LoraUpdateOp>::lora_update_op(
        base.into_dispatch(),
        x.into_dispatch(),
        lora_a.into_dispatch(),
        lora_b.into_dispatch(),
        scale,
        // A dropout of nothing is none: it costs no copy of x.
        dropout.filter(|dropout| dropout.p > 0.0),
        compute,
    ))
}

/// Backends that run [`lora_update`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait LoraUpdateOp: Backend {
    /// See [`lora_update`].
    fn lora_update_op(
        base: FloatTensor<Self>,
        x: FloatTensor<Self>,
        lora_a: FloatTensor<Self>,
        lora_b: FloatTensor<Self>,
        scale: f32,
        dropout: Option<Dropout>,
        compute: ComputeType,
    ) -> FloatTensor<Self>;
}

/// What the backward pass of [`lora_update`] starts from.
#[derive(Clone, Debug)]
pub struct LoraState<T> {
    /// The input, `[.., in]`.
    pub x: T,
    /// `A`, `[r, in]`.
    pub lora_a: T,
    /// `B`, `[out, r]`.
    pub lora_b: T,
    /// Factor of the update.
    pub scale: f32,
    /// Dropout of the input.
    pub dropout: Option<Dropout>,
    /// Of every product.
    pub compute: ComputeType,
}

/// Which gradients are wanted.
#[derive(Clone, Copy, Debug)]
pub struct LoraWanted {
    /// That of `x`.
    pub x: bool,
    /// That of `A`.
    pub lora_a: bool,
    /// That of `B`.
    pub lora_b: bool,
}

/// Gradients, `None` where not wanted.
#[derive(Debug)]
pub struct LoraGrads<T> {
    /// `[.., in]`
    pub x: Option<T>,
    /// `[r, in]`
    pub lora_a: Option<T>,
    /// `[out, r]`
    pub lora_b: Option<T>,
}

/// Backends that run the backward pass of [`lora_update`].
pub trait LoraUpdateGrad: LoraUpdateOp {
    /// The wanted gradients, given `dy[.., out]`. That of `base` is `dy` itself.
    fn lora_update_grads(
        dy: FloatTensor<Self>,
        state: LoraState<FloatTensor<Self>>,
        wanted: LoraWanted,
    ) -> LoraGrads<FloatTensor<Self>>;
}

#[derive(Debug)]
struct LoraUpdateBackward;

impl<B: LoraUpdateGrad> Backward<B, 4> for LoraUpdateBackward {
    type State = LoraState<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [base_node, x_node, a_node, b_node] = ops.parents;
        let wanted = LoraWanted { x: x_node.is_some(), lora_a: a_node.is_some(), lora_b: b_node.is_some() };
        let found = B::lora_update_grads(dy.clone(), ops.state, wanted);
        if let Some(node) = base_node {
            grads.register::<B>(node.id, dy);
        }
        for (node, grad) in [(x_node, found.x), (a_node, found.lora_a), (b_node, found.lora_b)] {
            if let (Some(node), Some(grad)) = (node, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: LoraUpdateGrad, C: CheckpointStrategy> LoraUpdateOp for Autodiff<B, C> {
    fn lora_update_op(
        base: FloatTensor<Self>,
        x: FloatTensor<Self>,
        lora_a: FloatTensor<Self>,
        lora_b: FloatTensor<Self>,
        scale: f32,
        dropout: Option<Dropout>,
        compute: ComputeType,
    ) -> FloatTensor<Self> {
        let (base, base_node) = base.into_parts();
        let (x, x_node) = x.into_parts();
        let (lora_a, a_node) = lora_a.into_parts();
        let (lora_b, b_node) = lora_b.into_parts();
        let nodes = [base_node, x_node, a_node, b_node];
        match LoraUpdateBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (a, b) = (lora_a.clone(), lora_b.clone());
                let y = B::lora_update_op(base, x.clone(), a, b, scale, dropout, compute);
                prep.finish(LoraState { x, lora_a, lora_b, scale, dropout, compute }, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::lora_update_op(base, x, lora_a, lora_b, scale, dropout, compute))
            }
        }
    }
}
