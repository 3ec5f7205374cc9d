//! The scale ratings are given on, and intervals on it.

use serde::{Deserialize, Serialize};

use crate::error::RatingsError;

/// Two-sided 95 % point of the standard normal distribution.
pub const Z95: f64 = 1.96;

/// Ratings r with P(i beats j) = 1 / (1 + base^((r_j − r_i) / scale)), around `initial`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingScale {
    /// Where a sequential rating starts, and the mean of the fitted ones that the battles bound,
    /// without an anchor.
    pub initial: f64,
    /// Points that make the odds `base` to one.
    pub scale: f64,
    /// Those odds.
    pub base: f64,
}

impl Default for RatingScale {
    /// Chess: 1000 points to begin with, 400 points are odds of ten to one.
    fn default() -> Self {
        Self { initial: 1000.0, scale: 400.0, base: 10.0 }
    }
}

impl RatingScale {
    /// Points that one unit of log-odds is worth.
    pub fn points_per_nat(&self) -> f64 {
        self.scale / self.base.ln()
    }

    /// The probability that a model rated `a` beats one rated `b`, were there no ties.
    pub fn expected(&self, a: f64, b: f64) -> f64 {
        1.0 / (1.0 + ((b - a) / self.points_per_nat()).exp())
    }

    pub(crate) fn check(&self) -> Result<(), RatingsError> {
        if !self.initial.is_finite() {
            return Err(RatingsError::setting("initial", self.initial, "a finite rating"));
        }
        if !(self.scale > 0.0 && self.scale.is_finite()) {
            return Err(RatingsError::setting("scale", self.scale, "a positive number"));
        }
        if !(self.base > 1.0 && self.base.is_finite()) {
            return Err(RatingsError::setting("base", self.base, "a number above 1"));
        }
        Ok(())
    }
}

/// A value between two others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// `value` ± `z` standard errors.
    pub fn normal(value: f64, standard_error: f64, z: f64) -> Self {
        Self { value, low: value - z * standard_error, high: value + z * standard_error }
    }
}

/// A share of `n` trials with Wilson's score interval.
///
/// A tie may count as half a success; the interval is then a little too wide, never too narrow.
/// `None` without trials.
pub fn share(successes: f64, n: f64, z: f64) -> Option<Interval> {
    if n <= 0.0 {
        return None;
    }
    let p = successes / n;
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(Interval { value: p, low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

/// Rank of each model by confidence bound: one more than the number of models whose interval
/// lies wholly above its own. Models that the battles cannot tell apart share a rank.
pub fn ranks(intervals: &[Interval]) -> Vec<usize> {
    intervals.iter().map(|own| 1 + intervals.iter().filter(|other| other.low > own.high).count()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_hundred_points_are_odds_of_ten_to_one() {
        let scale = RatingScale::default();
        assert!((scale.expected(1400.0, 1000.0) - 10.0 / 11.0).abs() < 1e-15);
        assert!((scale.points_per_nat() - 173.717_792_761_3).abs() < 1e-9);
        assert!(RatingScale { base: 1.0, ..scale }.check().is_err());
    }

    #[test]
    fn wilson_of_eight_in_ten() {
        // Worked by hand: centre (0.8 + 0.19208) / 1.38416, half-width 1.96 √(0.016 + 0.009604) / 1.38416.
        let interval = share(8.0, 10.0, 1.96).unwrap();
        assert!((interval.low - 0.490_16).abs() < 1e-4 && (interval.high - 0.943_32).abs() < 1e-4);
        let none = share(0.0, 5.0, 1.96).unwrap();
        assert_eq!((none.value, none.low), (0.0, 0.0));
        assert!(share(0.0, 0.0, 1.96).is_none());
    }

    #[test]
    fn models_with_overlapping_intervals_share_a_rank() {
        let at = |low, high| Interval { value: (low + high) / 2.0, low, high };
        assert_eq!(ranks(&[at(10.0, 12.0), at(8.0, 9.0), at(8.5, 11.0), at(1.0, 2.0)]), [1, 2, 1, 4]);
    }
}
