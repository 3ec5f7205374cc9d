//! What crosses between the host and a device: a few numbers that say where rows are.

use burn::tensor::{DType, Shape};
use burn_cubecl::ops::into_data_sync;
use burn_cubecl::tensor::CubeTensor;

/// The indices in an integer tensor of any width. The host waits for the device.
///
/// # Panics
/// If the tensor is not one of integers.
pub(crate) fn indices(tensor: CubeTensor) -> Vec<i64> {
    assert!(tensor.dtype.is_int() || tensor.dtype.is_uint(), "indices are integers, not {:?}", tensor.dtype);
    into_data_sync(tensor).iter::<i64>().collect()
}

/// Numbers for a kernel, on the device of a tensor.
///
/// # Panics
/// If there are none: a kernel without work is not launched.
pub(crate) fn numbers(like: &CubeTensor, values: &[u32]) -> CubeTensor {
    assert!(!values.is_empty(), "a kernel without work");
    let handle = like.client.create_from_slice(bytemuck::cast_slice(values));
    let shape = Shape::from([values.len()]);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::U32)
}
