//! Whether wins and losses differ from a coin's, and how alike two orders of the same models are.

/// The two-sided sign test: how likely a fair coin is to give a split at least as uneven as `wins` to `losses`.
/// Ties are left out. 1 where nothing was won or lost.
pub fn sign_test(wins: u64, losses: u64) -> f64 {
    let (n, few) = (wins + losses, wins.min(losses));
    if n == 0 {
        return 1.0;
    }
    // ln C(n, k) by its recurrence; no factorial is formed.
    let mut ln_choose = 0.0_f64;
    let mut tail = 0.0;
    for k in 0..=few {
        if k > 0 {
            ln_choose += ((n - k + 1) as f64 / k as f64).ln();
        }
        tail += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
    }
    (2.0 * tail).min(1.0)
}

/// The ranks of equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EqualRanks {
    /// The mean of the ranks they take up, as statistics packages do.
    Mean,
    /// One rank each, the first given before the others.
    InOrder,
}

/// Spearman's correlation of two series: Pearson's of their ranks, in [−1, 1]. `None` where they differ in length,
/// hold a value that is no number, or do not vary.
pub fn spearman(left: &[f64], right: &[f64], equal: EqualRanks) -> Option<f64> {
    if left.len() != right.len() || left.iter().chain(right).any(|value| value.is_nan()) {
        return None;
    }
    let (left, right) = (ranked(left, equal), ranked(right, equal));
    let mean = (left.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (product(&left, &left) * product(&right, &right)).sqrt();
    (spread > 0.0).then(|| product(&left, &right) / spread)
}

/// Ranks from 1, the largest value first.
fn ranked(values: &[f64], equal: EqualRanks) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let alike = order[start..].iter().take_while(|i| values[**i] == values[order[start]]).count();
        for (offset, i) in order[start..start + alike].iter().enumerate() {
            let within = if equal == EqualRanks::Mean { (alike - 1) as f64 / 2.0 } else { offset as f64 };
            ranks[*i] = start as f64 + 1.0 + within;
        }
        start += alike;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn a_sign_test_sums_both_tails_of_the_coin() {
        close(sign_test(0, 0), 1.0);
        close(sign_test(3, 3), 1.0);
        close(sign_test(5, 0), 2.0 / 32.0);
        // (1 + 10 + 45) / 1024, twice.
        close(sign_test(2, 8), 112.0 / 1024.0);
        close(sign_test(8, 2), sign_test(2, 8));
        assert!(sign_test(60_000, 40_000) < 1e-100);
    }

    #[test]
    fn equal_values_share_their_ranks_or_keep_their_order() {
        close(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0], EqualRanks::Mean).unwrap(), 1.0);
        close(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], EqualRanks::InOrder).unwrap(), -1.0);
        // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5 · 5).
        let (left, right) = ([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]);
        close(spearman(&left, &right, EqualRanks::Mean).unwrap(), 0.9_f64.sqrt());
        // The equal ones are given the wrong way round: 1 − 6 · 2 / (4 · 15); and the right way.
        close(spearman(&left, &right, EqualRanks::InOrder).unwrap(), 0.8);
        let turned = [3.0, 2.0, 2.0, 1.0];
        close(spearman(&turned, &[4.0, 3.0, 2.0, 1.0], EqualRanks::InOrder).unwrap(), 1.0);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0], EqualRanks::Mean), None);
        assert_eq!(spearman(&[1.0], &[1.0, 2.0], EqualRanks::Mean), None);
        assert_eq!(spearman(&[f64::NAN, 1.0], &[1.0, 2.0], EqualRanks::Mean), None);
    }
}
