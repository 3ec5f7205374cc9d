//! Products and 4-bit kernels.

use std::hint::black_box;
use std::time::Instant;

use camelid_kernels::{ComputeType, linear_with, vjp_seed};
use camelid_quant::{QuantConfig, QuantizedTensor};
use half::bf16;

use super::{Prepared, TOKENS, WIDTH};
use crate::inputs::{Packed, random, weights};
use crate::{BenchError, device, finish};

pub(super) fn linear_f32(compute: ComputeType) -> Result<Prepared, BenchError> {
    let device = device()?;
    let x = random([TOKENS, WIDTH], &device);
    let weight = random([WIDTH, WIDTH], &device);
    Ok(Prepared::timed(move || {
        black_box(linear_with(x.clone(), weight.clone(), None, compute));
        Ok(())
    }))
}

pub(super) fn linear4bit_forward(compute: ComputeType) -> Result<Prepared, BenchError> {
    let device = device()?;
    let x = random([TOKENS, WIDTH], &device);
    let weight = Packed::random(WIDTH, WIDTH, &device)?;
    Ok(Prepared::timed(move || {
        black_box(weight.project(x.clone(), compute));
        Ok(())
    }))
}

/// The backward pass alone counts; it uses burn's graph up, so each run makes another.
pub(super) fn linear4bit_dx(compute: ComputeType) -> Result<Prepared, BenchError> {
    let device = device()?.autodiff();
    let x = random([TOKENS, WIDTH], &device).require_grad();
    let dy = random([TOKENS, WIDTH], &device);
    let weight = Packed::random(WIDTH, WIDTH, &device)?;
    Ok(Prepared::new(move || {
        let seed = vjp_seed(weight.project(x.clone(), compute), dy.clone());
        finish(&device)?;
        let start = Instant::now();
        black_box(seed.backward());
        finish(&device)?;
        Ok(start.elapsed().as_secs_f64())
    }))
}

pub(super) fn linear4bit_one_row(matrices: usize, compute: ComputeType) -> Result<Prepared, BenchError> {
    let device = device()?;
    let x = random([1, WIDTH], &device);
    let q = QuantizedTensor::quantize(
        "weight",
        &weights(WIDTH * WIDTH),
        &[WIDTH, WIDTH],
        &QuantConfig::default(),
    )?;
    let weights: Vec<Packed> = (0..matrices).map(|_| Packed::from_quantized(q.clone(), &device)).collect();
    let mut prepared = Prepared::timed(move || {
        for weight in &weights {
            black_box(weight.project(x.clone(), compute));
        }
        Ok(())
    });
    prepared.per_run = matrices;
    Ok(prepared)
}

pub(super) fn nf4_quantize() -> Result<Prepared, BenchError> {
    let values = weights(WIDTH * WIDTH);
    Ok(Prepared::timed(move || {
        black_box(QuantizedTensor::quantize("weight", &values, &[WIDTH, WIDTH], &QuantConfig::default())?);
        Ok(())
    }))
}

pub(super) fn nf4_dequantize_kernel() -> Result<Prepared, BenchError> {
    let config = QuantConfig { double_quant: false, ..QuantConfig::default() };
    dequantize(&config)
}

pub(super) fn nf4_dequantize_public() -> Result<Prepared, BenchError> {
    dequantize(&QuantConfig::default())
}

fn dequantize(config: &QuantConfig) -> Result<Prepared, BenchError> {
    let q = QuantizedTensor::quantize("weight", &weights(WIDTH * WIDTH), &[WIDTH, WIDTH], config)?;
    let mut values = vec![bf16::ZERO; WIDTH * WIDTH];
    Ok(Prepared::timed(move || {
        q.dequantize_into(&mut values)?;
        black_box(&values);
        Ok(())
    }))
}
