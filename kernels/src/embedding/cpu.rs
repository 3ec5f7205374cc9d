//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::op::{EmbeddingGrad, EmbeddingOp};
use super::row_index;
use crate::flex_slices::{F32s, dims, indices, rows};
use crate::linear::with_weight;
use crate::values::Values;

impl EmbeddingOp for Flex {
    fn embedding_op(table: FlexTensor, ids: FlexTensor) -> FlexTensor {
        let mut shape = dims(&ids);
        let (vocab, d) = rows(&table);
        shape.push(d);
        let ids = indices(&ids);
        let mut y = Values::unset(ids.len() * d);
        if d > 0 {
            with_weight(&table, |table| {
                for (row, &id) in y.chunks_exact_mut(d).zip(&ids) {
                    table.widen_here(row_index(id, vocab), row);
                }
            });
        }
        y.into_tensor(shape)
    }
}

impl EmbeddingGrad for Flex {
    fn embedding_dtable(dy: FlexTensor, ids: FlexTensor, vocab: usize) -> FlexTensor {
        let (_, d) = rows(&dy);
        let (dy, ids) = (F32s::new(&dy), indices(&ids));
        let mut dtable = Values::zeros(vocab * d);
        if d > 0 {
            for (dy, &id) in dy.chunks_exact(d).zip(&ids) {
                let row = row_index(id, vocab) * d;
                dtable[row..row + d].iter_mut().zip(dy).for_each(|(t, v)| *t += v);
            }
        }
        dtable.into_tensor([vocab, d])
    }
}
