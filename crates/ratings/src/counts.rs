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
        let mut tally = VoteTally::default();
        for (a, b, outcome) in battles {
            if (a.max(b) as usize) < n {
                tally.add(a, b, outcome);
            }
        }
        Self::of_tally(models, tally.pairs().collect())
    }

    /// Of counts by pair, as [`VoteTally::pairs`] gives them.
    fn of_tally(models: Vec<String>, pairs: Vec<((u32, u32), [u64; 3])>) -> Result<Self, RatingsError> {
        if pairs.is_empty() {
            let reason = "there is not one".to_owned();
            return Err(RatingsError::Empty { origin: "ratings".to_owned(), reason });
        }
        let count = |battles: u64| Count { battles, weight: battles as f64 };
        let pair = |((i, j), counts): ((u32, u32), [u64; 3])| Pair { i, j, counts: counts.map(count) };
        let mut pairs: Vec<Pair> = pairs.into_iter().map(pair).collect();
        pairs.sort_unstable_by_key(|pair| (pair.i, pair.j));
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

/// Counts that follow votes as they come, and as they cease to count. Models are numbers from 0 on, which
/// the caller gives out: tables are as long as the largest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoteTally {
    /// `[i won, j won, tie]` by [`pair_place`].
    table: Vec<[u64; 3]>,
    votes: u64,
}

impl VoteTally {
    /// Counts a vote on two models; on one model with itself there is nothing to count.
    pub fn add(&mut self, a: u32, b: u32, outcome: Outcome) {
        if a == b {
            return;
        }
        let at = pair_place(a, b);
        if at >= self.table.len() {
            self.table.resize(at + 1, [0; 3]);
        }
        self.table[at][place(a, b, outcome).1] += 1;
        self.votes += 1;
    }

    /// Counts a vote no longer that was counted.
    pub fn remove(&mut self, a: u32, b: u32, outcome: Outcome) {
        let known = self.table.get_mut(pair_place(a, b)).filter(|_| a != b);
        if let Some(count) =
            known.map(|counts| &mut counts[place(a, b, outcome).1]).filter(|count| **count > 0)
        {
            *count -= 1;
            self.votes -= 1;
        }
    }

    /// All votes.
    pub fn votes(&self) -> u64 {
        self.votes
    }

    /// The counts among those models that have votes. `names` are all models' by number.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without a vote.
    pub fn counts(&self, names: &[String]) -> Result<PairCounts, RatingsError> {
        let mut places = vec![None; names.len()];
        for ((i, j), _) in self.pairs() {
            (places[i as usize], places[j as usize]) = (Some(0), Some(0));
        }
        let mut models = Vec::new();
        for (place, name) in places.iter_mut().zip(names).filter(|(place, _)| place.is_some()) {
            *place = Some(models.len() as u32);
            models.push(name.clone());
        }
        let place = |model: u32| places[model as usize].unwrap_or(0);
        let pairs = self.pairs().map(|((i, j), counts)| ((place(i), place(j)), counts));
        PairCounts::of_tally(models, pairs.collect())
    }

    /// The pairs `i < j` that have votes.
    fn pairs(&self) -> impl Iterator<Item = ((u32, u32), [u64; 3])> {
        let all = (0u32..).flat_map(|j| (0..=j).map(move |i| (i, j)));
        all.zip(self.table.iter().copied()).filter(|(_, counts)| *counts != [0; 3])
    }
}

/// Where a pair stands in a table that grows with the models: (0, 0), (0, 1), (1, 1), (0, 2), …
pub(crate) fn pair_place(a: u32, b: u32) -> usize {
    let (i, j) = (a.min(b) as usize, a.max(b) as usize);
    j * (j + 1) / 2 + i
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
    fn a_vote_that_counts_no_longer_leaves_what_was_there_before() {
        let names = ["w", "x", "y", "z"].map(str::to_owned);
        let mut tally = VoteTally::default();
        tally.add(3, 1, Outcome::ModelA);
        tally.add(1, 3, Outcome::Tie);
        let before = tally.clone();
        tally.add(0, 2, Outcome::ModelB);
        tally.add(3, 1, Outcome::ModelA);
        assert_eq!((tally.votes(), tally.counts(&names).unwrap().models().len()), (4, 4));
        tally.remove(3, 1, Outcome::ModelA);
        tally.remove(2, 0, Outcome::ModelA);
        assert_eq!(tally, before);
        // What was never counted takes nothing away, and models without votes are left out.
        tally.remove(0, 1, Outcome::Tie);
        tally.remove(7, 9, Outcome::Tie);
        tally.add(2, 2, Outcome::Tie);
        let counts = tally.counts(&names).unwrap();
        assert_eq!((tally.votes(), counts.models()), (2, &["x".to_owned(), "z".to_owned()][..]));
        assert_eq!(counts.pairs()[0].counts.map(|count| count.battles), [0, 1, 1]);
        assert!(VoteTally::default().counts(&names).is_err());
    }

    #[test]
    fn nothing_to_compare_is_an_error() {
        let empty = PairCounts::new(&Battles::new()).unwrap_err();
        assert!(empty.to_string().contains("not one row"), "{empty}");
    }
}
