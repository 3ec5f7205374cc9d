//! The operation as burn sees it.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::PagedRows;

/// Writes the keys and values of new positions into their places in the pool, in place where nothing
/// else holds it.
///
/// # Shapes
/// - `keys`: `[blocks, kv_heads, head_dim, positions]`, `positions` a multiple of
///   [`POSITIONS_STEP`](super::POSITIONS_STEP)
/// - `values`: `[blocks, kv_heads, positions, head_dim]`
/// - `k`, `v`: `[rows, kv_heads, head_dim]`
/// - returns `keys` and `values`
///
/// # Panics
/// If the shapes do not agree, or a sequence lacks a block for one of its positions.
pub fn paged_append(
    keys: Tensor<4>,
    values: Tensor<4>,
    k: Tensor<3>,
    v: Tensor<3>,
    rows: &PagedRows,
) -> (Tensor<4>, Tensor<4>) {
    let (keys, values) = <Dispatch as PagedAttentionOp>::paged_append_op(
        keys.into_dispatch(),
        values.into_dispatch(),
        k.into_dispatch(),
        v.into_dispatch(),
        rows.clone(),
    );
    (Tensor::from_dispatch(keys), Tensor::from_dispatch(values))
}

/// `softmax(scale·q·kᵀ)·v` where each row sees the positions of its own sequence up to its own.
///
/// Every row of the result is computed in one order, whatever rows are beside it and wherever the
/// blocks lie: a sequence gets the same bits alone and in any company, read at once or in pieces.
///
/// # Shapes
/// - `q`: `[rows, heads, head_dim]`, `kv_heads` divides `heads`
/// - `keys`, `values`: as [`paged_append`] returns them, those of `rows` included
/// - returns `[rows, heads, head_dim]`
///
/// # Panics
/// If the shapes do not agree, or a sequence lacks a block for one of its positions.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::paged_attention::{PagedRows, PagedSequence, paged_append, paged_attention};
///
/// let device = Device::flex();
/// let (keys, values) = (Tensor::zeros([8, 1, 1, 16], &device), Tensor::zeros([8, 1, 16, 1], &device));
/// // Two sequences: two positions of the first, one of the second.
/// let rows = PagedRows::new([
///     PagedSequence { rows: 2, start: 0, blocks: vec![5] },
///     PagedSequence { rows: 1, start: 0, blocks: vec![2] },
/// ]);
/// let q = Tensor::<3>::zeros([3, 1, 1], &device); // equal scores: the mean of the values seen
/// let v = Tensor::<3>::from_floats([[[2.0]], [[4.0]], [[9.0]]], &device);
/// let (keys, values) = paged_append(keys, values, q.clone(), v, &rows);
/// let y = paged_attention(q, keys, values, 1.0, &rows);
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [2.0, 3.0, 9.0]);
/// ```
pub fn paged_attention(
    q: Tensor<3>,
    keys: Tensor<4>,
    values: Tensor<4>,
    scale: f32,
    rows: &PagedRows,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as PagedAttentionOp>::paged_attention_op(
        q.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        scale,
        rows.clone(),
    ))
}

/// Backends that run [`paged_attention`]. It has no gradient.
#[backend_extension(Flex, Cube: cfg(feature = "cube"))]
pub trait PagedAttentionOp: Backend {
    /// See [`paged_append`].
    fn paged_append_op(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        rows: PagedRows,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`paged_attention`].
    fn paged_attention_op(
        q: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        scale: f32,
        rows: PagedRows,
    ) -> FloatTensor<Self>;
}
