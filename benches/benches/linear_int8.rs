//! Products of 8-bit integers, a few rows (decoding) and many (a prompt).

use burn::tensor::Device;
use camelid_benches::random;
use camelid_benches::rows::{TOKENS, WIDTH};
use camelid_quant::{Format, Int8Linear, Int8Matrix, QuantConfig, QuantError, QuantizedTensor};
use criterion::Criterion;

use crate::peak::{self, bench_all, bytes, product};

pub fn bench(criterion: &mut Criterion) {
    let device = peak::device();
    // Shapes of a large model and, last, of SmolLM2-135M with its head.
    for (out, inn) in [(WIDTH, WIDTH), (1536, 576), (49_152, 576)] {
        for codes in ["bytes", "nf4"] {
            let Ok(linear) = linear(codes, out, inn, &device) else { continue };
            let name = format!("linear_int8/{out}x{inn} {codes}");
            let read = linear.spec().packed_len();
            for (rows, named) in [(1, "one row"), (8, "8 rows")] {
                let x = random([rows, inn], &device);
                bench_all(criterion, &format!("{name} {named}"), bytes(read), || linear.forward(x.clone()));
            }
            let x = random([TOKENS, inn], &device);
            let work = product(TOKENS, out, inn);
            bench_all(criterion, &format!("{name} {TOKENS} rows"), work, || linear.forward(x.clone()));
        }
    }
}

fn linear(codes: &str, out: usize, inn: usize, device: &Device) -> Result<Int8Linear, QuantError> {
    let values: Vec<f32> = (0..out * inn).map(|i| ((i * 7919) % 1009) as f32 / 16_000.0 - 0.03).collect();
    let matrix = if codes == "bytes" {
        Int8Matrix::quantize("weight", &values, [out, inn])?
    } else {
        let config = QuantConfig { format: Format::Nf4, ..QuantConfig::default() };
        let q = QuantizedTensor::quantize("weight", &values, &[out, inn], &config)?;
        Int8Matrix::from_quantized("weight", &q)?
    };
    Int8Linear::new(matrix, None, device)
}
