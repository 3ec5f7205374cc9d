//! The plain form.

/// Normalises each row of `x[.., d]`, in f64; `d` is the length of `weight`.
pub fn rms_norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks(weight.len()) {
        let mean_square = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
        let rms = (mean_square + eps).sqrt();
        y.extend(row.iter().zip(weight).map(|(v, w)| v / rms * w));
    }
    y
}
