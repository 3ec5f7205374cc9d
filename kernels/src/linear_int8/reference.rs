//! The plain form: every value by itself, in f64.

use super::spec::{INT8_BLOCK, Int8Codes, Int8Spec, SCALES_BYTES, half_at, signed};

/// The values of one row of the matrix, as ggml expands its blocks: `scale · code`, rounded to f32,
/// and the minimum added in f32.
pub fn dequantize_row(packed: &[u8], spec: &Int8Spec, row: usize, out: &mut [f32]) {
    for (column, out) in out.iter_mut().enumerate() {
        let at = spec.scale_at(row, column / INT8_BLOCK);
        let (byte, shift) = spec.code_at(row, column);
        *out = match spec.codes {
            Int8Codes::Bytes => half_at(packed, at) * f32::from(signed(packed[byte])),
            Int8Codes::Nibbles { table, minima } => {
                let code = table[usize::from(packed[byte] >> shift & 15)];
                let value = half_at(packed, at) * f32::from(code);
                if minima { value + half_at(packed, at + SCALES_BYTES) } else { value }
            }
        };
    }
}

/// `x[m, in]` as the product sees it: block by block in steps of the largest magnitude over 127.
pub fn round_rows(x: &[f32], inn: usize) -> Vec<f64> {
    let mut rounded = Vec::with_capacity(x.len());
    for block in x.chunks(inn).flat_map(|row| row.chunks(INT8_BLOCK)) {
        let largest = block.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let (factor, scale) = (127.0 / largest, largest / 127.0);
        rounded.extend(block.iter().map(|value| {
            if factor.is_finite() {
                f64::from(scale) * f64::from((value * factor).round_ties_even())
            } else {
                0.0
            }
        }));
    }
    rounded
}

/// `y[m, out] = round(x)·Wᵀ` in f64.
pub fn linear_int8(x: &[f32], packed: &[u8], spec: &Int8Spec) -> Vec<f64> {
    let (out, inn) = (spec.out_features, spec.in_features);
    let mut dense = vec![0f32; out * inn];
    for (row, values) in dense.chunks_mut(inn).enumerate() {
        dequantize_row(packed, spec, row, values);
    }
    let x = round_rows(x, inn);
    x.chunks(inn)
        .flat_map(|x| {
            dense.chunks(inn).map(move |row| x.iter().zip(row).map(|(x, &w)| x * f64::from(w)).sum())
        })
        .collect()
}
