//! Battles reduced to unique (pair, outcome) rows with counts.

use std::collections::HashMap;

use crate::battles::{Battle, Battles, Outcome};
use crate::error::RatingsError;

/// How often one outcome of one pair occurred, and with what weight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Battles.
    pub battles: u64,
    /// Their summed weight.
    pub weight: f64,
}

/// All battles of two models, whichever was shown first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The model with the lower index.
    pub i: u32,
    /// The model with the higher index.
    pub j: u32,
    /// i won, j won, tie.
    pub counts: [Count; 3],
}

/// The pairs that met, by index: all that Bradley–Terry ratings need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct PairCounts {
    models: Vec<String>,
    pairs: Vec<Pair>,
}

impl PairCounts {
    /// Counts every battle once.
    ///
    /// # Errors
    /// Those of [`Battles::check`].
    pub fn new(battles: &Battles) -> Result<Self, RatingsError> {
        Self::weighted(battles, |_| 1.0)
    }

    /// Counts battles with weights.
    ///
    /// # Errors
    /// As [`PairCounts::new`]; [`RatingsError::Setting`] when a weight is negative or not finite.
    pub fn weighted(battles: &Battles, weight: impl Fn(&Battle) -> f64) -> Result<Self, RatingsError> {
        battles.check("ratings")?;
        let mut slots: HashMap<(u32, u32), usize> = HashMap::new();
        let mut pairs: Vec<Pair> = Vec::new();
        for battle in battles.rows() {
            let weight = weight(battle);
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(RatingsError::setting("weight", weight, "a finite weight that is not negative"));
            }
            let (key, outcome) = place(battle.a, battle.b, battle.outcome);
            let slot = *slots.entry(key).or_insert_with(|| {
                pairs.push(Pair { i: key.0, j: key.1, counts: [Count::default(); 3] });
                pairs.len() - 1
            });
            let count = &mut pairs[slot].counts[outcome];
            count.battles += battle.votes;
            count.weight += weight * battle.votes as f64;
        }
        pairs.sort_unstable_by_key(|pair| (pair.i, pair.j));
        Ok(Self { models: battles.models().to_vec(), pairs })
    }

    /// Counts `(a, b, outcome)` by the places of both in `models`, as they come.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without a battle of two different models that are there.
    pub fn tally(
        models: Vec<String>,
        battles: impl IntoIterator<Item = (u32, u32, Outcome)>,
    ) -> Result<Self, RatingsError> {
        let n = models.len();
        let mut table = vec![[0u64; 3]; n * n];
        for (a, b, outcome) in battles {
            if a != b && (a.max(b) as usize) < n {
                let ((i, j), outcome) = place(a, b, outcome);
                table[i as usize * n + j as usize][outcome] += 1;
            }
        }
        let mut pairs = Vec::new();
        for (at, counts) in table.into_iter().enumerate().filter(|(_, counts)| *counts != [0; 3]) {
            let counts = counts.map(|battles| Count { battles, weight: battles as f64 });
            pairs.push(Pair { i: (at / n) as u32, j: (at % n) as u32, counts });
        }
        if pairs.is_empty() {
            let reason = "there is not one".to_owned();
            return Err(RatingsError::Empty { origin: "ratings".to_owned(), reason });
        }
        Ok(Self { models, pairs })
    }

    /// Weights of `[i won, j won, tie]` by pairs `i < j`, sorted; each stands for as many battles.
    pub(crate) fn of_weights(models: Vec<String>, pairs: Vec<((u32, u32), [f64; 3])>) -> Self {
        let count = |weight: f64| Count { battles: weight.round() as u64, weight };
        let pair = |((i, j), weights): ((u32, u32), [f64; 3])| Pair { i, j, counts: weights.map(count) };
        Self { models, pairs: pairs.into_iter().map(pair).collect() }
    }

    /// Model names by index.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The pairs that met, sorted.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// All battles.
    pub fn battles(&self) -> u64 {
        self.pairs.iter().flat_map(|pair| &pair.counts).map(|count| count.battles).sum()
    }

    /// The weights of each pair's outcomes.
    pub(crate) fn weights(&self) -> Vec<[f64; 3]> {
        self.pairs.iter().map(|pair| pair.counts.map(|count| count.weight)).collect()
    }

    /// For each pair its place in [`PairCounts::pairs`].
    pub(crate) fn slots(&self) -> HashMap<(u32, u32), usize> {
        self.pairs.iter().enumerate().map(|(slot, pair)| ((pair.i, pair.j), slot)).collect()
    }

    /// `(i, j)` wherever i won or tied against j with some weight.
    pub(crate) fn scored(&self, weights: &[[f64; 3]]) -> Vec<(u32, u32)> {
        let mut scored = Vec::with_capacity(2 * self.pairs.len());
        for (pair, [won, lost, tied]) in self.pairs.iter().zip(weights) {
            if won + tied > 0.0 {
                scored.push((pair.i, pair.j));
            }
            if lost + tied > 0.0 {
                scored.push((pair.j, pair.i));
            }
        }
        scored
    }
}

