//! Criterion's benches, one module per operation: `cargo xtask bench [NAME]`.
//!
//! Criterion prints times and throughput (elements are floating-point operations, so
//! `Gelem/s` reads GFLOP/s); a line after each bench gives the share of the machine's peak.
//! With `-- --test` everything runs once.

mod blockwise4;
mod causal_attention;
mod elementwise;
mod evolve;
mod linear;
mod linear4bit;
mod linear_cross_entropy;
mod linear_int8;
mod lora_update;
mod paged_adamw;
mod peak;
mod whole_model;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    blockwise4::bench(&mut criterion);
    linear4bit::bench(&mut criterion);
    linear_int8::bench(&mut criterion);
    linear::bench(&mut criterion);
    lora_update::bench(&mut criterion);
    causal_attention::bench(&mut criterion);
    linear_cross_entropy::bench(&mut criterion);
    elementwise::bench(&mut criterion);
    paged_adamw::bench(&mut criterion);
    evolve::bench(&mut criterion);
    whole_model::bench(&mut criterion);
    criterion.final_summary();
}
