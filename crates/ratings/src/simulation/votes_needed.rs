//! How many votes a precision takes, by the rule that draws the pairs (arXiv 2403.04132, Figure 7).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::world::{Voter, World};
use crate::bradley_terry::BradleyTerry;
use crate::counts::PairCounts;
use crate::error::RatingsError;
use crate::pairing::PairTally;
use crate::scale::Z95;

/// How pairs are drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// Every pair as often as any other.
    Even,
    /// Pairs in proportion to these weights of `i < j`, row-major over the upper triangle.
    Weighted(Vec<f64>),
    /// By what one more vote narrows the pair's interval (Eq. 9).
    Active,
}

/// What shall be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The share of each pair's battles that one of the two wins.
    WinMatrix,
    /// The Bradley–Terry strengths in log-odds.
    Scores,
}

impl Target {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::WinMatrix => "win matrix",
            Self::Scores => "strengths",
        }
    }
}

/// What came of some trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Needed {
    /// What was to be known.
    pub target: Target,
    /// The mean half-width of 95 % intervals that ends a trial.
    pub precision: f64,
    /// Votes of each trial, sorted.
    pub votes: Vec<usize>,
}

impl Needed {
    /// The median of the trials.
    pub fn median(&self) -> f64 {
        let (n, votes) = (self.votes.len(), &self.votes);
        (votes[(n - 1) / 2] + votes[n / 2]) as f64 / 2.0
    }
}

/// Votes between two looks at the strengths, whose fit costs more than a vote.
const LOOK: usize = 100;
/// A trial that has not ended by then has no end.
const MOST: usize = 2_000_000;

/// Votes until the mean half-width of all 95 % intervals is at most `precision`, in `trials` trials.
///
/// Intervals of the win matrix are those of a mean with half a win for either side added, so that a
/// pair without votes is uncertain; those of strengths are sandwich intervals around the mean strength.
///
/// # Errors
/// [`RatingsError::Setting`] for a precision, a number of trials or weights that cannot be used, and
/// those of [`BradleyTerry::sandwich`].
pub fn votes_needed(
    world: &World,
    draw: &Draw,
    target: Target,
    precision: f64,
    trials: usize,
    seed: u64,
) -> Result<Needed, RatingsError> {
    let models = world.strengths.len();
    let pairs = models * models.saturating_sub(1) / 2;
    if !(precision > 0.01 && precision.is_finite()) {
        return Err(RatingsError::setting("precision", precision, "a number above 0.01"));
    }
    if models < 2 || trials == 0 {
        let found = format!("{models} models, {trials} trials");
        return Err(RatingsError::setting("trials", found, "at least two models and a trial"));
    }
    if let Draw::Weighted(weights) = draw
        && (weights.len() != pairs || !weights.iter().all(|w| *w > 0.0 && w.is_finite()))
    {
        let found = format!("{} weights", weights.len());
        return Err(RatingsError::setting("weights", found, "a positive weight for every pair"));
    }
    let trial = |number: u64| Trial::new(world, draw, seed, number).run(target, precision);
    let votes: Result<Vec<usize>, RatingsError> = (0..trials as u64).into_par_iter().map(trial).collect();
    let mut votes = votes?;
    votes.sort_unstable();
    Ok(Needed { target, precision, votes })
}

struct Trial<'a> {
    world: &'a World,
    is_active: bool,
    rng: ChaCha8Rng,
    pairs: Vec<(usize, usize)>,
    tallies: Vec<PairTally>,
    /// `[won, lost, tied]` by the first of the pair.
    counts: Vec<[f64; 3]>,
    /// What pairs are drawn by, and the sum of their intervals' half-widths.
    weights: Vec<f64>,
    total: f64,
    widths: f64,
}

