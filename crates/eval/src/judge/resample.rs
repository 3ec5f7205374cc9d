//! Intervals over questions: what another set of questions of the same kind would have given.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::error::JudgeError;
use camelid_ratings::quantile;

/// A bootstrap over questions: all verdicts on a question are drawn together, because they resemble
/// each other. Replicate number i depends on the seed and i alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resampling {
    /// Replicates.
    pub replicates: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Coverage of the intervals.
    pub level: f64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { replicates: 1000, seed: 0, level: 0.95 }
    }
}

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimated {
    /// The figure.
    pub value: f64,
    /// Lower end of its interval; `None` where a single question gives none.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Questions it rests on.
    pub questions: usize,
}

impl Resampling {
    /// Σ numerators / Σ denominators over questions, with its percentile interval: a mean where
    /// the denominators count, a share or a ratio of sums otherwise. `None` without questions;
    /// every denominator has to be positive.
    pub fn ratio(&self, questions: &[(f64, f64)]) -> Option<Estimated> {
        if questions.is_empty() {
            return None;
        }
        let over = |drawn: &mut dyn Iterator<Item = (f64, f64)>| {
            let (mut above, mut below) = (0.0, 0.0);
            for (numerator, denominator) in drawn {
                above += numerator;
                below += denominator;
            }
            above / below
        };
        let value = over(&mut questions.iter().copied());
        let (mut low, mut high) = (None, None);
        if questions.len() > 1 {
            let mut values: Vec<f64> = (0..self.replicates as u64)
                .map(|number| {
                    let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                    rng.set_stream(number);
                    over(&mut (0..questions.len()).map(|_| questions[rng.random_range(0..questions.len())]))
                })
                .collect();
            values.sort_by(f64::total_cmp);
            let tail = (1.0 - self.level) / 2.0;
            low = Some(quantile(&values, tail));
            high = Some(quantile(&values, 1.0 - tail));
        }
        Some(Estimated { value, low, high, questions: questions.len() })
    }

    /// That there is something to draw.
    ///
    /// # Errors
    /// [`JudgeError::Setting`].
    pub fn check(&self) -> Result<(), JudgeError> {
        if self.replicates < 2 {
            return Err(JudgeError::Setting {
                name: "replicates",
                found: self.replicates.to_string(),
                expected: "at least two",
            });
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(JudgeError::Setting {
                name: "level",
                found: self.level.to_string(),
                expected: "a share between 0 and 1",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_about_the_interval_of_the_normal_distribution() {
        // Grades 1 to 9, nine questions each: variance 20/3, standard error of the mean √(20/3/81).
        let questions: Vec<(f64, f64)> = (0..81).map(|i| (f64::from(1 + i % 9), 1.0)).collect();
        let mean = Resampling { replicates: 4000, ..Resampling::default() }.ratio(&questions).unwrap();
        let half = 1.96 * (20.0f64 / 3.0 / 81.0).sqrt();
        assert_eq!((mean.value, mean.questions), (5.0, 81));
        assert!((mean.low.unwrap() - (5.0 - half)).abs() < 0.05, "{mean:?}");
        assert!((mean.high.unwrap() - (5.0 + half)).abs() < 0.05, "{mean:?}");
        let again = Resampling { replicates: 4000, ..Resampling::default() }.ratio(&questions).unwrap();
        assert_eq!(again, mean);
    }

    #[test]
    fn one_question_has_no_interval_and_none_no_figure() {
        let one = Resampling::default().ratio(&[(14.0, 2.0)]).unwrap();
        assert_eq!((one.value, one.low, one.high), (7.0, None, None));
        assert!(Resampling::default().ratio(&[]).is_none());
        assert!(Resampling { replicates: 1, ..Resampling::default() }.check().is_err());
        assert!(Resampling { level: 1.0, ..Resampling::default() }.check().is_err());
    }
}
