//! The operation as burn sees it.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::CuSeqlens;

/// `softmax(scale·q·kᵀ)·v` where query `i` sees the keys `0..=s - t + i`.
///
/// With `t == s` that is the causal mask of training; with `t < s` the queries are
/// the last `t` positions, as when a cache holds the keys before them.
///
/// # Shapes
/// - `q`: `[batch, t, heads, head_dim]`
/// - `k`, `v`: `[batch, s, kv_heads, head_dim]`, `s >= t`, `kv_heads` divides `heads`
/// - returns `[batch, t, heads, head_dim]`
///
/// # Panics
/// If the shapes do not agree.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::causal_attention;
///
/// let device = Device::flex();
/// let q = Tensor::<4>::zeros([1, 2, 1, 1], &device); // equal scores: the mean of the values seen
/// let v = Tensor::<4>::from_floats([[[[2.0]], [[4.0]]]], &device);
/// let y = causal_attention(q.clone(), q, v, 1.0);
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [2.0, 3.0]);
/// ```
pub fn causal_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f32) -> Tensor<4> {
    attention(q, k, v, scale, None)
}

/// As [`causal_attention`] over packed sequences, of different lengths and end to end: no
/// query sees a key of another sequence, and there is no padding to compute on
/// (`flash_attn_varlen_func` with `causal`, the queries being as long as the keys).
///
/// # Shapes
/// - `q`: `[1, positions, heads, head_dim]`, as many positions as `cu_seqlens` counts
/// - `k`, `v`: `[1, positions, kv_heads, head_dim]`
/// - returns `[1, positions, heads, head_dim]`
///
/// # Panics
/// If the shapes do not agree.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use camelid_kernels::{CuSeqlens, causal_attention_varlen};
///
/// let device = Device::flex();
/// let q = Tensor::<4>::zeros([1, 3, 1, 1], &device); // equal scores: the mean of the values seen
/// let v = Tensor::<4>::from_floats([[[[2.0]], [[4.0]], [[9.0]]]], &device);
/// let y = causal_attention_varlen(q.clone(), q, v, 1.0, &CuSeqlens::of_lengths([2, 1]));
/// assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), [2.0, 3.0, 9.0]);
/// ```
pub fn causal_attention_varlen(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    cu_seqlens: &CuSeqlens,
) -> Tensor<4> {
    attention(q, k, v, scale, Some(cu_seqlens.clone()))
}

fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    cu_seqlens: Option<CuSeqlens>,
) -> Tensor<4> {
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    let (out, _) = <Dispatch as AttentionOp>::causal_attention_op(q, k, v, scale, cu_seqlens);
    Tensor::from_dispatch(out)
}

/// Backends that run [`causal_attention`].
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cube"))]
pub trait AttentionOp: Backend {
    /// See [`causal_attention`] and, for `cu_seqlens`, [`causal_attention_varlen`]. Also returns
    /// the logarithm of each softmax denominator, `[batch, t, heads]`, which carries no
    /// gradient.
    fn causal_attention_op(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f32,
        cu_seqlens: Option<CuSeqlens>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What the backward pass of [`causal_attention`] starts from.
#[derive(Clone, Debug)]
pub struct AttentionInputs<T> {
    /// Queries.
    pub q: T,
    /// Keys.
    pub k: T,
    /// Values.
    pub v: T,
    /// The result.
    pub out: T,
    /// Logarithm of each softmax denominator.
    pub lse: T,
    /// Factor of the scores.
    pub scale: f32,
    /// The sequences, when they are packed.
    pub cu_seqlens: Option<CuSeqlens>,
}

/// Backends that run the backward pass of [`causal_attention`].
pub trait AttentionGrad: AttentionOp {
    /// The gradients of `q`, `k` and `v`.
    fn causal_attention_grads(
        dy: FloatTensor<Self>,
        inputs: AttentionInputs<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3];
}

#[derive(Debug)]
struct AttentionBackward;

impl<B: AttentionGrad> Backward<B, 3> for AttentionBackward {
    type State = AttentionInputs<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let found = B::causal_attention_grads(dy, ops.state);
        for (node, grad) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: AttentionGrad, C: CheckpointStrategy> AttentionOp for Autodiff<B, C> {
    fn causal_attention_op(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f32,
        cu_seqlens: Option<CuSeqlens>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (q, q_node) = q.into_parts();
        let (k, k_node) = k.into_parts();
        let (v, v_node) = v.into_parts();
        let (out, lse) = B::causal_attention_op(q.clone(), k.clone(), v.clone(), scale, cu_seqlens.clone());
        let constant = FloatTensor::<Self>::new(lse.clone());
        let out = match AttentionBackward.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(AttentionInputs { q, k, v, out: out.clone(), lse, scale, cu_seqlens }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        };
        (out, constant)
    }
}
