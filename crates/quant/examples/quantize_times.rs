//! Times of quantising and dequantising a 4096×4096 weight, as a user calls it:
//! `cargo run -p camelid-quant --example quantize_times`.
//!
//! Figures are the best of several runs; `GB/s` counts each byte read and written once.

use std::hint::black_box;
use std::time::Instant;

use camelid_quant::{Format, QuantConfig, QuantError, QuantizeOptions, QuantizedTensor};
use half::bf16;

const SIDE: usize = 4096;
const RUNS: usize = 20;

fn main() -> Result<(), QuantError> {
    let shape = [SIDE, SIDE];
    let values: Vec<f32> = (0..SIDE * SIDE).map(normal).collect();
    let halves: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
    let bytes = |per_value: f64| per_value * (SIDE * SIDE) as f64;

    for format in [Format::Nf4, Format::Fp4, Format::Int4] {
        let config = QuantConfig { format, ..QuantConfig::default() };
        time(&format!("quantise f32, {format:?}, double quantised"), bytes(4.5), || {
            QuantizedTensor::quantize("weight", &values, &shape, &config)
        });
    }
    let config = QuantConfig::default();
    let options = QuantizeOptions::default();
    time("quantise bf16, Nf4, double quantised", bytes(2.5), || {
        QuantizedTensor::quantize_with("weight", &halves[..], &shape, &config, &options)
    });

    let weight = QuantizedTensor::quantize("weight", &values, &shape, &config)?;
    let (mut out, mut out_bf16) = (values, halves);
    time("dequantise to f32, buffer reused", bytes(4.5), || weight.dequantize_into(&mut out));
    time("dequantise to bf16, buffer reused", bytes(2.5), || weight.dequantize_into(&mut out_bf16));
    time("dequantise to f32, fresh buffer", bytes(4.5), || weight.dequantize());
    time("dequantise to bf16, fresh buffer", bytes(2.5), || weight.dequantize_bf16());
    Ok(())
}

/// Prints the best time of several runs of `run`, with the rate at which `bytes` moved.
fn time<R>(name: &str, bytes: f64, mut run: impl FnMut() -> R) {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        let output = black_box(run());
        best = best.min(start.elapsed().as_secs_f64());
        drop(output);
    }
    println!("{name:<40} {:>9.3} ms {:>7.1} GB/s", best * 1e3, bytes / best * 1e-9);
}

/// Sums of four hashed uniforms: near enough to a normal weight of deviation 0.02.
fn normal(index: usize) -> f32 {
    let mut z = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    let sum: u64 = (0..4).map(|i| (z >> (16 * i)) & 0xffff).sum();
    (sum as f32 / 65_536.0 - 2.0) * 0.035
}
