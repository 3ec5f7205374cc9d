//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

use crate::ComputeType;

/// The summed negative log-likelihood of `labels` under `softmax(hidden·headᵀ)`, in nats.
///
/// Rows labelled [`IGNORE_INDEX`](crate::IGNORE_INDEX) cost nothing and get a zero
/// gradient. The sum runs in f64 in row order. Divide by the number of supervised
/// rows for a mean.
///
/// # Shapes
/// - `hidden`: `[n, d]`
/// - `head`: `[vocab, d]`; f32, or f16 or bf16 when frozen
/// - `labels`: `[n]`, each in `0..vocab` or `IGNORE_INDEX`
/// - returns `[1]`
///
/// # Panics
/// If the shapes do not agree or a label is out of range: callers check labels
/// against the vocabulary where they read them.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use camelid_kernels::{IGNORE_INDEX, linear_cross_entropy};
///
/// let device = Device::flex();
/// let hidden = Tensor::<2>::zeros([3, 4], &device);
/// let head = Tensor::<2>::ones([8, 4], &device);
/// let labels = Tensor::<1, Int>::from_ints([5, IGNORE_INDEX, 0], &device);
/// let loss = linear_cross_entropy(hidden, head, labels).into_scalar::<f32>();
/// assert!((loss - 2.0 * 8f32.ln()).abs() < 1e-6); // two supervised rows, uniform over 8
/// ```
pub fn linear_cross_entropy(hidden: Tensor<2>, head: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    linear_cross_entropy_with(hidden, head, labels, ComputeType::F32)
}

/// [`linear_cross_entropy`] with its products in a given compute type; the softmax and
/// the sums are in f32 and wider in any case.
pub fn linear_cross_entropy_with(
    hidden: Tensor<2>,
    head: Tensor<2>,
    labels: Tensor<1, Int>,
    compute: ComputeType,
) -> Tensor<1> {
    let (loss, _, _) = <Dispatch as CrossEntropyOp>::linear_cross_entropy_op(
        hidden.into_dispatch(),
        head.into_dispatch(),
        labels.into_dispatch(),
        CrossEntropyWanted { hidden: false, head: false },
        compute,
    );
    Tensor::from_dispatch(loss)
}

/// Which gradients the forward pass computes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossEntropyWanted {
    /// That of the hidden states.
    pub hidden: bool,
    /// That of the head.
    pub head: bool,
}

/// Backends that run [`linear_cross_entropy`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait CrossEntropyOp: Backend {
    /// The loss `[1]` and the gradients of `hidden` and `head` for an upstream
    /// gradient of 1; those not wanted come back empty, `[0, 0]`. On an autodiff
    /// backend what is tracked decides, and the gradients come back empty.
    fn linear_cross_entropy_op(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        labels: IntTensor<Self>,
        wanted: CrossEntropyWanted,
        compute: ComputeType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Backends that run the backward pass of [`linear_cross_entropy`].
pub trait CrossEntropyGrads: CrossEntropyOp {
    /// `grad · upstream`, where `upstream` is `[1]`.
    fn scale_by(grad: FloatTensor<Self>, upstream: FloatTensor<Self>) -> FloatTensor<Self>;
    /// A tensor `[0, 0]`.
    fn nothing(like: &FloatTensor<Self>) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: CrossEntropyGrads> Backward<B, 2> for CrossEntropyBackward {
    /// The gradients for an upstream gradient of 1, empty where nothing is tracked.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let [hidden_node, head_node] = ops.parents;
        let (dhidden, dhead) = ops.state;
        if let Some(node) = hidden_node {
            grads.register::<B>(node.id, B::scale_by(dhidden, upstream.clone()));
        }
        if let Some(node) = head_node {
            grads.register::<B>(node.id, B::scale_by(dhead, upstream));
        }
    }
}

impl<B: CrossEntropyGrads, C: CheckpointStrategy> CrossEntropyOp for Autodiff<B, C> {
    fn linear_cross_entropy_op(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        labels: IntTensor<Self>,
        _wanted: CrossEntropyWanted,
        compute: ComputeType,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let wanted = CrossEntropyWanted { hidden: hidden.is_tracked(), head: head.is_tracked() };
        let (hidden, hidden_node) = hidden.into_parts();
        let (head, head_node) = head.into_parts();
        let (loss, dhidden, dhead) = B::linear_cross_entropy_op(hidden, head, labels, wanted, compute);
        let nothing = FloatTensor::<Self>::new(B::nothing(&loss));
        let loss =
            match CrossEntropyBackward.prepare::<C>([hidden_node, head_node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((dhidden, dhead), loss),
                OpsKind::UnTracked(prep) => prep.finish(loss),
            };
        (loss, nothing.clone(), nothing)
    }
}
