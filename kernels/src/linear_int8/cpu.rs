//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::op::{EmbeddingInt8Op, LinearInt8Grad, LinearInt8Op};
use super::product::project;
use super::reference::dequantize_row;
use super::spec::Int8Spec;
use crate::embedding::row_index;
use crate::flex_slices::{Bytes, F32s, dims, f32_tensor, indices, rows, with_last};
use crate::product::{ComputeType, Matrix, Rhs, product};
use crate::values::Values;

impl LinearInt8Op for Flex {
    fn linear_int8_op(x: FlexTensor, weight: FlexTensor, spec: Int8Spec) -> FlexTensor {
        let (m, inn) = rows(&x);
        assert_eq!(inn, spec.in_features, "linear_int8: last dimension of x against in_features");
        let shape = with_last(&x, spec.out_features);
        f32_tensor(project(&Bytes::new(&weight), &spec, &F32s::new(&x), m), shape)
    }
}

impl LinearInt8Grad for Flex {
    fn linear_int8_dx(dy: FlexTensor, weight: FlexTensor, spec: Int8Spec) -> FlexTensor {
        let (m, out) = rows(&dy);
        let inn = spec.in_features;
        let shape = with_last(&dy, inn);
        let mut dense = vec![0f32; out * inn];
        let packed = Bytes::new(&weight);
        for (row, values) in dense.chunks_exact_mut(inn.max(1)).enumerate() {
            dequantize_row(&packed, &spec, row, values);
        }
        let (dy, dense) = (F32s::new(&dy), Rhs::Dense(Matrix::new(&dense, out, inn)));
        f32_tensor(product(1.0, Matrix::new(&dy, m, out), dense, ComputeType::F32), shape)
    }
}

impl EmbeddingInt8Op for Flex {
    fn embedding_int8_op(weight: FlexTensor, ids: FlexTensor, spec: Int8Spec) -> FlexTensor {
        let packed = Bytes::new(&weight);
        assert_eq!(packed.len(), spec.packed_len(), "embedding_int8: bytes of the packed table");
        let (inn, mut shape) = (spec.in_features, dims(&ids));
        shape.push(inn);
        let ids = indices(&ids);
        let mut y = Values::unset(ids.len() * inn);
        if inn > 0 {
            for (row, &id) in y.chunks_exact_mut(inn).zip(&ids) {
                dequantize_row(&packed, &spec, row_index(id, spec.out_features), row);
            }
        }
        y.into_tensor(shape)
    }
}
