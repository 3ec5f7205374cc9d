//! AdamW over one tensor of 16 million parameters.

use camelid_paged_optim::{AdamWConfig, PagedAdamW, StateBits};
use criterion::Criterion;

use crate::peak::{bench_all, bytes};

const PARAMETERS: usize = 16 << 20;

pub fn bench(criterion: &mut Criterion) {
    // Parameter and moments are read and written, the gradient is read.
    for (name, state, bytes_each) in [("32-bit", StateBits::Bits32, 28), ("8-bit", StateBits::Bits8, 16)] {
        let Ok(mut optim) = PagedAdamW::new(AdamWConfig { state, ..AdamWConfig::default() }) else {
            continue;
        };
        let mut parameters = vec![0.5f32; PARAMETERS];
        let gradient: Vec<f32> = (0..PARAMETERS).map(|i| (i as f32 * 0.37).sin() * 0.01).collect();
        bench_all(criterion, &format!("paged_adamw/{name} step"), bytes(bytes_each * PARAMETERS), || {
            optim.step("weight", 1e-4, &mut parameters, &gradient)
        });
    }
}
