//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use half::{bf16, f16};
use rayon::prelude::*;

use super::op::{LinearGrad, LinearOp};
use crate::flex_slices::{F32s, dims, f32_tensor, own_buffer, rows, with_last};
use crate::lanes::vectorised;
use crate::product::{ComputeType, Matrix, Rhs, product};
use crate::weight_rows::{Stored, WeightRows};

impl LinearOp for Flex {
    fn linear_op(x: FlexTensor, weight: FlexTensor, compute: ComputeType) -> FlexTensor {
        let (m, inn) = rows(&x);
        let [out, weight_in] = matrix_dims(&weight);
        assert_eq!(inn, weight_in, "linear: last dimension of x against the weight's columns");
        let shape = with_last(&x, out);
        f32_tensor(with_weight(&weight, |w| w.project(&F32s::new(&x), m, compute)), shape)
    }

    fn add_bias_op(y: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let bias = F32s::new(&bias);
        assert_eq!(bias.len(), rows(&y).1, "linear: length of the bias");
        let mut y = own_buffer(y);
        add_to_rows(y.storage_mut::<f32>(), &bias);
        y
    }
}

impl LinearGrad for Flex {
    fn linear_dx(dy: FlexTensor, weight: FlexTensor, compute: ComputeType) -> FlexTensor {
        let (m, _) = rows(&dy);
        let shape = with_last(&dy, matrix_dims(&weight)[1]);
        f32_tensor(with_weight(&weight, |w| w.project_back(&F32s::new(&dy), m, compute)), shape)
    }

    fn linear_dw(dy: FlexTensor, x: FlexTensor, compute: ComputeType) -> FlexTensor {
        let ((m, out), (_, inn)) = (rows(&dy), rows(&x));
        let (dy, x) = (F32s::new(&dy), F32s::new(&x));
        let dw = product(1.0, Matrix::new(&dy, m, out).t(), Rhs::Dense(Matrix::new(&x, m, inn)), compute);
        f32_tensor(dw, [out, inn])
    }

    fn linear_db(dy: FlexTensor) -> FlexTensor {
        let (_, out) = rows(&dy);
        f32_tensor(sum_rows(&F32s::new(&dy), out), [out])
    }
}

fn matrix_dims(weight: &FlexTensor) -> [usize; 2] {
    let shape = dims(weight);
    assert_eq!(shape.len(), 2, "a weight has two dimensions, not {shape:?}");
    [shape[0], shape[1]]
}

/// Hands `f` a dense weight as rows.
pub(crate) fn with_weight<R>(weight: &FlexTensor, f: impl FnOnce(WeightRows<'_>) -> R) -> R {
    let [out, inn] = matrix_dims(weight);
    let weight = weight.to_contiguous();
    let stored = match weight.dtype() {
        DType::F32 => Stored::F32(weight.storage::<f32>()),
        DType::F16 => Stored::F16(weight.storage::<f16>()),
        DType::BF16 => Stored::Bf16(weight.storage::<bf16>()),
        other => panic!("a weight is f32, f16 or bf16, not {other:?}"),
    };
    f(WeightRows { out, inn, first: 0, stored })
}

fn add_to_rows(y: &mut [f32], bias: &[f32]) {
    if bias.is_empty() {
        return;
    }
    y.par_chunks_mut(bias.len()).with_min_len(16).for_each(|row| {
        vectorised(
            #[inline(always)]
            || row.iter_mut().zip(bias).for_each(|(y, b)| *y += b),
        );
    });
}

/// The rows of a matrix of `cols` columns added up, in order within groups of rows
/// and then group by group: the same bits with any number of threads.
pub(crate) fn sum_rows(values: &[f32], cols: usize) -> Vec<f32> {
    const GROUP: usize = 64;
    if cols == 0 {
        return Vec::new();
    }
    let add = |sums: &mut [f32], row: &[f32]| {
        vectorised(
            #[inline(always)]
            || sums.iter_mut().zip(row).for_each(|(s, v)| *s += v),
        );
    };
    let groups: Vec<Vec<f32>> = values
        .par_chunks(GROUP * cols)
        .map(|group| {
            let mut sums = vec![0f32; cols];
            group.chunks_exact(cols).for_each(|row| add(&mut sums, row));
            sums
        })
        .collect();
    let mut sums = vec![0f32; cols];
    groups.iter().for_each(|group| add(&mut sums, group));
    sums
}
