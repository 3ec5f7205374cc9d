//! The plain form.

/// Rotates `x[rows, heads, d]`; `cos` and `sin` are `[seq, d / 2]` and row `i` of
/// `x` is position `i % seq`. In f64.
pub fn rotary(x: &[f64], cos: &[f64], sin: &[f64], heads: usize, d: usize) -> Vec<f64> {
    let half = d / 2;
    let seq = cos.len() / half;
    let mut y = vec![0.0; x.len()];
    for (row, (y, x)) in y.chunks_mut(heads * d).zip(x.chunks(heads * d)).enumerate() {
        let position = row % seq;
        for (y, x) in y.chunks_mut(d).zip(x.chunks(d)) {
            for i in 0..half {
                let (c, s) = (cos[position * half + i], sin[position * half + i]);
                y[i] = x[i] * c - x[half + i] * s;
                y[half + i] = x[half + i] * c + x[i] * s;
            }
        }
    }
    y
}
