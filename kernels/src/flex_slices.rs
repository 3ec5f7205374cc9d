//! Between the flex backend's tensors and plain slices.

use std::ops::{Deref, Range};

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Shape};

use crate::values::Values;

/// A contiguous f32 tensor, read as a slice.
///
/// Copies only when the tensor's elements do not lie one after the other.
pub(crate) struct F32s {
    tensor: FlexTensor,
    range: Range<usize>,
}

impl F32s {
    /// # Panics
    /// If the tensor does not hold f32 values.
    pub fn new(tensor: &FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::F32, "the operation computes in f32");
        if let Some((start, end)) = tensor.layout().contiguous_offsets() {
            return Self { tensor: tensor.clone(), range: start..end };
        }
        let tensor = tensor.to_contiguous();
        let range = 0..tensor.layout().num_elements();
        Self { tensor, range }
    }
}

impl Deref for F32s {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.tensor.storage::<f32>()[self.range.clone()]
    }
}

/// The bytes of an unsigned 8-bit tensor, contiguous.
pub(crate) struct Bytes(FlexTensor);

impl Bytes {
    /// # Panics
    /// If the tensor does not hold U8 values.
    pub fn new(tensor: &FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::U8, "packed codes are unsigned bytes");
        Self(tensor.to_contiguous())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A tensor over `values`, without a copy.
pub(crate) fn f32_tensor(values: impl Into<Values>, shape: impl Into<Shape>) -> FlexTensor {
    values.into().into_tensor(shape)
}

/// The dimensions of a tensor.
pub(crate) fn dims(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().to_vec()
}

/// A tensor as rows: (number of rows, last dimension).
pub(crate) fn rows(tensor: &FlexTensor) -> (usize, usize) {
    let shape = dims(tensor);
    match shape.split_last() {
        Some((&last, leading)) => (leading.iter().product(), last),
        None => (1, 1),
    }
}

/// The dimensions of a tensor with the last one replaced.
pub(crate) fn with_last(tensor: &FlexTensor, last: usize) -> Vec<usize> {
    let mut shape = dims(tensor);
    if let Some(end) = shape.last_mut() {
        *end = last;
    }
    shape
}

/// The indices in an integer tensor of any width.
///
/// # Panics
/// If the tensor is not one of integers.
pub(crate) fn indices(tensor: &FlexTensor) -> Vec<i64> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I64 => tensor.storage::<i64>().to_vec(),
        DType::I32 => tensor.storage::<i32>().iter().map(|&v| v.into()).collect(),
        DType::I16 => tensor.storage::<i16>().iter().map(|&v| v.into()).collect(),
        DType::I8 => tensor.storage::<i8>().iter().map(|&v| v.into()).collect(),
        DType::U32 => tensor.storage::<u32>().iter().map(|&v| v.into()).collect(),
        DType::U16 => tensor.storage::<u16>().iter().map(|&v| v.into()).collect(),
        DType::U8 => tensor.storage::<u8>().iter().map(|&v| v.into()).collect(),
        other => panic!("indices are integers, not {other:?}"),
    }
}

/// The tensor as one whole buffer, ready for `storage_mut`.
///
/// `storage_mut` then writes in place when nothing else holds the buffer and into
/// a copy otherwise, so an operation can put its result over an input it consumed.
pub(crate) fn own_buffer(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>();
    if whole { tensor } else { tensor.to_contiguous() }
}
