//! Starting a backward pass from a gradient instead of from a loss.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::flex_slices::{dims, f32_tensor};

/// A scalar `[1]` whose backward pass hands `dy` to `y` unchanged.
///
/// `(y * dy).sum().backward()` without the product, the sum and their buffers: the
/// vector-Jacobian product of whatever computed `y`. The scalar's own value is 0.
/// Block checkpointing starts each recomputed block's backward pass with it.
///
/// # Panics
/// If the shapes of `y` and `dy` differ.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::vjp_seed;
///
/// let device = Device::flex().autodiff();
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device).require_grad();
/// let y = x.clone() * 3.0;
/// let dy = Tensor::<1>::from_floats([1.0, -1.0], &device);
/// let grads = vjp_seed(y, dy).backward();
/// assert_eq!(x.grad(&grads).unwrap().to_data().try_to_vec::<f32>().unwrap(), [3.0, -3.0]);
/// ```
pub fn vjp_seed<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as VjpSeedOp>::vjp_seed_op(y.into_dispatch(), dy.into_dispatch()))
}

/// Backends that run [`vjp_seed`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait VjpSeedOp: Backend {
    /// See [`vjp_seed`].
    fn vjp_seed_op(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl VjpSeedOp for Flex {
    fn vjp_seed_op(y: FlexTensor, dy: FlexTensor) -> FlexTensor {
        assert_eq!(dims(&y), dims(&dy), "vjp_seed: the shapes of y and dy");
        f32_tensor(vec![0.0], [1])
    }
}

#[cfg(feature = "cube")]
impl VjpSeedOp for burn_cubecl::CubeBackend {
    fn vjp_seed_op(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        use burn::backend::TensorMetadata;
        assert_eq!(y.shape(), dy.shape(), "vjp_seed: the shapes of y and dy");
        burn_cubecl::ops::numeric::zeros(y.device.clone(), [1].into(), burn::tensor::DType::F32)
    }
}

#[derive(Debug)]
struct VjpSeedBackward;

impl<B: VjpSeedOp> Backward<B, 1> for VjpSeedBackward {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<B>(&ops.node); // the scalar's own gradient carries nothing
        let [y] = ops.parents;
        if let Some(y) = y {
            grads.register::<B>(y.id, ops.state);
        }
    }
}

impl<B: VjpSeedOp, C: CheckpointStrategy> VjpSeedOp for Autodiff<B, C> {
    fn vjp_seed_op(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let dy = dy.into_primitive();
        let (y, y_node) = y.into_parts();
        let seed = B::vjp_seed_op(y, dy.clone());
        match VjpSeedBackward.prepare::<C>([y_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(dy, seed),
            OpsKind::UnTracked(prep) => prep.finish(seed),
        }
    }
}
