//! Products with a dense matrix, forward and backward.

use burn::tensor::DType;
use camelid_benches::random;
use camelid_benches::rows::{TOKENS, WIDTH};
use camelid_kernels::linear;
use criterion::Criterion;

use crate::peak::{self, backward, bench_all, product};

pub fn bench(criterion: &mut Criterion) {
    for (out, inn) in [(WIDTH, WIDTH), (2048, 768)] {
        let shape = format!("{out}x{inn}");
        let device = peak::device();
        let (x, weight) = (random([TOKENS, inn], &device), random([out, inn], &device));
        let work = product(TOKENS, out, inn);
        bench_all(criterion, &format!("linear/{shape} f32 forward"), work, || {
            linear(x.clone(), weight.clone(), None)
        });
        let half = weight.clone().cast(DType::BF16);
        bench_all(criterion, &format!("linear/{shape} bf16 weight forward"), work, || {
            linear(x.clone(), half.clone(), None)
        });
        let device = device.autodiff();
        let x = random([TOKENS, inn], &device).require_grad();
        let weight = random([out, inn], &device).require_grad();
        let work = product(2 * TOKENS, out, inn);
        backward(criterion, &format!("linear/{shape} backward, dx and dw"), work, || {
            linear(x.clone(), weight.clone(), None)
        });
    }
}
