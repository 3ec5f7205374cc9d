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
use crate::blockwise4::Packed4Spec;

/// `x·Wᵀ` for a weight packed to 4 bits.
///
/// # Shapes
/// - `x`: `[.., in_features]`, f32, any strides
/// - `packed`: U8, `[(out_features * in_features + 1) / 2]`
/// - `absmax`: f32, one scale per block; with double quantisation the scales of
///   the scales, one per nested block
/// - `absmax_codes`: U8, one per block; `Some` exactly when `spec.nested` is
/// - returns `[.., out_features]`
///
/// Gradients flow to `x` alone.
///
/// # Panics
/// If shapes, dtypes and `spec` do not agree: a programmer's error.
///
/// # Example
/// ```
/// use burn::tensor::{DType, Device, Int, Tensor, TensorData};
/// use camelid_kernels::blockwise4::{self, Code4, Packed4Spec, Rounding};
/// use camelid_kernels::linear4bit;
///
/// let device = Device::flex();
/// let weight: Vec<f32> = (0..2 * 32).map(|i| (i % 7) as f32 - 3.0).collect();
/// let (mut packed, mut absmax) = (vec![0u8; 32], vec![0f32; 1]);
/// blockwise4::quantize(Code4::Nf4, 64, Rounding::Cuda, &weight, &mut packed, &mut absmax);
/// let spec = Packed4Spec { code: Code4::Nf4, out_features: 2, in_features: 32, block_size: 64, nested: None };
///
/// let packed = Tensor::<1, Int>::from_data(TensorData::new(packed, [32]), (&device, DType::U8));
/// let absmax = Tensor::<1>::from_data(TensorData::new(absmax, [1]), &device);
/// let y = linear4bit(Tensor::<2>::ones([3, 32], &device), packed, absmax, None, spec);
/// assert_eq!(y.dims(), [3, 2]);
/// ```
pub fn linear4bit<const D: usize>(
    x: Tensor<D>,
    packed: Tensor<1, Int>,
    absmax: Tensor<1>,
    absmax_codes: Option<Tensor<1, Int>>,
    spec: Packed4Spec,
) -> Tensor<D> {
    linear4bit_with(x, packed, absmax, absmax_codes, spec, ComputeType::F32)
}

/// [`linear4bit`] in a given compute type, forward and backward.
///
/// Up to four rows of `x` are bound by reading the weight: they go through a kernel
/// that computes in f32 whatever the type.
pub fn linear4bit_with<const D: usize>(
    x: Tensor<D>,
    packed: Tensor<1, Int>,
    absmax: Tensor<1>,
    absmax_codes: Option<Tensor<1, Int>>,
    spec: Packed4Spec,
    compute: ComputeType,
) -> Tensor<D> {
    assert_eq!(
        absmax_codes.is_some(),
        spec.nested.is_some(),
        "linear4bit: absmax_codes are given exactly when spec.nested is"
    );
    // Dispatch takes no optional tensors: without double quantisation any handle will do.
    let absmax_codes = absmax_codes.unwrap_or_else(|| packed.clone());
    Tensor::from_dispatch(<Dispatch as Linear4bitOp>::linear4bit_op(
        x.into_dispatch(),
        packed.into_dispatch(),
        absmax.into_dispatch(),
        absmax_codes.into_dispatch(),
        spec,
        compute,
    ))
}

/// Backends that run [`linear4bit`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait Linear4bitOp: Backend {
    /// See [`linear4bit`]; `absmax_codes` is read only when `spec.nested` is `Some`.
    fn linear4bit_op(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        absmax_codes: IntTensor<Self>,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`linear4bit`].
pub trait Linear4bitGrad: Linear4bitOp {
    /// `dx[.., in] = dy[.., out]·W`.
    fn linear4bit_dx(
        dy: FloatTensor<Self>,
        packed: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        absmax_codes: IntTensor<Self>,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct Linear4bitBackward;

impl<B: Linear4bitGrad> Backward<B, 1> for Linear4bitBackward {
    // Handles to the packed tensors; nothing dense.
    type State = (IntTensor<B>, FloatTensor<B>, IntTensor<B>, Packed4Spec, ComputeType);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [x] = ops.parents;
        let (packed, absmax, codes, spec, compute) = ops.state;
        if let Some(x) = x {
            grads.register::<B>(x.id, B::linear4bit_dx(dy, packed, absmax, codes, spec, compute));
        }
    }
}

impl<B: Linear4bitGrad, C: CheckpointStrategy> Linear4bitOp for Autodiff<B, C> {
    fn linear4bit_op(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        absmax_codes: IntTensor<Self>,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> FloatTensor<Self> {
        let absmax = absmax.into_primitive(); // a constant: its node is dropped
        let (x, x_node) = x.into_parts();
        match Linear4bitBackward.prepare::<C>([x_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y =
                    B::linear4bit_op(x, packed.clone(), absmax.clone(), absmax_codes.clone(), spec, compute);
                prep.finish((packed, absmax, absmax_codes, spec, compute), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::linear4bit_op(x, packed, absmax, absmax_codes, spec, compute))
            }
        }
    }
}
