//! Who beats whom how often.

use serde::{Deserialize, Serialize};

use crate::battles::{Battle, Battles, Outcome};
use crate::counts::PairCounts;
use crate::elo::TieRule;
use crate::error::RatingsError;
use crate::scale::{Interval, Z95, share};

/// Wins and battles of every pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinMatrix {
    /// Model names by index.
    pub models: Vec<String>,
    /// Row-major: what the row's model scored against the column's.
    pub scored: Vec<f64>,
    /// Row-major: battles of the two that count.
    pub battles: Vec<f64>,
}

impl WinMatrix {
    /// Counts every battle, whichever model was shown first.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without battles.
    pub fn new(battles: &Battles, ties: TieRule) -> Result<Self, RatingsError> {
        battles.check("win matrix")?;
        let counted = |row: &&Battle| ties == TieRule::Half || row.outcome != Outcome::Tie;
        Ok(Self::count(battles.models(), battles.rows().iter().filter(counted)))
    }

    /// Counts battles among `models`.
    pub(super) fn count<'a>(models: &[String], battles: impl Iterator<Item = &'a Battle>) -> Self {
        let n = models.len();
        let (mut scored, mut played) = (vec![0.0; n * n], vec![0.0; n * n]);
        for row in battles {
            let (a, b) = (row.a as usize, row.b as usize);
            let votes = row.votes as f64;
            scored[a * n + b] += votes * row.outcome.score();
            scored[b * n + a] += votes * (1.0 - row.outcome.score());
            played[a * n + b] += votes;
            played[b * n + a] += votes;
        }
        Self { models: models.to_vec(), scored, battles: played }
    }

    /// Of counts, which tell no more.
    pub fn of_counts(counts: &PairCounts, ties: TieRule) -> Self {
        Self::weighted(counts, &counts.weights(), ties)
    }

    /// Of the weights of all pairs' outcomes.
    pub(crate) fn weighted(counts: &PairCounts, weights: &[[f64; 3]], ties: TieRule) -> Self {
        let n = counts.models().len();
        let (mut scored, mut played) = (vec![0.0; n * n], vec![0.0; n * n]);
        for (pair, [won, lost, tied]) in counts.pairs().iter().zip(weights) {
            let tied = if ties == TieRule::Half { *tied } else { 0.0 };
            let (i, j) = (pair.i as usize, pair.j as usize);
            scored[i * n + j] = won + 0.5 * tied;
            scored[j * n + i] = lost + 0.5 * tied;
            played[i * n + j] = won + lost + tied;
            played[j * n + i] = won + lost + tied;
        }
        Self { models: counts.models().to_vec(), scored, battles: played }
    }

    /// The share of battles that model `i` won against `j`; `None` where they never met.
    pub fn rate(&self, i: usize, j: usize) -> Option<f64> {
        let at = i * self.models.len() + j;
        (self.battles[at] > 0.0).then(|| self.scored[at] / self.battles[at])
    }

    /// [`WinMatrix::rate`] with its 95 % interval.
    pub fn rate_interval(&self, i: usize, j: usize) -> Option<Interval> {
        let at = i * self.models.len() + j;
        share(self.scored[at], self.battles[at], Z95)
    }

    /// Mean of a model's win rates over those it met, each opponent counting the same however
    /// often they met; `None` for a model that met nobody.
    pub fn average(&self, i: usize) -> Option<f64> {
        let rates: Vec<f64> = (0..self.models.len()).filter_map(|j| self.rate(i, j)).collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    /// [`WinMatrix::average`] with its 95 % interval, opponents as strata.
    pub fn average_interval(&self, i: usize) -> Option<Interval> {
        let n = self.models.len();
        let value = self.average(i)?;
        let (mut variance, mut met) = (0.0, 0.0);
        for j in 0..n {
            if let Some(rate) = self.rate(i, j) {
                // Agresti and Coull's two added successes and failures keep a clean sweep uncertain.
                let battles = self.battles[i * n + j] + 4.0;
                let softened = (rate * (battles - 4.0) + 2.0) / battles;
                variance += softened * (1.0 - softened) / battles;
                met += 1.0;
            }
        }
        let interval = Interval::normal(value, variance.sqrt() / met, Z95);
        Some(Interval { low: interval.low.max(0.0), high: interval.high.min(1.0), ..interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    #[test]
    fn rates_worked_by_hand() {
        let mut battles = Battles::new();
        for (a, b, outcome) in [
            ("x", "y", Outcome::ModelA),
            ("y", "x", Outcome::Tie),
            ("y", "x", Outcome::ModelA),
            ("x", "z", Outcome::ModelA),
        ] {
            battles.push(&NamedBattle::new(a, b, outcome)).unwrap();
        }
        let half = WinMatrix::new(&battles, TieRule::Half).unwrap();
        assert_eq!(half.rate(0, 1), Some(0.5));
        assert_eq!(half.rate(1, 2), None);
        assert_eq!(half.average(0), Some(0.75));
        assert_eq!(half.average(2), Some(0.0));
        let skip = WinMatrix::new(&battles, TieRule::Skip).unwrap();
        assert_eq!((skip.rate(0, 1), skip.battles[1]), (Some(0.5), 2.0));
        let counts = PairCounts::new(&battles).unwrap();
        assert_eq!(WinMatrix::of_counts(&counts, TieRule::Half), half);
        assert_eq!(WinMatrix::of_counts(&counts, TieRule::Skip), skip);
        let sure = half.average_interval(2).unwrap();
        assert!(sure.low == 0.0 && sure.high > 0.3, "one battle says little: {sure:?}");
    }
}
