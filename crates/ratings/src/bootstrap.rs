//! Intervals by resampling: what other battles of the same kind would have given.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::battles::{Battle, Battles, Outcome};
use crate::bradley_terry::BradleyTerry;
use crate::counts::PairCounts;
use crate::draws::{Clusters, Draws, Rows};
use crate::elo::{Elo, Match, Orderings, TieRule, mean_and_deviation};
use crate::error::RatingsError;
use crate::graph::Standing;
use crate::scale::Interval;
use crate::win_matrix::WinMatrix;

/// What is drawn anew, with replacement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Battles, as if each were independent of the others.
    #[default]
    Battles,
    /// Questions with all their battles: verdicts on one question resemble each other, so where
    /// every pair answers the same few questions this interval is the honest one. Battles without
    /// a question are units of their own.
    Questions,
}

/// A bootstrap. Replicate number i depends on the seed and i alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Replicates.
    pub replicates: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// What is drawn.
    pub unit: Unit,
    /// Coverage of the intervals, e.g. 0.95.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 100, seed: 0, unit: Unit::Battles, level: 0.95 }
    }
}

/// Ratings of every replicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replicates {
    /// Model names by index.
    pub models: Vec<String>,
    /// The ratings by the battles as they are.
    pub ratings: Vec<f64>,
    /// `[replicate][model]`.
    pub replicates: Vec<Vec<f64>>,
    /// For each model, the replicates whose battles did not bound its rating.
    pub unbounded: Vec<usize>,
    /// Coverage of [`Replicates::intervals`].
    pub level: f64,
}

impl Replicates {
    /// Percentile intervals around the ratings.
    pub fn intervals(&self) -> Vec<Interval> {
        let tail = (1.0 - self.level) / 2.0;
        let interval = |(model, &value): (usize, &f64)| {
            let mut values: Vec<f64> = self.replicates.iter().map(|row| row[model]).collect();
            values.sort_by(f64::total_cmp);
            Interval { value, low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) }
        };
        self.ratings.iter().enumerate().map(interval).collect()
    }

    /// Standard error of the difference between two models' ratings.
    pub fn difference_error(&self, i: usize, j: usize) -> f64 {
        let gaps: Vec<Vec<f64>> = self.replicates.iter().map(|row| vec![row[i] - row[j]]).collect();
        mean_and_deviation(&gaps, 1).1[0]
    }
}

/// Averaged Elo ratings with the error that other battles would have made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EloErrors {
    /// Model names by index.
    pub models: Vec<String>,
    /// Standard error of each rating over resampled battles, without the error of shuffling.
    pub standard_error: Vec<f64>,
    /// Standard error of the difference between the ratings of models i and j, row-major.
    pub difference_error: Vec<f64>,
}

impl Bootstrap {
    /// Bradley–Terry ratings of every replicate: multinomial draws over the unique (pair, outcome)
    /// rows, or over questions.
    ///
    /// # Errors
    /// Those of [`BradleyTerry::fit`]; [`RatingsError::Setting`] for no replicates or a level
    /// outside 0 to 1.
    pub fn bradley_terry(&self, model: &BradleyTerry, battles: &Battles) -> Result<Replicates, RatingsError> {
        let counts = PairCounts::new(battles)?;
        if self.unit == Unit::Questions {
            battles.one_by_one("a bootstrap over questions")?;
        }
        match self.unit {
            Unit::Battles => self.counted(model, &counts),
            Unit::Questions => self.drawn(model, &counts, &Clusters::new(battles, &counts)),
        }
    }

    /// Average win rates ([`WinMatrix::average`], 0 to 1) of every replicate; a model that a replicate
    /// gives no battle keeps the rate it has.
    ///
    /// # Errors
    /// As [`WinMatrix::new`] and [`Bootstrap::bradley_terry`].
    pub fn win_rates(&self, battles: &Battles, ties: TieRule) -> Result<Replicates, RatingsError> {
        self.check()?;
        if battles.is_counted() {
            return self.counted_win_rates(battles, ties);
        }
        let played: Vec<&Battle> = battles
            .rows()
            .iter()
            .filter(|row| ties == TieRule::Half || row.outcome != Outcome::Tie)
            .collect();
        let groups = self.groups(played.iter().map(|row| row.question));
        let matrix = WinMatrix::new(battles, ties)?;
        let models = matrix.models.len();
        let ratings: Vec<f64> = (0..models).map(|m| matrix.average(m).unwrap_or(0.5)).collect();
        let drawn = |number: u64| {
            let mut rng = self.rng(number);
            let rows = (0..groups.len())
                .flat_map(|_| &groups[rng.random_range(0..groups.len())])
                .map(|&row| played[row as usize]);
            let matrix = WinMatrix::count(battles.models(), rows);
            let rates = (0..models).map(|m| matrix.average(m).unwrap_or(ratings[m])).collect();
            (rates, vec![Standing::Bounded; models])
        };
        let rows = (0..self.replicates as u64).into_par_iter().map(drawn).collect();
        Ok(self.collected(matrix.models, ratings.clone(), rows))
    }

