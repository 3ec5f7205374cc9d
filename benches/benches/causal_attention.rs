//! Attention of 12 heads over 1024 positions, and of one query over them.

use burn::tensor::Device;
use camelid_benches::random;
use camelid_kernels::causal_attention;
use criterion::Criterion;

use crate::peak::{backward, bench_all, bytes, device, product};

const LENGTH: usize = 1024;
const HEADS: usize = 12;
const HEAD_DIM: usize = 64;

pub fn bench(criterion: &mut Criterion) {
    // Scores and values, half of each hidden by causality.
    let work = product(LENGTH, LENGTH, HEADS * HEAD_DIM);
    let inputs = |device: &Device| [0; 3].map(|_| random([1, LENGTH, HEADS, HEAD_DIM], device));
    let [q, k, v] = inputs(&device());
    bench_all(criterion, "causal_attention/forward", work, || {
        causal_attention(q.clone(), k.clone(), v.clone(), 0.125)
    });
    let query = random([1, 1, HEADS, HEAD_DIM], &device());
    bench_all(criterion, "causal_attention/one query", bytes(8 * LENGTH * HEADS * HEAD_DIM), || {
        causal_attention(query.clone(), k.clone(), v.clone(), 0.125)
    });
    let [q, k, v] = inputs(&device().autodiff()).map(|x| x.require_grad());
    let work = product(LENGTH, LENGTH, HEADS * HEAD_DIM * 5 / 2);
    backward(criterion, "causal_attention/backward", work, || {
        causal_attention(q.clone(), k.clone(), v.clone(), 0.125)
    });
}
