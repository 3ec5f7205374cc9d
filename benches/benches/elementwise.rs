//! What surrounds the products of a block: RMSNorm, rotary embedding, SwiGLU, token embedding.

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_benches::random;
use camelid_kernels::{embedding, rms_norm, rotary, swiglu};
use criterion::Criterion;

use crate::peak::{backward, bench_all, bytes, device};

const TOKENS: usize = 1024;
const WIDTH: usize = 768;
const INTERMEDIATE: usize = 2048;
const HEADS: usize = 12;
const HEAD_DIM: usize = 64;
const VOCABULARY: usize = 32_000;

/// Bytes of one f32 operand.
const fn operand(width: usize) -> usize {
    4 * TOKENS * width
}

pub fn bench(criterion: &mut Criterion) {
    rms_norms(criterion);
    swiglus(criterion);
    rotaries(criterion);
    embeddings(criterion);
}

fn rms_norms(criterion: &mut Criterion) {
    let run = |x: &Tensor<2>| rms_norm(x.clone(), Tensor::ones([WIDTH], &x.device()), 1e-5);
    let x = random([TOKENS, WIDTH], &device());
    bench_all(criterion, "rms_norm/forward", bytes(2 * operand(WIDTH)), || run(&x));
    let x = random([TOKENS, WIDTH], &device().autodiff()).require_grad();
    backward(criterion, "rms_norm/backward", bytes(3 * operand(WIDTH)), || run(&x));
}

fn swiglus(criterion: &mut Criterion) {
    let inputs = |device: &Device| [0; 2].map(|_| random([TOKENS, INTERMEDIATE], device));
    let [gate, up] = inputs(&device());
    let work = bytes(3 * operand(INTERMEDIATE));
    bench_all(criterion, "swiglu/forward", work, || swiglu(gate.clone(), up.clone()));
    let [gate, up] = inputs(&device().autodiff()).map(|x| x.require_grad());
    let work = bytes(5 * operand(INTERMEDIATE));
    backward(criterion, "swiglu/backward", work, || swiglu(gate.clone(), up.clone()));
}

fn rotaries(criterion: &mut Criterion) {
    let run = |x: &Tensor<4>| {
        let table = Tensor::ones([TOKENS, HEAD_DIM / 2], &x.device());
        rotary(x.clone(), table.clone(), table)
    };
    let shape = [1, TOKENS, HEADS, HEAD_DIM];
    let x = random(shape, &device());
    bench_all(criterion, "rotary/forward", bytes(2 * operand(WIDTH)), || run(&x));
    let x = random(shape, &device().autodiff()).require_grad();
    backward(criterion, "rotary/backward", bytes(2 * operand(WIDTH)), || run(&x));
}

fn embeddings(criterion: &mut Criterion) {
    let inputs = |device: &Device| {
        let ids: Vec<i64> = (0..TOKENS).map(|i| (i * 7919 % VOCABULARY) as i64).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, TOKENS]), device);
        (random([VOCABULARY, WIDTH], device), ids)
    };
    let (table, ids) = inputs(&device());
    bench_all(criterion, "embedding/forward", bytes(2 * operand(WIDTH)), || {
        embedding(table.clone(), ids.clone())
    });
    let (table, ids) = inputs(&device().autodiff());
    let table = table.require_grad();
    // The gradient has the table's size.
    let work = bytes(operand(WIDTH) + 4 * VOCABULARY * WIDTH);
    backward(criterion, "embedding/backward", work, || embedding(table.clone(), ids.clone()));
}
