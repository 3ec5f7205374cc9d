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

/// The differences of several seeds over the same examples: `left[seed][i] − right[seed][i]`, per
/// `tokens[i]` (ones where every example weighs the same).
///
/// Examples and seeds are crossed. The standard error joins in quadrature that of the means over
/// seeds, taken over examples (which examples were drawn), and that of the seeds' means (which
/// seeds were drawn); noise of a single answer is in both, so the sum is on the safe side. The
/// spread between few seeds is known badly: it is widened by Student's t over 1.96, so that the
/// interval keeps its 95 %.
///
/// `None` as for [`paired_per_token`], and without seeds.
pub fn crossed(left: &[Vec<f64>], right: &[Vec<f64>], tokens: &[f64]) -> Option<Difference> {
    if left.is_empty() || left.len() != right.len() {
        return None;
    }
    let mean_over_seeds = |side: &[Vec<f64>]| -> Option<Vec<f64>> {
        side.iter().all(|values| values.len() == tokens.len()).then(|| {
            let mean = |i: usize| side.iter().map(|values| values[i]).sum::<f64>() / side.len() as f64;
            (0..tokens.len()).map(mean).collect()
        })
    };
    let joined = paired_per_token(&mean_over_seeds(left)?, &mean_over_seeds(right)?, tokens)?;
    if left.len() == 1 {
        return Some(joined);
    }
    let total: f64 = tokens.iter().sum();
    let mean_of = |(l, r): (&Vec<f64>, &Vec<f64>)| l.iter().zip(r).map(|(l, r)| l - r).sum::<f64>() / total;
    let means: Vec<f64> = left.iter().zip(right).map(mean_of).collect();
    let (_, between) = mean_and_standard_error(&means);
    let t = T95.get(left.len() - 2).copied().unwrap_or(Z95);
    Some(Difference {
        standard_error: joined.standard_error.hypot(between * t / Z95),
        seeds: left.len(),
        ..joined
    })
}

/// A weighted sum of the means of several groups of different examples, each group by seed and example:
/// for instance, by how much one set of questions is harder than another.
///
/// As in [`crossed`], what comes of the examples and what comes of the seeds is joined in quadrature; the
/// examples of different groups are independent.
///
/// `None` without groups, with fewer than two examples in one, or other seeds in one than in another.
pub fn contrast(groups: &[(f64, Vec<Vec<f64>>)]) -> Option<Difference> {
    let seeds = groups.first()?.1.len();
    let (mut squares, mut examples, mut by_seed) = (0.0, 0, vec![0.0; seeds]);
    for (weight, values) in groups {
        let count = values.first()?.len();
        if values.len() != seeds || count < 2 || values.iter().any(|values| values.len() != count) {
            return None;
        }
        let over_seeds = |i: usize| values.iter().map(|values| values[i]).sum::<f64>() / seeds as f64;
        let (_, error) = mean_and_standard_error(&(0..count).map(over_seeds).collect::<Vec<_>>());
        squares += (weight * error).powi(2);
        examples += count;
        for (sum, values) in by_seed.iter_mut().zip(values) {
            *sum += weight * values.iter().sum::<f64>() / count as f64;
        }
    }
    let mean = by_seed.iter().sum::<f64>() / seeds as f64;
    let between = match seeds {
        1 => 0.0,
        _ => mean_and_standard_error(&by_seed).1 * T95.get(seeds - 2).copied().unwrap_or(Z95) / Z95,
    };
    mean.is_finite().then_some(Difference {
        mean,
        standard_error: squares.sqrt().hypot(between),
        examples,
        seeds,
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
    fn a_contrast_joins_the_errors_of_its_groups() {
        let easy = vec![vec![0.0, 1.0, 0.0, 1.0]];
        let hard = vec![vec![1.0, 1.0, 1.0, 1.0]];
        let found = contrast(&[(1.0, hard.clone()), (-1.0, easy.clone())]).unwrap();
        assert_eq!((found.mean, found.examples, found.seeds), (0.5, 8, 1));
        assert!((found.standard_error - (1.0f64 / 12.0).sqrt()).abs() < 1e-12);
        // Seeds that differ widen it; groups of other seeds cannot be compared.
        let two = |group: &Vec<Vec<f64>>| vec![group[0].clone(), group[0].iter().map(|v| v * 0.5).collect()];
        let wider = contrast(&[(1.0, two(&hard)), (-1.0, two(&easy))]).unwrap();
        assert!(wider.standard_error > found.standard_error);
        assert!(contrast(&[(1.0, two(&hard)), (-1.0, easy)]).is_none() && contrast(&[]).is_none());
    }

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
        let left = [vec![0.1; 50], vec![-0.1; 50]];
        let right = [vec![0.0; 50], vec![0.0; 50]];
        let joined = crossed(&left, &right, &[1.0; 50]).unwrap();
        assert!(joined.mean.abs() < 1e-12);
        // The seeds' means are ±0.1, the error of their mean 0.1, t of one degree of freedom 12.7.
        assert!((joined.standard_error - 0.1 * 12.706 / 1.96).abs() < 1e-9 && joined.seeds == 2);
    }

    #[test]
    fn more_seeds_narrow_what_single_answers_blur() {
        // Every seed answers right where another does not: over the seeds each question is the same.
        let seed = |k: usize| -> Vec<f64> {
            (0..64).map(|i| f64::from(u8::from((i + k).is_multiple_of(4_usize)))).collect()
        };
        let (left, right) = ([seed(0), seed(1), seed(2), seed(3)], vec![vec![0.0; 64]; 4]);
        let one = crossed(&left[..1], &right[..1], &[1.0; 64]).unwrap();
        let four = crossed(&left, &right, &[1.0; 64]).unwrap();
        assert!(one.standard_error > 0.05 && four.standard_error < 1e-9, "{one:?} {four:?}");
        assert!(crossed(&left, &right[..1], &[1.0; 64]).is_none());
        assert!(crossed(&[], &[], &[1.0; 64]).is_none());
    }
}
