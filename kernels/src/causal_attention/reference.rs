//! The plain form.

/// Softmax attention in f64. `q` is `[b, t, heads, d]`, `k` and `v` are
/// `[b, s, kv_heads, d]`; query `i` sees keys `0..=s - t + i`; head `h` reads
/// key head `h / (heads / kv_heads)`.
#[allow(clippy::too_many_arguments)]
pub fn causal_attention(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    scale: f64,
    [batch, t, s]: [usize; 3],
    heads: usize,
    kv_heads: usize,
    d: usize,
) -> Vec<f64> {
    let mut out = vec![0.0; q.len()];
    for b in 0..batch {
        for i in 0..t {
            for h in 0..heads {
                let q_at = ((b * t + i) * heads + h) * d;
                let key_at = |j: usize| ((b * s + j) * kv_heads + h / (heads / kv_heads)) * d;
                let scores: Vec<f64> = (0..=s - t + i)
                    .map(|j| scale * (0..d).map(|c| q[q_at + c] * k[key_at(j) + c]).sum::<f64>())
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|x| (x - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (j, weight) in weights.iter().enumerate() {
                    for c in 0..d {
                        out[q_at + c] += weight / total * v[key_at(j) + c];
                    }
                }
            }
        }
    }
    out
}
