//! Which two models meet next.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::counts::PairCounts;

/// How the pair of the next battle is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairRule {
    /// Each pair as the product of its models' weights.
    Weights,
    /// That, times how much one more vote narrows the pair's interval (arXiv 2403.04132, Eq. 9).
    #[default]
    Active,
}

/// A model as it may be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// How often it is drawn relative to others; 0 never, as during an outage.
    pub weight: f64,
}

/// A model with fewer votes than this counts as new.
const NEW_BELOW: u64 = 50;
/// How much more often a new model is drawn, as FastChat's `SAMPLING_BOOST_MODELS` are.
const BOOST: f64 = 5.0;

/// The weight of each pair of different contestants, by their places. Weights are not negative; all are
/// zero where fewer than two contestants may be drawn.
///
/// Models with fewer than fifty votes are drawn five times as often. For [`PairRule::Active`] a pair
/// with n votes and variance Σ weighs √(Σ/n) − √(Σ/(n+1)), where half a win for either side is added to
/// what was voted, so that a pair without votes weighs most and no pair ever weighs nothing.
pub fn pair_weights(
    contestants: &[Contestant],
    counts: Option<&PairCounts>,
    rule: PairRule,
) -> Vec<((usize, usize), f64)> {
    let met = Met::new(contestants, counts);
    let weight = |i: usize| {
        let boost = if met.votes[i] < NEW_BELOW { BOOST } else { 1.0 };
        contestants[i].weight.max(0.0) * boost
    };
    let mut pairs = Vec::new();
    for i in 0..contestants.len() {
        for j in i + 1..contestants.len() {
            let narrowing = match rule {
                PairRule::Weights => 1.0,
                PairRule::Active => met.narrowing(i, j),
            };
            pairs.push(((i, j), weight(i) * weight(j) * narrowing));
        }
    }
    pairs
}

/// Draws a pair by its weight and which of the two stands first; `None` where every weight is zero.
pub fn draw_pair(pairs: &[((usize, usize), f64)], rng: &mut impl Rng) -> Option<(usize, usize)> {
    let total: f64 = pairs.iter().map(|(_, weight)| weight).sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let mut left = rng.random::<f64>() * total;
    let mut drawn = None;
    for &(pair, weight) in pairs.iter().filter(|(_, weight)| *weight > 0.0) {
        drawn = Some(pair);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    let (i, j) = drawn?;
    Some(if rng.random::<bool>() { (i, j) } else { (j, i) })
}

/// The votes of one pair as the first of the two scored them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PairTally {
    scored: f64,
    squares: f64,
    votes: f64,
}

impl PairTally {
    /// Adds votes that gave the first of the two this score.
    pub(crate) fn add(&mut self, score: f64, votes: f64) {
        self.scored += votes * score;
        self.squares += votes * score * score;
        self.votes += votes;
    }

    /// The variance of a vote, half a win for either side added, and the votes with it.
    fn variance(&self) -> (f64, f64) {
        let n = self.votes + 1.0;
        let mean = (self.scored + 0.5) / n;
        (((self.squares + 0.5) / n - mean * mean).max(0.0), n)
    }

    /// The standard error of the pair's share.
    pub(crate) fn standard_error(&self) -> f64 {
        let (variance, n) = self.variance();
        (variance / n).sqrt()
    }

    /// What one more vote takes off the standard error: √(Σ/n) − √(Σ/(n+1)).
    pub(crate) fn narrowing(&self) -> f64 {
        let (variance, n) = self.variance();
        (variance / n).sqrt() - (variance / (n + 1.0)).sqrt()
    }
}

/// What the contestants' votes say of each pair, row-major by their places with `i < j`.
struct Met {
    n: usize,
    pairs: Vec<PairTally>,
    votes: Vec<u64>,
}

