//! The low-rank update of a 768×768 layer, rank 16.

use burn::tensor::Device;
use camelid_benches::random;
use camelid_kernels::{Dropout, lora_update};
use criterion::Criterion;

use crate::peak::{backward, bench_all, device, product};

const TOKENS: usize = 1024;
const WIDTH: usize = 768;
const RANK: usize = 16;

pub fn bench(criterion: &mut Criterion) {
    for p in [0.0, 0.1] {
        let dropout = Some(Dropout { p, seed: 1 });
        let inputs = |device: &Device| {
            let (x, base) = (random([TOKENS, WIDTH], device), random([TOKENS, WIDTH], device));
            (base, x, random([RANK, WIDTH], device), random([WIDTH, RANK], device))
        };
        let work = product(TOKENS, 2 * WIDTH, RANK);
        let (base, x, a, b) = inputs(&device());
        bench_all(criterion, &format!("lora_update/forward, dropout {p}"), work, || {
            lora_update(base.clone(), x.clone(), a.clone(), b.clone(), 2.0, dropout)
        });
        let (base, x, a, b) = inputs(&device().autodiff());
        let (base, x, a, b) = (base.require_grad(), x.require_grad(), a.require_grad(), b.require_grad());
        // x·Aᵀ again, then dy·B, dB, dA and dx.
        let work = product(TOKENS, 5 * WIDTH, RANK);
        backward(criterion, &format!("lora_update/backward, dropout {p}"), work, || {
            lora_update(base.clone(), x.clone(), a.clone(), b.clone(), 2.0, dropout)
        });
    }
}