    /// The same from a table of counts: multinomial draws over its (pair, outcome) rows.
    fn counted_win_rates(&self, battles: &Battles, ties: TieRule) -> Result<Replicates, RatingsError> {
        if self.unit == Unit::Questions {
            battles.one_by_one("a bootstrap over questions")?;
        }
        let counts = PairCounts::new(battles)?;
        let draws = Rows::new(&counts);
        let matrix = WinMatrix::of_counts(&counts, ties);
        let models = matrix.models.len();
        let ratings: Vec<f64> = (0..models).map(|m| matrix.average(m).unwrap_or(0.5)).collect();
        let drawn = |number: u64| {
            let matrix = WinMatrix::weighted(&counts, &draws.draw(&mut self.rng(number)), ties);
            let rates = (0..models).map(|m| matrix.average(m).unwrap_or(ratings[m])).collect();
            (rates, vec![Standing::Bounded; models])
        };
        let rows = (0..self.replicates as u64).into_par_iter().map(drawn).collect();
        Ok(self.collected(matrix.models, ratings.clone(), rows))
    }

    /// [`Bootstrap::bradley_terry`] from counts, by battles.
    ///
    /// # Errors
    /// As [`Bootstrap::bradley_terry`].
    pub fn counted(&self, model: &BradleyTerry, counts: &PairCounts) -> Result<Replicates, RatingsError> {
        self.drawn(model, counts, &Rows::new(counts))
    }

    /// Errors of averaged Elo ratings: each replicate draws battles (or questions) anew and
    /// averages over `orderings`; what the finite number of orderings adds is subtracted.
    ///
    /// # Errors
    /// As [`Elo::averaged`] and [`Bootstrap::bradley_terry`].
    pub fn elo(
        &self,
        elo: &Elo,
        battles: &Battles,
        orderings: &Orderings,
    ) -> Result<EloErrors, RatingsError> {
        self.check()?;
        let matches = elo.matches(battles)?;
        let played = orderings.matches.map(|_| orderings.check(matches.len())).transpose()?;
        let groups = self.match_groups(elo, battles, &matches);
        let models = battles.models().len();
        let shuffled = orderings.orderings as f64;
        let replicates: Vec<(Vec<f64>, Vec<f64>)> = (0..self.replicates as u64)
            .into_par_iter()
            .map(|number| {
                let mut rng = self.rng(number);
                let drawn: Vec<Match> = (0..groups.len())
                    .flat_map(|_| groups[rng.random_range(0..groups.len())].iter())
                    .map(|&index| matches[index as usize])
                    .collect();
                let played = played.unwrap_or(drawn.len()).min(drawn.len());
                let first = number * orderings.orderings as u64;
                elo.over_orderings(&drawn, models, orderings, played, first)
            })
            .collect();
        let mut difference_error = vec![0.0; models * models];
        let mut standard_error = vec![0.0; models];
        let shuffle_variance: Vec<f64> = (0..models)
            .map(|m| {
                replicates.iter().map(|(_, d)| d[m].powi(2)).sum::<f64>() / replicates.len() as f64 / shuffled
            })
            .collect();
        for i in 0..models {
            let own: Vec<Vec<f64>> = replicates.iter().map(|(mean, _)| vec![mean[i]]).collect();
            let total = mean_and_deviation(&own, 1).1[0].powi(2);
            standard_error[i] = (total - shuffle_variance[i]).max(0.0).sqrt();
            for j in 0..models {
                // Final ratings of one ordering move against each other, so the sum of their
                // variances is less than what shuffling adds: the error stays on the wide side.
                let gaps: Vec<Vec<f64>> =
                    replicates.iter().map(|(mean, _)| vec![mean[i] - mean[j]]).collect();
                let total = mean_and_deviation(&gaps, 1).1[0].powi(2);
                let shuffling = if i == j { 0.0 } else { shuffle_variance[i] + shuffle_variance[j] };
                difference_error[i * models + j] = (total - shuffling).max(0.0).sqrt();
            }
        }
        Ok(EloErrors { models: battles.models().to_vec(), standard_error, difference_error })
    }

