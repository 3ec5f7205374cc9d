//! The plain form.

/// `y[m, out] = x[m, in]·Wᵀ + b`, in f64.
pub fn linear(x: &[f64], w: &[f64], b: Option<&[f64]>, m: usize, out: usize, inn: usize) -> Vec<f64> {
    let mut y = vec![0.0; m * out];
    for i in 0..m {
        for o in 0..out {
            let mut sum = b.map_or(0.0, |b| b[o]);
            for j in 0..inn {
                sum += x[i * inn + j] * w[o * inn + j];
            }
            y[i * out + o] = sum;
        }
    }
    y
}
