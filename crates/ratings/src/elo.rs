//! Elo ratings: sequential, and averaged over random orderings of the battles.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::battles::{Battles, Outcome};
use crate::error::RatingsError;
use crate::scale::RatingScale;

/// What a tie does to sequential ratings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TieRule {
    /// Half a point for each side.
    #[default]
    Half,
    /// Nothing.
    Skip,
}

/// After every battle the winner takes K · (score − expected score) points (Elo 1978).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elo {
    /// The scale, with the rating a model starts from.
    pub scale: RatingScale,
    /// The most points one battle can move.
    pub k: f64,
    /// What a tie does.
    pub ties: TieRule,
}

impl Default for Elo {
    /// K = 4 as in FastChat; QLoRA used 32.
    fn default() -> Self {
        Self { scale: RatingScale::default(), k: 4.0, ties: TieRule::Half }
    }
}

/// How battles are shuffled before they are played through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orderings {
    /// Random orderings to average over.
    pub orderings: usize,
    /// Battles played in each, drawn without replacement; all of them by default.
    pub matches: Option<usize>,
    /// Seed of the shuffles. Ordering number i depends on the seed and i alone.
    pub seed: u64,
}

/// Ratings after the last battle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequentialRatings {
    /// Model names by index.
    pub models: Vec<String>,
    /// Their ratings.
    pub ratings: Vec<f64>,
    /// Battles that were played.
    pub matches: usize,
}

/// Final ratings over many orderings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AveragedRatings {
    /// Model names by index.
    pub models: Vec<String>,
    /// Mean final rating.
    pub ratings: Vec<f64>,
    /// Standard deviation of the final rating between orderings; over the root of their number it
    /// is the error that shuffling leaves in `ratings`.
    pub deviation: Vec<f64>,
    /// Orderings averaged over.
    pub orderings: usize,
    /// Battles played in each.
    pub matches: usize,
}

impl AveragedRatings {
    /// Standard error of each mean over orderings. It says nothing of what other battles would give.
    pub fn ordering_error(&self) -> Vec<f64> {
        self.deviation.iter().map(|d| d / (self.orderings as f64).sqrt()).collect()
    }
}

/// A battle as Elo sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub(crate) a: u32,
    pub(crate) b: u32,
    /// What `a` scored.
    pub(crate) score: f64,
}

impl Elo {
    /// Plays the battles in the order they stand.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without battles, [`RatingsError::Setting`] for a K or scale out of range.
    pub fn sequential(&self, battles: &Battles) -> Result<SequentialRatings, RatingsError> {
        let matches = self.matches(battles)?;
        let models = battles.models().to_vec();
        let mut ratings = vec![self.scale.initial; models.len()];
        self.play(&mut ratings, matches.iter());
        Ok(SequentialRatings { models, ratings, matches: matches.len() })
    }

    /// Averages the final ratings over random orderings, in parallel; equal seeds give equal bits
    /// whatever the number of threads.
    ///
    /// # Errors
    /// As [`Elo::sequential`]; [`RatingsError::Setting`] for no orderings, or for more matches in
    /// an ordering than there are.
    pub fn averaged(
        &self,
        battles: &Battles,
        orderings: &Orderings,
    ) -> Result<AveragedRatings, RatingsError> {
        let matches = self.matches(battles)?;
        let played = orderings.check(matches.len())?;
        let models = battles.models().to_vec();
        let (ratings, deviation) = self.over_orderings(&matches, models.len(), orderings, played, 0);
        Ok(AveragedRatings { models, ratings, deviation, orderings: orderings.orderings, matches: played })
    }

    /// Mean and standard deviation of the final ratings; orderings are numbered from `first`.
    pub(crate) fn over_orderings(
        &self,
        matches: &[Match],
        models: usize,
        orderings: &Orderings,
        played: usize,
        first: u64,
    ) -> (Vec<f64>, Vec<f64>) {
        let identity: Vec<u32> = (0..matches.len() as u32).collect();
        let finals: Vec<Vec<f64>> = (0..orderings.orderings as u64)
            .into_par_iter()
            .map_init(
                || identity.clone(),
                |order, number| {
                    order.copy_from_slice(&identity);
                    let mut rng = ChaCha8Rng::seed_from_u64(orderings.seed);
                    rng.set_stream(first + number);
                    shuffle_front(order, played, &mut rng);
                    let mut ratings = vec![self.scale.initial; models];
                    self.play(&mut ratings, order[..played].iter().map(|&m| &matches[m as usize]));
                    ratings
                },
            )
            .collect();
        mean_and_deviation(&finals, models)
    }

    pub(crate) fn matches(&self, battles: &Battles) -> Result<Vec<Match>, RatingsError> {
        self.scale.check()?;
        if !(self.k > 0.0 && self.k.is_finite()) {
            return Err(RatingsError::setting("k", self.k, "a positive number"));
        }
        battles.check("Elo ratings")?;
        battles.one_by_one("Elo, which plays battles one after the other,")?;
        let counted = |outcome| self.ties == TieRule::Half || outcome != Outcome::Tie;
        let rows = battles.rows().iter().filter(|row| counted(row.outcome));
        Ok(rows.map(|row| Match { a: row.a, b: row.b, score: row.outcome.score() }).collect())
    }