/// The pair of a battle, and which of its outcomes it is.
pub(crate) fn place(a: u32, b: u32, outcome: Outcome) -> ((u32, u32), usize) {
    let (key, outcome) = if a < b { ((a, b), outcome) } else { ((b, a), outcome.swapped()) };
    let outcome = match outcome {
        Outcome::ModelA => 0,
        Outcome::ModelB => 1,
        Outcome::Tie => 2,
    };
    (key, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    #[test]
    fn both_orders_of_a_pair_are_counted_together() {
        let mut battles = Battles::new();
        for (a, b, outcome) in [
            ("x", "y", Outcome::ModelA),
            ("y", "x", Outcome::ModelB),
            ("y", "x", Outcome::ModelA),
            ("x", "y", Outcome::Tie),
            ("z", "x", Outcome::ModelA),
        ] {
            battles.push(&NamedBattle::new(a, b, outcome)).unwrap();
        }
        let counts = PairCounts::new(&battles).unwrap();
        assert_eq!(counts.battles(), 5);
        let seen: Vec<_> = counts.pairs().iter().map(|p| (p.i, p.j, p.counts.map(|c| c.battles))).collect();
        assert_eq!(seen, [(0, 1, [2, 1, 1]), (0, 2, [0, 1, 0])]);
        let halved = PairCounts::weighted(&battles, |b| if b.outcome == Outcome::Tie { 0.5 } else { 1.0 });
        assert_eq!(halved.unwrap().weights()[0], [2.0, 1.0, 0.5]);
        assert!(PairCounts::weighted(&battles, |_| f64::NAN).is_err());
    }

    #[test]
    fn a_tally_is_what_the_battles_count() {
        let models = vec!["x".to_owned(), "y".to_owned(), "z".to_owned()];
        let rows =
            [(1, 0, Outcome::ModelA), (0, 1, Outcome::ModelA), (2, 0, Outcome::Tie), (1, 1, Outcome::Tie)];
        let tally = PairCounts::tally(models.clone(), rows).unwrap();
        let mut battles = Battles::new();
        for (a, b, outcome) in &rows[..3] {
            let named = NamedBattle::new(&models[*a as usize], &models[*b as usize], *outcome);
            battles.push(&named).unwrap();
        }
        let counts = PairCounts::new(&battles).unwrap();
        assert_eq!(tally.battles(), 3);
        // Names come in another order there: y first.
        let pairs: Vec<_> = tally.pairs().iter().map(|p| p.counts.map(|c| c.battles)).collect();
        assert_eq!(pairs, [[1, 1, 0], [0, 0, 1]]);
        assert_eq!(counts.pairs()[0].counts.map(|c| c.battles), [1, 1, 0]);
        assert!(PairCounts::tally(models, []).is_err());
    }

    #[test]
    fn nothing_to_compare_is_an_error() {
        let empty = PairCounts::new(&Battles::new()).unwrap_err();
        assert!(empty.to_string().contains("not one row"), "{empty}");
    }
}
