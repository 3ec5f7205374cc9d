//! Head and loss of the 110-million-parameter LLaMA.

use burn::tensor::{Int, Tensor, TensorData};
use camelid_benches::random;
use camelid_kernels::linear_cross_entropy;
use criterion::Criterion;

use crate::peak::{bench_all, device, product};

const TOKENS: usize = 1024;
const WIDTH: usize = 768;
const VOCABULARY: usize = 32_000;

pub fn bench(criterion: &mut Criterion) {
    // The gradient is computed in the forward pass, while the logits are at hand.
    for (name, device, products) in [("loss", device(), 1), ("loss and gradient", device().autodiff(), 2)] {
        let hidden = random([TOKENS, WIDTH], &device);
        let hidden = if products > 1 { hidden.require_grad() } else { hidden };
        let head = random([VOCABULARY, WIDTH], &device);
        let labels: Vec<i64> = (0..TOKENS as i64).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [TOKENS]), &device);
        let work = product(products * TOKENS, VOCABULARY, WIDTH);
        bench_all(criterion, &format!("linear_cross_entropy/{name}"), work, || {
            linear_cross_entropy(hidden.clone(), head.clone(), labels.clone())
        });
    }
}