    fn play<'a>(&self, ratings: &mut [f64], matches: impl Iterator<Item = &'a Match>) {
        let per_point = self.scale.base.ln() / self.scale.scale;
        for &Match { a, b, score } in matches {
            let (a, b) = (a as usize, b as usize);
            let expected = 1.0 / (1.0 + ((ratings[b] - ratings[a]) * per_point).exp());
            let moved = self.k * (score - expected);
            ratings[a] += moved;
            ratings[b] -= moved;
        }
    }
}

impl Orderings {
    /// The number of matches an ordering plays out of `available`.
    pub(crate) fn check(&self, available: usize) -> Result<usize, RatingsError> {
        if self.orderings == 0 {
            return Err(RatingsError::setting("orderings", 0, "at least one"));
        }
        match self.matches {
            Some(wanted) if wanted == 0 || wanted > available => Err(RatingsError::setting(
                "matches per ordering",
                format!("{wanted} of {available}"),
                "at least one and no more than there are",
            )),
            Some(wanted) => Ok(wanted),
            None => Ok(available),
        }
    }
}

/// Brings a random selection of `front` entries, in random order, to the front (Fisher and Yates).
fn shuffle_front(order: &mut [u32], front: usize, rng: &mut ChaCha8Rng) {
    let n = order.len() as u32;
    for i in 0..front.min(order.len().saturating_sub(1)) {
        let other = rng.random_range(i as u32..n) as usize;
        order.swap(i, other);
    }
}

/// Mean and sample standard deviation of each column, summed in the order of the rows.
pub(crate) fn mean_and_deviation(rows: &[Vec<f64>], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let n = rows.len() as f64;
    let mut mean = vec![0.0; columns];
    for row in rows {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += value / n;
        }
    }
    let mut squares = vec![0.0; columns];
    for row in rows {
        for ((sum, value), mean) in squares.iter_mut().zip(row).zip(&mean) {
            *sum += (value - mean).powi(2);
        }
    }
    let deviation = squares.iter().map(|s| (s / (n - 1.0).max(1.0)).sqrt()).collect();
    (mean, deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    fn battles(rows: &[(&str, &str, Outcome)]) -> Battles {
        let mut battles = Battles::new();
        for &(a, b, outcome) in rows {
            battles.push(&NamedBattle::new(a, b, outcome)).unwrap();
        }
        battles
    }

    #[test]
    fn two_battles_worked_by_hand() {
        let rows = battles(&[("x", "y", Outcome::ModelA), ("y", "x", Outcome::Tie)]);
        let elo = Elo { k: 32.0, ..Elo::default() };
        let rated = elo.sequential(&rows).unwrap();
        // The first moves 16 points; in the second y is expected 1/(1 + 10^(32/400)).
        let expected = 1.0 / (1.0 + 10f64.powf(32.0 / 400.0));
        let moved = 32.0 * (0.5 - expected);
        assert!((rated.ratings[0] - (1016.0 - moved)).abs() < 1e-12);
        assert!((rated.ratings[1] - (984.0 + moved)).abs() < 1e-12);
        let skip = Elo { ties: TieRule::Skip, ..elo }.sequential(&rows).unwrap();
        assert_eq!((skip.ratings, skip.matches), (vec![1016.0, 984.0], 1));
    }

    #[test]
    fn orderings_average_out_and_depend_on_nothing_but_the_seed() {
        let mut rows = vec![("x", "y", Outcome::ModelA); 30];
        rows.extend(vec![("y", "z", Outcome::ModelB); 20]);
        rows.extend(vec![("x", "y", Outcome::ModelB); 10]);
        let rows = battles(&rows);
        let elo = Elo { k: 16.0, ..Elo::default() };
        let orderings = Orderings { orderings: 200, matches: Some(50), seed: 3 };
        let one = elo.averaged(&rows, &orderings).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one, pool.install(|| elo.averaged(&rows, &orderings).unwrap()));
        assert_ne!(one, elo.averaged(&rows, &Orderings { seed: 4, ..orderings }).unwrap());
        assert!((one.ratings.iter().sum::<f64>() - 3000.0).abs() < 1e-6);
        assert!(one.deviation.iter().all(|d| *d > 0.0));
        assert_eq!((one.matches, one.orderings), (50, 200));
    }

    #[test]
    fn a_full_pass_plays_every_battle_once() {
        let mut order: Vec<u32> = (0..100).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        shuffle_front(&mut order, 100, &mut rng);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let rows = battles(&[("x", "y", Outcome::ModelA)]);
        let error = Elo { k: 0.0, ..Elo::default() }.sequential(&rows).unwrap_err();
        assert!(error.to_string().contains("`k` is 0"), "{error}");
        let orderings = Orderings { orderings: 10, matches: Some(2), seed: 0 };
        let error = Elo::default().averaged(&rows, &orderings).unwrap_err();
        assert!(error.to_string().contains("2 of 1"), "{error}");
        assert!(matches!(Elo::default().sequential(&Battles::new()), Err(RatingsError::Empty { .. })));
    }
}
