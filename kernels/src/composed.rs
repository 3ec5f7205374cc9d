//! The operations as compositions of burn's own.
use burn::tensor::{Bool, DType, Int, Tensor, TensorData, activation};

use crate::{Dropout, IGNORE_INDEX};

fn rows<const D: usize>(x: Tensor<D>) -> (Tensor<2>, [usize; D]) {
    let dims = x.dims();
    let last = dims[D - 1];
    let m = dims[..D - 1].iter().product::<usize>();
    (x.reshape([m, last]), dims)
}

fn back<const D: usize>(y: Tensor<2>, mut dims: [usize; D]) -> Tensor<D> {
    dims[D - 1] = y.dims()[1];
    y.reshape(dims)
}

/// x·Wᵀ + b.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let (x, dims) = rows(x);
    let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(DType::F32) };
    let mut y = x.matmul(weight.transpose());
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    back(y, dims)
}

/// base + scale·(drop(x)·Aᵀ)·Bᵀ.
pub fn lora_linear<const D: usize>(
    base: Tensor<D>,
    x: Tensor<D>,
    lora_a: Tensor<2>,
    lora_b: Tensor<2>,
    scale: f32,
    dropout: Option<Dropout>,
) -> Tensor<D> {
    let (mut x, dims) = rows(x);
    if let Some(dropout) = dropout {
        let shape = x.dims();
        let mask: Vec<f32> = (0..shape[0] * shape[1]).map(|i| dropout.factor(i as u64)).collect();
        x = x.clone() * Tensor::from_data(TensorData::new(mask, shape), &x.device());
    }
    base + back(x.matmul(lora_a.transpose()).matmul(lora_b.transpose()) * scale, dims)
}

/// x / rms(x) · weight.
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f32) -> Tensor<D> {
    let rms = (x.clone() * x.clone()).mean_dim(D - 1).add_scalar(eps).sqrt();
    x / rms * weight.unsqueeze()
}

/// Rotates halves.
pub fn rotary(x: Tensor<4>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<4> {
    let [_, seq, _, d] = x.dims();
    let a = x.clone().narrow(3, 0, d / 2);
    let b = x.narrow(3, d / 2, d / 2);
    let cos = cos.reshape([1, seq, 1, d / 2]);
    let sin = sin.reshape([1, seq, 1, d / 2]);
    Tensor::cat(vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin], 3)
}

/// silu(gate)·up.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    activation::silu(gate) * up
}

/// softmax(q·kᵀ·scale)·v, causal.
pub fn causal_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f32) -> Tensor<4> {
    let [b, t, heads, d] = q.dims();
    let [_, s, kv, _] = k.dims();
    let group = heads / kv;
    let repeat = |x: Tensor<4>| {
        x.swap_dims(1, 2).reshape([b, kv, 1, s, d]).repeat_dim(2, group).reshape([b, heads, s, d])
    };
    let scores = q.swap_dims(1, 2).matmul(repeat(k).swap_dims(2, 3)) * scale;
    let mask = Tensor::<2, Bool>::tril_mask([t, s], (s - t) as i64, &scores.device());
    let scores = scores.mask_fill(mask.reshape([1, 1, t, s]).expand([b, heads, t, s]), -1e30);
    activation::softmax(scores, 3).matmul(repeat(v)).swap_dims(1, 2)
}

/// Summed negative log-likelihood.
pub fn linear_cross_entropy(hidden: Tensor<2>, head: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let ids: Vec<i64> = labels.to_data().iter::<i64>().collect();
    let device = hidden.device();
    let kept: Vec<i64> = (0..ids.len() as i64).filter(|&i| ids[i as usize] != IGNORE_INDEX).collect();
    if kept.is_empty() {
        return hidden.sum() * 0.0;
    }
    let n = kept.len();
    let targets: Vec<i64> = kept.iter().map(|&i| ids[i as usize]).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(kept, [n]), &device);
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n, 1]), &device);
    let logits = hidden.select(0, rows).matmul(head.transpose());
    activation::log_softmax(logits, 1).gather(1, targets).sum().neg()
}

/// Rows of `table`.
pub fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let [b, t] = ids.dims();
    let d = table.dims()[1];
    table.select(0, ids.reshape([b * t])).reshape([b, t, d])
}

/// Scalar whose gradient with respect to `y` is `dy`.
pub fn vjp_seed<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Tensor<1> {
    (y * dy.detach()).sum()
}
