//! Products with a packed matrix, forward and backward.

use camelid_benches::rows::{DOUBLE_QUANTISED_BITS, TOKENS, WIDTH};
use camelid_benches::{Packed, random};
use camelid_kernels::ComputeType;
use criterion::Criterion;

use crate::peak::{self, backward, bench_all, bytes, product};

pub fn bench(criterion: &mut Criterion) {
    for (out, inn) in [(WIDTH, WIDTH), (768, 768), (2048, 768), (768, 2048)] {
        let shape = format!("{out}x{inn}");
        let device = peak::device();
        let Ok(weight) = Packed::random(out, inn, &device) else { continue };
        let x = random([TOKENS, inn], &device);
        let work = product(TOKENS, out, inn);
        bench_all(criterion, &format!("linear4bit/{shape} forward"), work, || {
            weight.project(x.clone(), ComputeType::F32)
        });
        let row = random([1, inn], &device);
        let work = bytes(((out * inn) as f64 * DOUBLE_QUANTISED_BITS / 8.0) as usize);
        bench_all(criterion, &format!("linear4bit/{shape} one row"), work, || {
            weight.project(row.clone(), ComputeType::F32)
        });

        let device = device.autodiff();
        let Ok(weight) = Packed::random(out, inn, &device) else { continue };
        let x = random([TOKENS, inn], &device).require_grad();
        let work = product(TOKENS, out, inn);
        backward(criterion, &format!("linear4bit/{shape} backward"), work, || {
            weight.project(x.clone(), ComputeType::F32)
        });
    }
}