    /// Indices of matches that are drawn together.
    fn match_groups(&self, elo: &Elo, battles: &Battles, matches: &[Match]) -> Vec<Vec<u32>> {
        let played =
            battles.rows().iter().filter(|row| elo.ties == TieRule::Half || row.outcome != Outcome::Tie);
        let groups = self.groups(played.map(|row| row.question));
        debug_assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), matches.len());
        groups
    }

    /// Indices of rows that are drawn together, from the question of each.
    pub(super) fn groups(&self, questions: impl Iterator<Item = Option<u32>>) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let mut of_question: HashMap<u32, usize> = HashMap::new();
        for (index, question) in questions.enumerate() {
            let index = index as u32;
            match question {
                Some(question) if self.unit == Unit::Questions => {
                    let group = *of_question.entry(question).or_insert_with(|| {
                        groups.push(Vec::new());
                        groups.len() - 1
                    });
                    groups[group].push(index);
                }
                _ => groups.push(vec![index]),
            }
        }
        groups
    }

    fn drawn(
        &self,
        model: &BradleyTerry,
        counts: &PairCounts,
        draws: &dyn Draws,
    ) -> Result<Replicates, RatingsError> {
        self.check()?;
        let fitted = model.fit(counts)?;
        let (start, _) = model.fit_weights(counts, &model.weights(counts.weights()), None);
        let rows: Vec<(Vec<f64>, Vec<Standing>)> = (0..self.replicates as u64)
            .into_par_iter()
            .map(|number| {
                let weights = model.weights(draws.draw(&mut self.rng(number)));
                let (_, ratings) = model.fit_weights(counts, &weights, Some(&start));
                (ratings.ratings, ratings.standing)
            })
            .collect();
        Ok(self.collected(fitted.models, fitted.ratings, rows))
    }

    /// Ratings and standings of every replicate, put together.
    pub(super) fn collected(
        &self,
        models: Vec<String>,
        ratings: Vec<f64>,
        rows: Vec<(Vec<f64>, Vec<Standing>)>,
    ) -> Replicates {
        let open = |m: usize| rows.iter().filter(|(_, standing)| standing[m] != Standing::Bounded).count();
        let unbounded = (0..models.len()).map(open).collect();
        let replicates = rows.into_iter().map(|(ratings, _)| ratings).collect();
        Replicates { models, ratings, replicates, unbounded, level: self.level }
    }

    pub(super) fn rng(&self, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        rng
    }

    pub(super) fn check(&self) -> Result<(), RatingsError> {
        if self.replicates < 2 {
            return Err(RatingsError::setting("replicates", self.replicates, "at least two"));
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(RatingsError::setting("level", self.level, "a share between 0 and 1"));
        }
        Ok(())
    }
}

/// The value below which a share `q` of the sorted values lies, interpolated linearly.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    quantile_of(sorted.len(), q, |place| sorted[place])
}

