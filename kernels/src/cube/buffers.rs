//! Between the CubeCL backend's tensors and kernel arguments.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::ir::features::MmaConfig;
use cubecl::prelude::*;
use half::bf16;

/// Bytes that the start of every argument is a multiple of: the widest load a kernel makes.
const ALIGNMENT: u64 = 16;

/// The tensor as one row-major buffer of f32.
///
/// # Panics
/// If the tensor does not hold f32 values.
pub(crate) fn f32s(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype, DType::F32, "the operation computes in f32");
    row_major(tensor)
}

/// The tensor as one run of unsigned bytes.
///
/// # Panics
/// If the tensor does not hold U8 values, or is a piece of a larger one that does not
/// start at a multiple of 16 bytes.
pub(crate) fn bytes(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype, DType::U8, "packed codes are unsigned bytes");
    row_major(tensor)
}

/// Copies only a tensor whose rows are strided, or whose start is not aligned.
fn row_major(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.handle.offset_start.unwrap_or(0).is_multiple_of(ALIGNMENT) {
        return tensor;
    }
    let copy = output(&tensor, tensor.shape(), tensor.dtype);
    cubecl::std::tensor::copy_into(
        &copy.client,
        tensor.clone().binding(),
        copy.clone().binding(),
        burn::backend::cubecl::dtype_to_storage_type(tensor.dtype),
    );
    copy
}

/// The tensor, or a copy where something else holds it.
pub(crate) fn owned(tensor: CubeTensor) -> CubeTensor {
    if tensor.can_mut() {
        return tensor;
    }
    let copy = tensor.copy();
    debug_assert!(copy.can_mut());
    copy
}

/// A new tensor on the device of another, its values not yet written.
pub(crate) fn output(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), dtype)
}

/// A tensor as rows: (number of rows, last dimension).
pub(crate) fn rows(tensor: &CubeTensor) -> (usize, usize) {
    let shape = tensor.shape().to_vec();
    match shape.split_last() {
        Some((&last, leading)) => (leading.iter().product(), last),
        None => (1, 1),
    }
}

/// The dimensions of a tensor with the last one replaced.
pub(crate) fn with_last(tensor: &CubeTensor, last: usize) -> Vec<usize> {
    let mut shape = tensor.shape().to_vec();
    if let Some(end) = shape.last_mut() {
        *end = last;
    }
    shape
}

/// A contiguous tensor as a kernel argument of vectors of `width` values.
///
/// # Panics
/// If its values do not fill whole vectors.
pub(crate) fn vectors(tensor: &CubeTensor, width: usize) -> BufferArg {
    let len = tensor.shape().num_elements();
    assert!(len.is_multiple_of(width), "{len} values as vectors of {width}");
    argument(tensor, len / width)
}

/// A contiguous tensor as a kernel argument of single values.
pub(crate) fn scalars(tensor: &CubeTensor) -> BufferArg {
    vectors(tensor, 1)
}

/// A contiguous tensor of bytes as a kernel argument of 32-bit words, the first byte
/// lowest. The bytes of a last partial word that are not the tensor's are arbitrary.
pub(crate) fn words(tensor: &CubeTensor) -> BufferArg {
    // Every allocation is padded to the device's alignment, so that the last word is there.
    assert!(tensor.client.properties().memory.alignment.is_multiple_of(4), "allocations of whole words");
    argument(tensor, tensor.shape().num_elements().div_ceil(4))
}

fn argument(tensor: &CubeTensor, len: usize) -> BufferArg {
    // SAFETY: `len` elements lie inside the tensor's allocation, by the checks of the callers.
    #[allow(unsafe_code)]
    unsafe {
        BufferArg::from_raw_parts(tensor.handle.clone(), len)
    }
}

/// The largest power of two of units that a cube of the device may have, up to `wanted`.
///
/// Kernels walk their work with a stride of `CUBE_DIM`, so that the CPU runtime, which has
/// as few units as the machine has threads, runs the very source that a GPU does.
pub(crate) fn units(client: &Client, wanted: u32) -> u32 {
    let most = client.properties().hardware.max_units_per_cube.max(1).min(wanted);
    1 << most.ilog2()
}

/// `count` cubes, spread over the dimensions where one holds too few: a kernel reads
/// `CUBE_POS` and leaves when it is beyond the work.
pub(crate) fn cubes(client: &Client, count: usize) -> CubeCount {
    cubecl::calculate_cube_count_elemwise(client, count, CubeDim::new_1d(1))
}

/// Whether the device multiplies fragments of 16×16×16 from bf16 into f32.
pub(crate) fn has_bf16_fragments(like: &CubeTensor) -> bool {
    let (a_type, b_type, cd_type) = (bf16::cube_type(), bf16::cube_type(), f32::cube_type());
    let fragment = MmaConfig { a_type, b_type, cd_type, m: 16, n: 16, k: 16 };
    like.client.properties().features.matmul.cmma.contains(&fragment)
}

/// Whether the device has as many units as a GPU. CubeCL's CPU runtime has one per thread of the
/// machine: burn's products are then compiled for minutes, or ask for memory that is not there.
pub(crate) fn has_many_units(like: &CubeTensor) -> bool {
    like.client.properties().hardware.max_units_per_cube >= 128
}