impl<'a> Trial<'a> {
    fn new(world: &'a World, draw: &Draw, seed: u64, number: u64) -> Self {
        let models = world.strengths.len();
        let pairs: Vec<(usize, usize)> =
            (0..models).flat_map(|i| (i + 1..models).map(move |j| (i, j))).collect();
        let tallies = vec![PairTally::default(); pairs.len()];
        let weights = match draw {
            Draw::Even => vec![1.0; pairs.len()],
            Draw::Weighted(weights) => weights.clone(),
            Draw::Active => tallies.iter().map(PairTally::narrowing).collect(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        Self {
            world,
            is_active: *draw == Draw::Active,
            rng,
            total: weights.iter().sum(),
            widths: tallies.iter().map(|tally| Z95 * tally.standard_error()).sum(),
            counts: vec![[0.0; 3]; pairs.len()],
            pairs,
            tallies,
            weights,
        }
    }

    fn run(mut self, target: Target, precision: f64) -> Result<usize, RatingsError> {
        for votes in 1..=MOST {
            self.vote();
            let reached = match target {
                Target::WinMatrix => self.widths <= precision * self.pairs.len() as f64,
                Target::Scores => votes % LOOK == 0 && self.score_width()? <= precision,
            };
            if reached {
                return Ok(votes);
            }
        }
        Err(RatingsError::setting("precision", precision, "one that two million votes reach"))
    }

    fn vote(&mut self) {
        let place = self.draw();
        let (i, j) = self.pairs[place];
        let (a, b) = if self.rng.random::<bool>() { (i, j) } else { (j, i) };
        let outcome = self.world.vote(Voter::Careful, a, b, &mut self.rng);
        let score = if a == i { outcome } else { outcome.swapped() }.score();
        let tally = &mut self.tallies[place];
        self.widths -= Z95 * tally.standard_error();
        tally.add(score, 1.0);
        self.widths += Z95 * tally.standard_error();
        self.counts[place][if score == 1.0 {
            0
        } else if score == 0.0 {
            1
        } else {
            2
        }] += 1.0;
        if self.is_active {
            self.total -= self.weights[place];
            self.weights[place] = tally.narrowing();
            self.total += self.weights[place];
        }
    }

    fn draw(&mut self) -> usize {
        let mut left = self.rng.random::<f64>() * self.total;
        for (place, weight) in self.weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return place;
            }
        }
        self.weights.len() - 1
    }

    /// Mean half-width of the strengths' intervals, in log-odds.
    fn score_width(&self) -> Result<f64, RatingsError> {
        let names = (0..self.world.strengths.len()).map(|m| m.to_string()).collect();
        let met = self.pairs.iter().zip(&self.counts).filter(|(_, counts)| **counts != [0.0; 3]);
        let met = met.map(|(&(i, j), counts)| ((i as u32, j as u32), *counts)).collect();
        let model = BradleyTerry::default();
        let (fitted, intervals) = model.sandwich(&PairCounts::of_weights(names, met), Z95)?;
        if fitted.parts > 1 {
            return Ok(f64::INFINITY);
        }
        let width: f64 = intervals.iter().map(|i| (i.high - i.low) / 2.0).sum();
        Ok(width / intervals.len() as f64 / model.scale.points_per_nat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_draws_need_hardly_more_votes_than_even_ones_and_far_fewer_than_lopsided_ones() {
        let world = World::spaced(8, 600.0);
        let needed = |draw: &Draw| votes_needed(&world, draw, Target::WinMatrix, 0.1, 9, 3).unwrap().median();
        let lopsided: Vec<f64> = (0..28).map(|pair| if pair % 4 == 0 { 10.0 } else { 1.0 }).collect();
        let (even, active) = (needed(&Draw::Even), needed(&Draw::Active));
        let lopsided = needed(&Draw::Weighted(lopsided));
        assert!(active < 1.02 * even && active < 0.7 * lopsided, "{active} {even} {lopsided}");
    }

    #[test]
    fn strengths_take_a_number_of_votes_and_bad_settings_are_named() {
        let world = World::spaced(5, 300.0);
        let needed = votes_needed(&world, &Draw::Even, Target::Scores, 0.3, 3, 0).unwrap();
        assert!(needed.votes.iter().all(|votes| (200..2000).contains(votes)), "{needed:?}");
        for (precision, draw) in [(0.0, Draw::Even), (0.2, Draw::Weighted(vec![1.0]))] {
            assert!(votes_needed(&world, &draw, Target::Scores, precision, 3, 0).is_err());
        }
    }
}
