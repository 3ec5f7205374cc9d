//! The plain form.

use crate::IGNORE_INDEX;

/// `Σ over rows of logsumexp(h·headᵀ) − (h·headᵀ)[label]`, in f64; `hidden` is
/// `[n, d]` and `head` is `[vocab, d]`.
pub fn linear_cross_entropy(hidden: &[f64], head: &[f64], labels: &[i64], d: usize) -> f64 {
    let mut sum = 0.0;
    for (h, &label) in hidden.chunks(d).zip(labels) {
        if label == IGNORE_INDEX {
            continue;
        }
        let logits: Vec<f64> = head.chunks(d).map(|w| w.iter().zip(h).map(|(a, b)| a * b).sum()).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits.iter().map(|l| (l - largest).exp()).sum();
        sum += largest + total.ln() - logits[label as usize];
    }
    sum
}
