//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Tensor};

/// The rows of `table` named by `ids`.
///
/// A table of 16-bit floats is widened row by row. The backward pass adds rows in
/// the order of the ids, so its bits never depend on threads.
///
/// # Shapes
/// - `table`: `[vocab, d]`, f32 (trained or frozen), f16 or bf16 (frozen)
/// - `ids`: `[batch, seq]`, each in `0..vocab`
/// - returns `[batch, seq, d]`
///
/// # Panics
/// If an id is out of range: callers check ids against the vocabulary.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use camelid_kernels::embedding;
///
/// let device = Device::flex();
/// let table = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
/// let ids = Tensor::<2, Int>::from_ints([[1, 0, 1]], &device);
/// let rows = embedding(table, ids).to_data().try_to_vec::<f32>().unwrap();
/// assert_eq!(rows, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
/// ```
pub fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as EmbeddingOp>::embedding_op(table.into_dispatch(), ids.into_dispatch()))
}

/// Backends that run [`embedding`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait EmbeddingOp: Backend {
    /// See [`embedding`].
    fn embedding_op(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Backends that run the backward pass of [`embedding`].
pub trait EmbeddingGrad: EmbeddingOp {
    /// The gradient of a table of `vocab` rows.
    fn embedding_dtable(dy: FloatTensor<Self>, ids: IntTensor<Self>, vocab: usize) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct EmbeddingBackward;

impl<B: EmbeddingGrad> Backward<B, 1> for EmbeddingBackward {
    type State = (IntTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [table] = ops.parents;
        let (ids, vocab) = ops.state;
        if let Some(table) = table {
            grads.register::<B>(table.id, B::embedding_dtable(dy, ids, vocab));
        }
    }
}

impl<B: EmbeddingGrad, C: CheckpointStrategy> EmbeddingOp for Autodiff<B, C> {
    fn embedding_op(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        assert!(
            !table.is_tracked() || table.dtype() == DType::F32,
            "embedding: a table of {:?} must be frozen",
            table.dtype()
        );
        let (table, table_node) = table.into_parts();
        let vocab = table.shape()[0];
        match EmbeddingBackward.prepare::<C>([table_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::embedding_op(table, ids.clone());
                prep.finish((ids, vocab), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::embedding_op(table, ids)),
        }
    }
}