impl Met {
    fn new(contestants: &[Contestant], counts: Option<&PairCounts>) -> Self {
        let n = contestants.len();
        let mut met = Self { n, pairs: vec![PairTally::default(); n * n], votes: vec![0; n] };
        let Some(counts) = counts else { return met };
        let place: Vec<Option<usize>> = counts
            .models()
            .iter()
            .map(|model| contestants.iter().position(|contestant| contestant.name == *model))
            .collect();
        for pair in counts.pairs() {
            let [won, lost, tied] = pair.counts.map(|count| count.battles);
            let (i, j) = (place[pair.i as usize], place[pair.j as usize]);
            for model in [i, j].into_iter().flatten() {
                met.votes[model] += won + lost + tied;
            }
            let (Some(i), Some(j)) = (i, j) else { continue };
            let (won, lost) = if i < j { (won, lost) } else { (lost, won) };
            let tally = &mut met.pairs[i.min(j) * n + i.max(j)];
            for (score, votes) in [(1.0, won), (0.0, lost), (0.5, tied)] {
                tally.add(score, votes as f64);
            }
        }
        met
    }

    fn narrowing(&self, i: usize, j: usize) -> f64 {
        self.pairs[i * self.n + j].narrowing()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::battles::{Battles, NamedBattle, Outcome};

    fn contestants(weights: &[f64]) -> Vec<Contestant> {
        let one = |(i, &weight): (usize, &f64)| Contestant { name: format!("m{i}"), weight };
        weights.iter().enumerate().map(one).collect()
    }

    fn votes(pairs: &[(usize, usize, u64, u64)]) -> PairCounts {
        let mut battles = Battles::new();
        for &(i, j, won, lost) in pairs {
            let (a, b) = (format!("m{i}"), format!("m{j}"));
            for (outcome, votes) in [(Outcome::ModelA, won), (Outcome::ModelB, lost)] {
                if votes > 0 {
                    battles.push(&NamedBattle { votes, ..NamedBattle::new(&a, &b, outcome) }).unwrap();
                }
            }
        }
        PairCounts::new(&battles).unwrap()
    }

    #[test]
    fn uncertain_pairs_are_drawn_before_settled_ones() {
        // 0 and 1 are even, 0 always beats 2, 1 and 2 hardly met.
        let counts = votes(&[(0, 1, 50, 50), (0, 2, 100, 0), (1, 2, 5, 5)]);
        let pairs = pair_weights(&contestants(&[1.0; 3]), Some(&counts), PairRule::Active);
        let weight = |wanted| pairs.iter().find(|(pair, _)| *pair == wanted).unwrap().1;
        assert!(weight((1, 2)) > weight((0, 1)) && weight((0, 1)) > weight((0, 2)));
        assert!(weight((0, 2)) > 0.0);
        let even = pair_weights(&contestants(&[1.0; 3]), Some(&counts), PairRule::Weights);
        assert!(even.iter().all(|(_, weight)| *weight == 1.0));
    }

    #[test]
    fn a_new_model_is_drawn_five_times_as_often_and_one_that_is_out_never() {
        let counts = votes(&[(0, 1, 100, 100)]);
        let pairs = pair_weights(&contestants(&[1.0, 1.0, 1.0, 0.0]), Some(&counts), PairRule::Weights);
        let weight = |wanted| pairs.iter().find(|(pair, _)| *pair == wanted).unwrap().1;
        assert_eq!((weight((0, 1)), weight((0, 2)), weight((2, 3))), (1.0, 5.0, 0.0));
    }

    #[test]
    fn both_sides_are_equally_often_first_and_nothing_is_drawn_from_nothing() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let pairs = pair_weights(&contestants(&[1.0, 1.0, 0.0]), None, PairRule::Active);
        let drawn: Vec<(usize, usize)> = (0..2000).map(|_| draw_pair(&pairs, &mut rng).unwrap()).collect();
        assert!(drawn.iter().all(|pair| [(0, 1), (1, 0)].contains(pair)));
        let first = drawn.iter().filter(|pair| **pair == (0, 1)).count();
        assert!((900..1100).contains(&first), "{first}");
        let alone = pair_weights(&contestants(&[1.0, 0.0]), None, PairRule::Active);
        assert_eq!(draw_pair(&alone, &mut rng), None);
    }
}
