//! Quantising to 4 bits and back, 4096×4096.

use camelid_benches::rows::{DOUBLE_QUANTISED_BITS, WIDTH};
use camelid_quant::{Format, QuantConfig, QuantizedTensor};
use criterion::Criterion;

use crate::peak::{bench_all, bytes};

pub fn bench(criterion: &mut Criterion) {
    let values: Vec<f32> = (0..WIDTH * WIDTH).map(|i| (i as f32 * 0.37).sin() * 0.03).collect();
    let packed = (values.len() as f64 * DOUBLE_QUANTISED_BITS / 8.0) as usize;
    for format in [Format::Nf4, Format::Fp4, Format::Int4] {
        let config = QuantConfig { format, ..QuantConfig::default() };
        let quantize = || QuantizedTensor::quantize("weight", &values, &[WIDTH, WIDTH], &config);
        let name = format!("{format:?}").to_lowercase();
        let work = bytes(4 * values.len() + packed);
        bench_all(criterion, &format!("blockwise4/quantize {name}"), work, quantize);
        let Ok(q) = quantize() else { continue };
        bench_all(criterion, &format!("blockwise4/dequantize {name} f32"), work, || q.dequantize());
        let work = bytes(2 * values.len() + packed);
        bench_all(criterion, &format!("blockwise4/dequantize {name} bf16"), work, || q.dequantize_bf16());
    }
}
