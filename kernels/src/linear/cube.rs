//! The CubeCL implementation: burn's own products, which choose among the device's
//! matrix units; a weight of 16 bits is widened first.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

use super::op::{LinearGrad, LinearOp};
use crate::ComputeType;
use crate::cube::buffers::{f32s, has_bf16_fragments, has_many_units, output, rows, with_last};
use crate::cube::product::{Masked, Onto, Operand, multiply};

impl LinearOp for CubeBackend {
    fn linear_op(x: CubeTensor, weight: CubeTensor, compute: ComputeType) -> CubeTensor {
        let (out, _) = rows(&weight);
        let shape = with_last(&x, out);
        let y = product(matrix(x), Self::float_transpose(widened(weight)), compute);
        Self::float_reshape(y, Shape::from(shape))
    }

    fn add_bias_op(y: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let (_, out) = rows(&y);
        let shape = y.shape();
        let sum = Self::float_add(matrix(y), Self::float_reshape(bias, Shape::from([1, out])));
        Self::float_reshape(sum, shape)
    }
}

impl LinearGrad for CubeBackend {
    fn linear_dx(dy: CubeTensor, weight: CubeTensor, compute: ComputeType) -> CubeTensor {
        let (_, inn) = rows(&weight);
        let shape = with_last(&dy, inn);
        let dx = product(matrix(dy), widened(weight), compute);
        Self::float_reshape(dx, Shape::from(shape))
    }

    fn linear_dw(dy: CubeTensor, x: CubeTensor, compute: ComputeType) -> CubeTensor {
        product(Self::float_transpose(matrix(dy)), matrix(x), compute)
    }

    fn linear_db(dy: CubeTensor) -> CubeTensor {
        let (_, out) = rows(&dy);
        Self::float_reshape(Self::float_sum_dim(matrix(dy), 0), Shape::from([out]))
    }
}

/// `left[m, terms]·right[terms, n]`: burn's product, in the compute type where the device has
/// matrix units for it; else, or where burn has no kernel that suits the device, this crate's,
/// which rounds what it loads.
pub(crate) fn product(left: CubeTensor, right: CubeTensor, compute: ComputeType) -> CubeTensor {
    let theirs = |left, right| matmul(left, right, None, MatmulStrategy::default(), DType::F32);
    let narrow = |tensor: &CubeTensor| CubeBackend::float_cast(tensor.clone(), FloatDType::BF16);
    let product = match compute {
        _ if !has_many_units(&left) => None,
        ComputeType::F32 | ComputeType::BatchInvariant => theirs(left.clone(), right.clone()).ok(),
        ComputeType::Bf16 if has_bf16_fragments(&left) => theirs(narrow(&left), narrow(&right)).ok(),
        ComputeType::Bf16 => None,
    };
    if let Some(product) = product {
        return product;
    }
    let ((m, terms), (_, n)) = (rows(&left), rows(&right));
    let (left, right) = (f32s(left), f32s(right));
    let result = output(&left, [m, n], DType::F32);
    let (a, b) = (Operand::new(&left, terms), Operand::new(&right, n));
    multiply(&result, (m, n, terms), 1.0, a, b, Onto::Nothing, Masked::Nothing, None, compute);
    result
}

/// The tensor as a matrix of rows.
fn matrix(tensor: CubeTensor) -> CubeTensor {
    let (m, n) = rows(&tensor);
    CubeBackend::float_reshape(tensor, Shape::from([m, n]))
}

/// The weight in f32.
pub(crate) fn widened(weight: CubeTensor) -> CubeTensor {
    match weight.dtype {
        DType::F32 => weight,
        DType::F16 | DType::BF16 => CubeBackend::float_cast(weight, FloatDType::F32),
        other => panic!("a weight is f32, f16 or bf16, not {other:?}"),
    }
}
