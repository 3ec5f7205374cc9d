//! Paired differences between two models scored on the same examples.

pub use camelid_ratings::Z95;

/// Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom.
const T95: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// A mean difference and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Mean of `left − right`.
    pub mean: f64,
    /// Standard error of that mean.
    pub standard_error: f64,
    /// Examples compared.
    pub examples: usize,
    /// Seeds averaged over; the spread between them is part of the error.
    pub seeds: usize,
}

impl Difference {
    /// Lower and upper end of the 95 % interval.
    pub fn interval(&self) -> (f64, f64) {
        (self.mean - Z95 * self.standard_error, self.mean + Z95 * self.standard_error)
    }

    /// The whole 95 % interval lies above zero.
    pub fn certainly_positive(&self) -> bool {
        self.interval().0 > 0.0
    }

    /// The whole 95 % interval lies below zero.
    pub fn certainly_negative(&self) -> bool {
        self.interval().1 < 0.0
    }
}

/// Mean of `left[i] − right[i]` with its standard error over examples.
///
/// `None` when the slices differ in length, hold fewer than two examples, or
/// contain a value that is not finite: no interval can be given then.
pub fn paired(left: &[f64], right: &[f64]) -> Option<Difference> {
    if left.len() != right.len() || left.len() < 2 {
        return None;
    }
    let differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).collect();
    if differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let (mean, standard_error) = mean_and_standard_error(&differences);
    Some(Difference { mean, standard_error, examples: differences.len(), seeds: 1 })
}

/// Ratio estimate Σ(left) / Σ(weight) − Σ(right) / Σ(weight): a mean over
/// tokens, where the examples (conversations) are the independent units.
///
/// The standard error treats each conversation's weighted residual as one
/// draw (the linearisation of a ratio estimator), so long conversations count
/// by their tokens without pretending that tokens are independent.
pub fn paired_per_token(left: &[f64], right: &[f64], tokens: &[f64]) -> Option<Difference> {
    if left.len() != right.len() || left.len() != tokens.len() || left.len() < 2 {
        return None;
    }
    let total: f64 = tokens.iter().sum();
    let differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).collect();
    if total <= 0.0 || differences.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / total;
    let n = left.len() as f64;
    let squares: f64 = differences.iter().zip(tokens).map(|(d, t)| (d - mean * t).powi(2)).sum();
    let standard_error = (squares * n / (n - 1.0)).sqrt() / total;
    Some(Difference { mean, standard_error, examples: left.len(), seeds: 1 })
}

/// Averages the differences of several seeds.
///
/// The error joins in quadrature the error over examples, which all seeds share
/// and which therefore does not shrink with their number, and the spread of the
/// means between seeds over √seeds. That spread is known from few draws: it is
/// widened by Student's t over 1.96, so that the interval keeps its 95 %.
pub fn over_seeds(seeds: &[Difference]) -> Option<Difference> {
    let first = seeds.first()?;
    if seeds.len() == 1 {
        return Some(*first);
    }
    let means: Vec<f64> = seeds.iter().map(|d| d.mean).collect();
    let (mean, between) = mean_and_standard_error(&means);
    let t = T95.get(seeds.len() - 2).copied().unwrap_or(Z95);
    let between = between * t / Z95;
    let within = (seeds.iter().map(|d| d.standard_error.powi(2)).sum::<f64>() / seeds.len() as f64).sqrt();
    Some(Difference {
        mean,
        standard_error: within.hypot(between),
        examples: first.examples,
        seeds: seeds.len(),
    })
}

/// Mean and standard error of the mean (sample variance, n − 1).
fn mean_and_standard_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_models_are_neither_better_nor_worse() {
        let d = paired(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(d.mean, 0.0);
        assert!(!d.certainly_positive() && !d.certainly_negative());
    }

    #[test]
    fn paired_error_matches_the_textbook_formula() {
        // Differences 1, 2, 3: mean 2, sample variance 1, standard error 1/√3.
        let d = paired(&[1.0, 2.0, 3.0], &[0.0, 0.0, 0.0]).unwrap();
        assert_eq!(d.mean, 2.0);
        assert!((d.standard_error - 1.0 / 3f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn per_token_mean_weighs_long_conversations_by_their_tokens() {
        let d = paired_per_token(&[10.0, 300.0], &[0.0, 0.0], &[10.0, 100.0]).unwrap();
        assert!((d.mean - 310.0 / 110.0).abs() < 1e-12);
    }

    #[test]
    fn per_token_error_of_equal_lengths_is_the_paired_error() {
        let (l, r) = ([2.0, 4.0, 9.0, 3.0], [1.0, 1.0, 2.0, 5.0]);
        let a = paired(&l, &r).unwrap();
        let b = paired_per_token(&l, &r, &[1.0; 4]).unwrap();
        assert!((a.mean - b.mean).abs() < 1e-12 && (a.standard_error - b.standard_error).abs() < 1e-12);
    }

    #[test]
    fn undefined_comparisons_are_none() {
        assert!(paired(&[1.0], &[0.0]).is_none());
        assert!(paired(&[1.0, f64::NAN], &[0.0, 0.0]).is_none());
        assert!(paired(&[1.0, 2.0], &[0.0]).is_none());
        assert!(paired_per_token(&[1.0, 2.0], &[0.0, 0.0], &[0.0, 0.0]).is_none());
    }

    #[test]
    fn disagreeing_seeds_widen_the_interval() {
        let one = Difference { mean: 0.1, standard_error: 0.01, examples: 50, seeds: 1 };
        let other = Difference { mean: -0.1, ..one };
        let joined = over_seeds(&[one, other]).unwrap();
        assert_eq!(joined.mean, 0.0);
        assert!(joined.standard_error > 0.09 && joined.seeds == 2);
    }
}
