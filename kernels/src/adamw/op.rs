//! A step of a tensor where it lies.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};

use super::{Moment8, Step};
use crate::blockwise4::Rounding;
use crate::flex_slices::{Bytes, F32s, dims, f32_tensor};

/// A moment in 8-bit blocks on a tensor's device.
#[derive(Clone, Debug)]
pub struct Moment8Tensors {
    /// Codes of a dynamic map, U8, `[n]`: the signed one for `m`, the unsigned one for `v`.
    pub codes: Tensor<1, Int>,
    /// One scale per block of [`BLOCK`](super::BLOCK), f32.
    pub absmax: Tensor<1>,
}

/// Updates a parameter with 8-bit moments on its device, rounding as
/// [`Rounding::Cuda`]: what [`super::update_8bit`] computes.
///
/// Tensors that nothing else holds are updated in place.
///
/// # Shapes
/// - `p`, `g`: one shape of `n` elements, f32
/// - returns `p` and the moments `m` and `v` after the step
///
/// # Panics
/// If the shapes or dtypes do not agree.
pub fn update_8bit_tensors<const D: usize>(
    step: &Step,
    p: Tensor<D>,
    g: Tensor<D>,
    m: Moment8Tensors,
    v: Moment8Tensors,
) -> (Tensor<D>, Moment8Tensors, Moment8Tensors) {
    let (p, m, m_absmax, v, v_absmax) = <Dispatch as AdamW8Op>::adamw8_op(
        p.into_dispatch(),
        g.into_dispatch(),
        m.codes.into_dispatch(),
        m.absmax.into_dispatch(),
        v.codes.into_dispatch(),
        v.absmax.into_dispatch(),
        *step,
    );
    let moment = |codes, absmax| Moment8Tensors {
        codes: Tensor::from_dispatch(codes),
        absmax: Tensor::from_dispatch(absmax),
    };
    (Tensor::from_dispatch(p), moment(m, m_absmax), moment(v, v_absmax))
}

/// Backends that run [`update_8bit_tensors`]. It has no gradient.
#[backend_extension(Flex, Cube: cfg(feature = "cube"))]
#[allow(clippy::type_complexity)] // the macro takes the tuple apart
pub trait AdamW8Op: Backend {
    /// See [`update_8bit_tensors`]: the parameter, and codes and scales of `m` and of `v`.
    fn adamw8_op(
        p: FloatTensor<Self>,
        g: FloatTensor<Self>,
        m: IntTensor<Self>,
        m_absmax: FloatTensor<Self>,
        v: IntTensor<Self>,
        v_absmax: FloatTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, IntTensor<Self>, FloatTensor<Self>, IntTensor<Self>, FloatTensor<Self>);
}

impl AdamW8Op for Flex {
    fn adamw8_op(
        p: FlexTensor,
        g: FlexTensor,
        m: FlexTensor,
        m_absmax: FlexTensor,
        v: FlexTensor,
        v_absmax: FlexTensor,
        step: Step,
    ) -> (FlexTensor, FlexTensor, FlexTensor, FlexTensor, FlexTensor) {
        let shape = dims(&p);
        assert_eq!(dims(&g), shape, "adamw: the shapes of the parameter and its gradient");
        let mut p = F32s::new(&p).to_vec();
        let [mut m_absmax, mut v_absmax] = [m_absmax, v_absmax].map(|scales| F32s::new(&scales).to_vec());
        let [mut m, mut v] = [m, v].map(|codes| Bytes::new(&codes).to_vec());
        super::update_8bit(
            &step,
            Rounding::Cuda,
            &mut p,
            &F32s::new(&g),
            Moment8 { codes: &mut m, absmax: &mut m_absmax },
            Moment8 { codes: &mut v, absmax: &mut v_absmax },
        );
        let codes = |codes: Vec<u8>| {
            let len = codes.len();
            FlexTensor::from_data(TensorData::new(codes, [len]))
        };
        let scales = |scales: Vec<f32>| {
            let len = scales.len();
            f32_tensor(scales, [len])
        };
        (f32_tensor(p, shape), codes(m), scales(m_absmax), codes(v), scales(v_absmax))
    }
}
