//! Quantising and dequantising tensors where they lie.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};

use super::{AbsmaxView, Code4, NestedSpec, Packed4Spec, Packed4View, Rounding, block_count};
use crate::blockwise8::{self, Map8};
use crate::flex_slices::{Bytes, F32s, f32_tensor};

/// Dequantises a packed matrix on its device.
///
/// # Shapes
/// - `packed`, `absmax`, `absmax_codes`: as in [`linear4bit`](crate::linear4bit())
/// - returns `[out_features, in_features]`, f32: the values of [`super::dequantize`], with double quantisation to one rounding
///   of the scale where a device fuses its product and sum
///
/// # Panics
/// If shapes, dtypes and `spec` do not agree.
pub fn dequantize_tensor(
    packed: Tensor<1, Int>,
    absmax: Tensor<1>,
    absmax_codes: Option<Tensor<1, Int>>,
    spec: Packed4Spec,
) -> Tensor<2> {
    assert_eq!(
        absmax_codes.is_some(),
        spec.nested.is_some(),
        "dequantize_tensor: absmax_codes are given exactly when spec.nested is"
    );
    let absmax_codes = absmax_codes.unwrap_or_else(|| packed.clone());
    Tensor::from_dispatch(<Dispatch as Blockwise4Op>::dequantize4_op(
        packed.into_dispatch(),
        absmax.into_dispatch(),
        absmax_codes.into_dispatch(),
        spec,
    ))
}

/// Quantises a tensor on its device: (packed codes, U8, `[packed_len]`; scales, f32, `[block_count]`).
///
/// The same codes and scales as [`super::quantize`] of the values in row-major order.
///
/// # Panics
/// If `block_size` is not one of [`super::BLOCK_SIZES`], or the values are not f32.
pub fn quantize_tensor<const D: usize>(
    values: Tensor<D>,
    code: Code4,
    block_size: usize,
    rounding: Rounding,
) -> (Tensor<1, Int>, Tensor<1>) {
    let (packed, absmax) =
        <Dispatch as Blockwise4Op>::quantize4_op(values.into_dispatch(), code, block_size, rounding);
    (Tensor::from_dispatch(packed), Tensor::from_dispatch(absmax))
}

/// Double quantisation on a tensor's device: scales less `nested.offset`, to 8 bits.
///
/// Returns (codes of the signed dynamic map, U8, `[n]`; nested scales, f32,
/// `[n.div_ceil(nested.block_size)]`) for `absmax` of `[n]`: those of
/// [`crate::blockwise8::quantize`] under [`Rounding::Cuda`].
///
/// # Panics
/// If `nested.block_size` is not a multiple of four, or the scales are not f32.
pub fn nest_scales_tensor(absmax: Tensor<1>, nested: NestedSpec) -> (Tensor<1, Int>, Tensor<1>) {
    assert!(
        nested.block_size > 0 && nested.block_size.is_multiple_of(4),
        "nested blocks of {} scales: expected a multiple of four",
        nested.block_size
    );
    let (codes, absmax) = <Dispatch as Blockwise4Op>::nest_scales_op(absmax.into_dispatch(), nested);
    (Tensor::from_dispatch(codes), Tensor::from_dispatch(absmax))
}

/// Backends that quantise and dequantise tensors. Neither has a gradient.
#[backend_extension(Flex, Cube: cfg(feature = "cube"))]
pub trait Blockwise4Op: Backend {
    /// See [`dequantize_tensor`]; `absmax_codes` is read only when `spec.nested` is `Some`.
    fn dequantize4_op(
        packed: IntTensor<Self>,
        absmax: FloatTensor<Self>,
        absmax_codes: IntTensor<Self>,
        spec: Packed4Spec,
    ) -> FloatTensor<Self>;

    /// See [`quantize_tensor`].
    fn quantize4_op(
        values: FloatTensor<Self>,
        code: Code4,
        block_size: usize,
        rounding: Rounding,
    ) -> (IntTensor<Self>, FloatTensor<Self>);

    /// See [`nest_scales_tensor`].
    fn nest_scales_op(absmax: FloatTensor<Self>, nested: NestedSpec) -> (IntTensor<Self>, FloatTensor<Self>);
}

impl Blockwise4Op for Flex {
    fn dequantize4_op(
        packed: FlexTensor,
        absmax: FlexTensor,
        absmax_codes: FlexTensor,
        spec: Packed4Spec,
    ) -> FlexTensor {
        let (packed, absmax, codes) = (Bytes::new(&packed), F32s::new(&absmax), Bytes::new(&absmax_codes));
        spec.check_lengths(packed.len(), absmax.len(), codes.len());
        let absmax = match spec.nested {
            None => AbsmaxView::Plain(&absmax),
            Some(nested) => AbsmaxView::Nested {
                codes: &codes,
                absmax: &absmax,
                offset: nested.offset,
                block_size: nested.block_size,
                table: nested.table,
            },
        };
        let Packed4Spec { code, block_size, .. } = spec;
        let view = Packed4View { code, block_size, packed: &packed, absmax, len: spec.len() };
        f32_tensor(super::dequantized(&view), [spec.out_features, spec.in_features])
    }

    fn quantize4_op(
        values: FlexTensor,
        code: Code4,
        block_size: usize,
        rounding: Rounding,
    ) -> (FlexTensor, FlexTensor) {
        let (packed, absmax) = super::quantized(code, block_size, rounding, &F32s::new(&values));
        let (bytes, blocks) = (packed.len(), absmax.len());
        (FlexTensor::from_data(TensorData::new(packed, [bytes])), f32_tensor(absmax, [blocks]))
    }

    fn nest_scales_op(absmax: FlexTensor, nested: NestedSpec) -> (FlexTensor, FlexTensor) {
        let centred: Vec<f32> = F32s::new(&absmax).iter().map(|scale| scale - nested.offset).collect();
        let mut codes = vec![0u8; centred.len()];
        let mut scales = vec![0f32; block_count(centred.len(), nested.block_size)];
        let map = Map8::DynamicSigned;
        blockwise8::quantize(map, nested.block_size, Rounding::Cuda, &centred, &mut codes, &mut scales);
        let (count, blocks) = (codes.len(), scales.len());
        (FlexTensor::from_data(TensorData::new(codes, [count])), f32_tensor(scales, [blocks]))
    }
}
