//! pass@k: the probability that at least one of k drawn programs passes its tests.
//!
//! With `n` programs drawn for a problem, `c` of which pass, the unbiased estimator is
//! `1 − C(n − c, k) / C(n, k)` (Chen et al. 2021, "Evaluating Large Language Models Trained on
//! Code", equation 1). The naive `1 − (1 − c/n)^k` is biased downwards.

use serde::{Deserialize, Serialize};

/// Why a pass@k can not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassAtKError {
    /// `k` is zero.
    #[error("pass@0 has no meaning; k must be at least 1")]
    NoDraw,
    /// Fewer programs were drawn than the estimator needs.
    #[error("problem {problem}: pass@{k} needs at least {k} programs, found {n}")]
    TooFew {
        /// Place of the problem among those given, from 0.
        problem: usize,
        /// Programs drawn.
        n: u64,
        /// Programs needed.
        k: u64,
    },
    /// More programs passed than were drawn.
    #[error("problem {problem}: {c} programs passed of {n} drawn")]
    TooManyPassed {
        /// Place of the problem among those given, from 0.
        problem: usize,
        /// Programs drawn.
        n: u64,
        /// Programs said to have passed.
        c: u64,
    },
    /// No problem was given.
    #[error("pass@{k} over no problems")]
    NoProblem {
        /// Programs of which one has to pass.
        k: u64,
    },
}

/// The programs drawn for one problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Programs drawn.
    pub n: u64,
    /// Programs that passed.
    pub c: u64,
}

/// pass@k over a set of problems.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassAtK {
    /// Programs of which one has to pass.
    pub k: u64,
    /// Mean over problems, in [0, 1].
    pub mean: f64,
    /// Standard error of that mean over problems, which are taken as drawn from a larger set.
    /// `None` with a single problem, whose spread can not be known.
    pub standard_error: Option<f64>,
    /// Problems averaged over.
    pub problems: usize,
}

/// The estimate for one problem, as the product `1 − Π_{i = n − c + 1}^{n} (1 − k / i)`, which
/// neither overflows nor cancels.
///
/// # Errors
/// `k` is zero, `n < k`, or `c > n`; the problem is called 0.
pub fn pass_at_k(drawn: Drawn, k: u64) -> Result<f64, PassAtKError> {
    estimate(0, drawn, k)
}

/// The mean of the estimates over `problems`, with its standard error.
///
/// # Errors
/// No problems, or one whose estimate does not exist; it is named by its place.
pub fn mean_pass_at_k(problems: &[Drawn], k: u64) -> Result<PassAtK, PassAtKError> {
    if problems.is_empty() {
        return Err(PassAtKError::NoProblem { k });
    }
    let estimates = problems
        .iter()
        .enumerate()
        .map(|(problem, &drawn)| estimate(problem, drawn, k))
        .collect::<Result<Vec<f64>, _>>()?;
    let count = estimates.len() as f64;
    let mean = estimates.iter().sum::<f64>() / count;
    let squares: f64 = estimates.iter().map(|e| (e - mean).powi(2)).sum();
    let standard_error = (estimates.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt());
    Ok(PassAtK { k, mean, standard_error, problems: estimates.len() })
}

fn estimate(problem: usize, Drawn { n, c }: Drawn, k: u64) -> Result<f64, PassAtKError> {
    if k == 0 {
        return Err(PassAtKError::NoDraw);
    }
    if c > n {
        return Err(PassAtKError::TooManyPassed { problem, n, c });
    }
    if n < k {
        return Err(PassAtKError::TooFew { problem, n, k });
    }
    // Fewer failures than draws: every draw of k holds a program that passes.
    if n - c < k {
        return Ok(1.0);
    }
    // The product has c factors, or by symmetry C(n − c, k) / C(n, k) has k: take the shorter.
    let none: f64 = if c <= k {
        (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product()
    } else {
        (n - k + 1..=n).map(|i| 1.0 - c as f64 / i as f64).product()
    };
    Ok(1.0 - none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C(n, k) in whole numbers.
    fn binomial(n: u64, k: u64) -> u128 {
        if k > n {
            return 0;
        }
        (0..k).fold(1u128, |value, i| value * u128::from(n - i) / u128::from(i + 1))
    }

    #[test]
    fn agrees_with_exact_binomials() {
        for n in 1..=40 {
            for c in 0..=n {
                for k in 1..=n {
                    let all = binomial(n, k);
                    let passing = all - binomial(n - c, k);
                    let exact = passing as f64 / all as f64;
                    let found = pass_at_k(Drawn { n, c }, k).unwrap();
                    assert!((found - exact).abs() < 1e-14, "n {n} c {c} k {k}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn one_draw_is_the_share_that_passed() {
        assert_eq!(pass_at_k(Drawn { n: 200, c: 0 }, 1), Ok(0.0));
        assert_eq!(pass_at_k(Drawn { n: 200, c: 200 }, 1), Ok(1.0));
        assert!((pass_at_k(Drawn { n: 200, c: 50 }, 1).unwrap() - 0.25).abs() < 1e-15);
    }

    #[test]
    fn large_counts_neither_overflow_nor_cancel() {
        // 1 − C(10⁹ − 1, 100) / C(10⁹, 100) = 100 / 10⁹.
        let found = pass_at_k(Drawn { n: 1_000_000_000, c: 1 }, 100).unwrap();
        assert!((found - 1e-7).abs() < 1e-15, "{found}");
        // C(500000, 100) / C(1000000, 100) = Π (500000 − i) / (1000000 − i), i < 100.
        let none: f64 = (0..100).map(|i| f64::from(500_000 - i) / f64::from(1_000_000 - i)).product();
        let found = pass_at_k(Drawn { n: 1_000_000, c: 500_000 }, 100).unwrap();
        assert!((found - (1.0 - none)).abs() < 1e-15);
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        assert_eq!(pass_at_k(Drawn { n: 5, c: 1 }, 0), Err(PassAtKError::NoDraw));
        assert_eq!(
            mean_pass_at_k(&[Drawn { n: 10, c: 1 }, Drawn { n: 9, c: 1 }], 10),
            Err(PassAtKError::TooFew { problem: 1, n: 9, k: 10 })
        );
        assert_eq!(
            pass_at_k(Drawn { n: 5, c: 6 }, 1),
            Err(PassAtKError::TooManyPassed { problem: 0, n: 5, c: 6 })
        );
        assert_eq!(mean_pass_at_k(&[], 1), Err(PassAtKError::NoProblem { k: 1 }));
    }

    #[test]
    fn the_error_is_over_problems() {
        let problems = [Drawn { n: 1, c: 1 }, Drawn { n: 1, c: 0 }, Drawn { n: 1, c: 0 }];
        let found = mean_pass_at_k(&problems, 1).unwrap();
        assert!((found.mean - 1.0 / 3.0).abs() < 1e-15);
        // Variance 1/3 over three problems: √(1/9).
        assert!((found.standard_error.unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(mean_pass_at_k(&problems[..1], 1).unwrap().standard_error, None);
    }
}