/// The same of `count` values, at least one, of which `nth` says each by its place in their order.
pub(crate) fn quantile_of(count: usize, q: f64, nth: impl Fn(usize) -> f64) -> f64 {
    let at = q * (count - 1) as f64;
    let below = nth(at.floor() as usize);
    below + (nth(at.ceil() as usize) - below) * (at - at.floor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    fn battles() -> Battles {
        let mut battles = Battles::new();
        let questions: Vec<String> = (0..40).map(|q| q.to_string()).collect();
        for (q, question) in questions.iter().enumerate() {
            for (a, b, lost) in [("x", "y", 3), ("y", "z", 4), ("z", "x", 2)] {
                let outcome = match q % (lost + 1) {
                    0 => Outcome::ModelB,
                    1 if q % 2 == 0 => Outcome::Tie,
                    _ => Outcome::ModelA,
                };
                let battle = NamedBattle { question: Some(question), ..NamedBattle::new(a, b, outcome) };
                battles.push(&battle).unwrap();
            }
        }
        battles
    }

    #[test]
    fn equal_seeds_give_equal_bits_on_any_number_of_threads() {
        let battles = battles();
        for unit in [Unit::Battles, Unit::Questions] {
            let bootstrap = Bootstrap { replicates: 30, seed: 5, unit, ..Bootstrap::default() };
            let run = || bootstrap.bradley_terry(&BradleyTerry::default(), &battles).unwrap();
            let here = run();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(here, pool.install(run));
            let other = Bootstrap { seed: 6, ..bootstrap };
            assert_ne!(here, other.bradley_terry(&BradleyTerry::default(), &battles).unwrap());
        }
    }

    #[test]
    fn bootstrap_and_sandwich_agree_on_many_battles() {
        let mut battles = Battles::new();
        for i in 0..2000 {
            let outcome = if i % 3 == 0 { Outcome::ModelB } else { Outcome::ModelA };
            battles.push(&NamedBattle::new("x", "y", outcome)).unwrap();
        }
        let model = BradleyTerry::default();
        let bootstrap = Bootstrap { replicates: 400, ..Bootstrap::default() };
        let drawn = bootstrap.bradley_terry(&model, &battles).unwrap().intervals()[0];
        let robust = model.sandwich(&PairCounts::new(&battles).unwrap(), 1.96).unwrap().1[0];
        let (drawn, robust) = (drawn.high - drawn.low, robust.high - robust.low);
        assert!((drawn / robust - 1.0).abs() < 0.15, "{drawn} {robust}");
    }

    #[test]
    fn elo_errors_come_from_the_battles_not_from_the_shuffles() {
        let bootstrap = Bootstrap { replicates: 60, ..Bootstrap::default() };
        let orderings = Orderings { orderings: 30, matches: None, seed: 1 };
        let mut mixed = Battles::new();
        let mut one_sided = Battles::new();
        for i in 0..60 {
            let outcome = if i % 3 == 0 { Outcome::ModelB } else { Outcome::ModelA };
            mixed.push(&NamedBattle::new("x", "y", outcome)).unwrap();
            one_sided.push(&NamedBattle::new("x", "y", Outcome::ModelA)).unwrap();
        }
        let none = bootstrap.elo(&Elo::default(), &one_sided, &orderings).unwrap();
        assert!(none.standard_error.iter().all(|e| *e < 1e-9), "every draw is the same: {none:?}");
        let some = bootstrap.elo(&Elo::default(), &mixed, &orderings).unwrap();
        assert!(some.standard_error[0] > 5.0, "{:?}", some.standard_error);
        // Two ratings with a constant sum: what one gains the other loses.
        let ratio = some.difference_error[1] / some.standard_error[0];
        assert!((ratio - 2.0).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn replicates_in_which_a_model_never_lost_are_counted() {
        let mut battles = Battles::new();
        for outcome in [Outcome::ModelA, Outcome::ModelA, Outcome::ModelA, Outcome::ModelB] {
            battles.push(&NamedBattle::new("x", "y", outcome)).unwrap();
        }
        let drawn = Bootstrap::default().bradley_terry(&BradleyTerry::default(), &battles).unwrap();
        assert!(drawn.unbounded[0] > 10 && drawn.unbounded[0] < 60, "{:?}", drawn.unbounded);
        assert!(drawn.replicates.iter().flatten().all(|r| r.is_finite()));
    }

    #[test]
    fn win_rates_drawn_anew_spread_as_shares_do() {
        let mut battles = Battles::new();
        for i in 0..400 {
            let outcome = if i % 4 == 0 { Outcome::ModelB } else { Outcome::ModelA };
            battles.push(&NamedBattle::new("x", "y", outcome)).unwrap();
        }
        let bootstrap = Bootstrap { replicates: 400, ..Bootstrap::default() };
        let rates = bootstrap.win_rates(&battles, TieRule::Half).unwrap();
        let x = rates.intervals()[0];
        // Two standard errors of a share of three quarters in 400: 2 · √(0.1875 / 400) = 0.043.
        assert!(x.value == 0.75 && (x.high - x.low - 0.085).abs() < 0.012, "{x:?}");
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[7.0], 0.3), 7.0);
    }
}
