//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// `silu(gate) · up`, element by element.
///
/// # Shapes
/// `gate` and `up` have one shape, which is the result's.
///
/// # Panics
/// If the shapes differ.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::swiglu;
///
/// let device = Device::flex();
/// let y = swiglu(Tensor::<1>::from_floats([0.0, 40.0], &device), Tensor::from_floats([5.0, 0.5], &device));
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [0.0, 20.0]);
/// ```
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as SwigluOp>::swiglu_op(gate.into_dispatch(), up.into_dispatch()))
}

/// Backends that run [`swiglu`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait SwigluOp: Backend {
    /// See [`swiglu`].
    fn swiglu_op(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`swiglu`].
pub trait SwigluGrad: SwigluOp {
    /// The gradients of `gate` and `up`.
    fn swiglu_grads(
        dy: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

#[derive(Debug)]
struct SwigluBackward;

impl<B: SwigluGrad> Backward<B, 2> for SwigluBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [gate_node, up_node] = ops.parents;
        let (gate, up) = ops.state;
        let (dgate, dup) = B::swiglu_grads(dy, gate, up);
        if let Some(node) = gate_node {
            grads.register::<B>(node.id, dgate);
        }
        if let Some(node) = up_node {
            grads.register::<B>(node.id, dup);
        }
    }
}

impl<B: SwigluGrad, C: CheckpointStrategy> SwigluOp for Autodiff<B, C> {
    fn swiglu_op(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        match SwigluBackward.prepare::<C>([gate_node, up_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::swiglu_op(gate.clone(), up.clone());
                prep.finish((gate, up), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::swiglu_op(gate, up)),
        }
    }
}
