//! The CubeCL implementation: burn's selection of rows, and a gradient that touches only the
//! rows that were looked up.
//!
//! Both read the ids back to the host, forward to name one that is out of range, backward to
//! bring equal ones together: their rows are then added in order, without atomics.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::op::{EmbeddingGrad, EmbeddingOp};
use super::row_index;
use crate::cube::buffers::{f32s, output, rows};
use crate::cube::host::{indices, numbers};
use crate::cube::sparse_rows::placed;

impl EmbeddingOp for CubeBackend {
    fn embedding_op(table: CubeTensor, ids: CubeTensor) -> CubeTensor {
        let (vocab, d) = rows(&table);
        let mut shape = ids.shape().to_vec();
        shape.push(d);
        let ids: Vec<u32> = indices(ids).into_iter().map(|id| row_index(id, vocab) as u32).collect();
        if ids.is_empty() || d == 0 {
            return output(&table, shape, DType::F32);
        }
        let ids = numbers(&table, &ids);
        let looked_up = Self::float_select(table, 0, ids);
        let y = match looked_up.dtype {
            DType::F32 => looked_up,
            _ => Self::float_cast(looked_up, FloatDType::F32),
        };
        Self::float_reshape(y, Shape::from(shape))
    }
}

impl EmbeddingGrad for CubeBackend {
    fn embedding_dtable(dy: CubeTensor, ids: CubeTensor, vocab: usize) -> CubeTensor {
        let places: Vec<usize> = indices(ids).into_iter().map(|id| row_index(id, vocab)).collect();
        placed(&f32s(dy), &places, vocab)
    }
}
