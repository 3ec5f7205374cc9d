//! The operations as burn sees them.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::{Int, Tensor};

use super::spec::Int8Spec;

/// `round(x)·Wᵀ`: the rows of `x` rounded to 8 bits by blocks of 32, products in integers.
///
/// A row's result does not depend on the other rows of the call. A block of `x` with a value that is
/// not finite makes its row's results NaN. On the CPU (flex) alone.
///
/// # Shapes
/// - `x`: `[.., in_features]`, f32, any strides
/// - `weight`: U8, `[spec.packed_len()]`, from an [`Int8Packer`](super::Int8Packer)
/// - returns `[.., out_features]`
///
/// The gradient of `x` is that of the product with the dequantised weight, as if nothing were
/// rounded; it writes the weight out in f32, so it is for completeness, not for training.
///
/// # Panics
/// If shapes, types and `spec` do not agree: a programmer's error.
///
/// # Example
/// ```
/// use burn::tensor::{DType, Device, Int, Tensor};
/// use camelid_kernels::{Int8Codes, Int8Packer, Int8Spec, linear_int8};
///
/// let device = Device::flex();
/// let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 2, in_features: 32 };
/// let mut packer = Int8Packer::new(spec);
/// packer.quantize_row(0, &[0.25; 32]).unwrap();
/// packer.quantize_row(1, &[-0.5; 32]).unwrap();
/// let weight = Tensor::<1, Int>::from_data(packer.finish(), (&device, DType::U8));
///
/// let y = linear_int8(Tensor::<2>::ones([1, 32], &device), weight, spec);
/// let y = y.to_data().try_to_vec::<f32>().unwrap();
/// assert!((y[0] - 8.0).abs() < 0.01 && (y[1] + 16.0).abs() < 0.01);
/// ```
pub fn linear_int8<const D: usize>(x: Tensor<D>, weight: Tensor<1, Int>, spec: Int8Spec) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as LinearInt8Op>::linear_int8_op(
        x.into_dispatch(),
        weight.into_dispatch(),
        spec,
    ))
}

/// The rows of a packed table named by `ids`, in f32: `[batch, seq]` to `[batch, seq, in_features]`.
///
/// # Panics
/// If an id is out of range: callers check ids against the vocabulary.
pub fn embedding_int8(weight: Tensor<1, Int>, ids: Tensor<2, Int>, spec: Int8Spec) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as EmbeddingInt8Op>::embedding_int8_op(
        weight.into_dispatch(),
        ids.into_dispatch(),
        spec,
    ))
}

/// Backends that run [`linear_int8`].
#[backend_extension(Autodiff, Flex)]
pub trait LinearInt8Op: Backend {
    /// See [`linear_int8`].
    fn linear_int8_op(x: FloatTensor<Self>, weight: IntTensor<Self>, spec: Int8Spec) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`linear_int8`].
pub trait LinearInt8Grad: LinearInt8Op {
    /// `dx[.., in] = dy[.., out]·W`, with the dequantised weight.
    fn linear_int8_dx(dy: FloatTensor<Self>, weight: IntTensor<Self>, spec: Int8Spec) -> FloatTensor<Self>;
}

/// Backends that run [`embedding_int8`].
#[backend_extension(Autodiff, Flex)]
pub trait EmbeddingInt8Op: Backend {
    /// See [`embedding_int8`].
    fn embedding_int8_op(weight: IntTensor<Self>, ids: IntTensor<Self>, spec: Int8Spec) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct LinearInt8Backward;

impl<B: LinearInt8Grad> Backward<B, 1> for LinearInt8Backward {
    type State = (IntTensor<B>, Int8Spec);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [x] = ops.parents;
        let (weight, spec) = ops.state;
        if let Some(x) = x {
            grads.register::<B>(x.id, B::linear_int8_dx(dy, weight, spec));
        }
    }
}

impl<B: LinearInt8Grad, C: CheckpointStrategy> LinearInt8Op for Autodiff<B, C> {
    fn linear_int8_op(x: FloatTensor<Self>, weight: IntTensor<Self>, spec: Int8Spec) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let y = B::linear_int8_op(x, weight.clone(), spec);
        match LinearInt8Backward.prepare::<C>([x_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((weight, spec), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

impl<B: EmbeddingInt8Op, C: CheckpointStrategy> EmbeddingInt8Op for Autodiff<B, C> {
    fn embedding_int8_op(weight: IntTensor<Self>, ids: IntTensor<Self>, spec: Int8Spec) -> FloatTensor<Self> {
        Self::FloatTensorPrimitive::new(B::embedding_int8_op(weight, ids, spec))
    }
}
