//! The plain form.

/// `base[m, out] + scale·((x·factors)·Aᵀ)·Bᵀ`, in f64; `factors` is the dropout
/// mask of `x[m, in]`, `a` is `[r, in]` and `b` is `[out, r]`.
pub fn lora_update(
    base: &[f64],
    x: &[f64],
    factors: &[f64],
    a: &[f64],
    b: &[f64],
    scale: f64,
    r: usize,
) -> Vec<f64> {
    let (inn, out) = (a.len() / r, b.len() / r);
    let mut y = base.to_vec();
    for (row, y) in y.chunks_mut(out).enumerate() {
        for k in 0..r {
            let h: f64 = (0..inn).map(|j| x[row * inn + j] * factors[row * inn + j] * a[k * inn + j]).sum();
            for (o, y) in y.iter_mut().enumerate() {
                *y += scale * h * b[o * r + k];
            }
        }
    }
    y
}
