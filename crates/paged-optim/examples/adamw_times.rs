//! Times of one AdamW step of 100 M parameters: `cargo run -p camelid-paged-optim --example adamw_times`.
//!
//! Figures are the best of several runs; `GB/s` counts each byte read and written once. A number
//! of millions as argument takes another size.

use std::hint::black_box;
use std::time::Instant;

use camelid_paged_optim::{AdamWConfig, OptimError, PagedAdamW, StateBits, clip_scale, sum_of_squares};

const RUNS: usize = 6;

fn main() -> Result<(), OptimError> {
    let millions = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100usize);
    let len = millions * 1_000_000;
    let grad: Vec<f32> =
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 * 1e-9 - 0.008).collect();
    let mut param = grad.clone();
    let bytes = |per_value: f64| per_value * len as f64;
    println!("{millions} M parameters, {} threads", rayon::current_num_threads());
    time("norm of the gradient", bytes(4.0), || Ok(sum_of_squares(&grad).sqrt()))?;
    for (state, name, moved) in [(StateBits::Bits32, "32-bit", 28.0), (StateBits::Bits8, "8-bit", 16.03)] {
        let mut optim = PagedAdamW::new(AdamWConfig { state, ..AdamWConfig::default() })?;
        time(&format!("{name}, gradient checked first"), bytes(moved + 4.0), || {
            optim.step("p", 1e-4, &mut param, &grad)
        })?;
        time(&format!("{name}, no check"), bytes(moved), || {
            optim.step_scaled("p", 1e-4, 1.0, &mut param, &grad)
        })?;
        time(&format!("{name}, clipped by its norm"), bytes(moved + 4.0), || {
            let norm = sum_of_squares(&grad).sqrt();
            optim.step_scaled("p", 1e-4, clip_scale(norm, 0.3), &mut param, &grad)
        })?;
    }
    Ok(())
}

/// Prints the best time of several runs of `run`, with the rate at which `bytes` moved.
fn time<R>(name: &str, bytes: f64, mut run: impl FnMut() -> Result<R, OptimError>) -> Result<(), OptimError> {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<40} {:>9.3} ms {:>7.1} GB/s", best * 1e3, bytes / best * 1e-9);
    Ok(())
}
