//! The plain form: dequantise everything, then multiply.

use crate::blockwise4::Packed4View;

/// `y[m, out] = x[m, in]·Wᵀ` in f64, where the packed run is `W[out, in]`, row-major.
pub fn linear4bit(x: &[f64], weight: &Packed4View<'_>, out: usize, inn: usize) -> Vec<f64> {
    let mut dense = vec![0f32; weight.len];
    weight.dequantize_range(0, &mut dense);
    let row = |o: usize| &dense[o * inn..(o + 1) * inn];
    x.chunks(inn)
        .flat_map(|x| (0..out).map(move |o| x.iter().zip(row(o)).map(|(x, &w)| x * f64::from(w)).sum()))
        .collect()
}
