//! How often intervals hold the truth (arXiv 2403.04132, Figure 6).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::world::World;
use crate::bradley_terry::BradleyTerry;
use crate::counts::PairCounts;
use crate::error::RatingsError;
use crate::scale::Z95;

/// What came of some trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Models.
    pub models: usize,
    /// Votes of each trial.
    pub votes: usize,
    /// Trials.
    pub trials: usize,
    /// Share of intervals, over models and trials, that hold the truth.
    pub covered: f64,
    /// Their mean width, in points.
    pub width: f64,
}

/// Sandwich intervals of 95 % in `trials` arenas of the paper's kind: strengths drawn from
/// Beta(½, ½) in log-odds, pairs drawn evenly, every vote careful. `ties` and `position` are those of
/// [`World`].
///
/// # Errors
/// As [`BradleyTerry::sandwich`]: too few votes, or models.
pub fn coverage(
    models: usize,
    votes: usize,
    trials: usize,
    (ties, position): (f64, f64),
    seed: u64,
) -> Result<Coverage, RatingsError> {
    if models < 2 || votes == 0 || trials == 0 {
        let found = format!("{models} models, {votes} votes, {trials} trials");
        return Err(RatingsError::setting("coverage", found, "at least two models, a vote and a trial"));
    }
    let model = BradleyTerry::default();
    let one = |trial: u64| -> Result<(usize, f64), RatingsError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(trial);
        // Both parameters are one half, which is in range.
        let strengths = Beta::new(0.5, 0.5).map_or_else(
            |_| vec![0.0; models],
            |beta| (0..models).map(|_| beta.sample(&mut rng)).collect::<Vec<f64>>(),
        );
        let world = World { strengths, ties, position };
        let truth = world.ratings(&model)?;
        let names = (0..models).map(|m| m.to_string()).collect();
        let counts = PairCounts::tally(names, world.even_votes(votes, &mut rng))?;
        let (_, intervals) = model.sandwich(&counts, Z95)?;
        let held = intervals.iter().zip(&truth).filter(|(i, t)| (i.low..=i.high).contains(*t)).count();
        Ok((held, intervals.iter().map(|i| i.high - i.low).sum()))
    };
    let found: Result<Vec<(usize, f64)>, RatingsError> =
        (0..trials as u64).into_par_iter().map(one).collect();
    let found = found?;
    let all = (models * trials) as f64;
    Ok(Coverage {
        models,
        votes,
        trials,
        covered: found.iter().map(|(held, _)| *held as f64).sum::<f64>() / all,
        width: found.iter().map(|(_, width)| width).sum::<f64>() / all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth() {
        // 800 intervals: a standard error of 0.008.
        let plain = coverage(8, 4000, 100, (0.0, 0.0), 1).unwrap();
        assert!((plain.covered - 0.95).abs() < 0.025, "{plain:?}");
        let tied = coverage(8, 4000, 100, (0.6, 0.3), 1).unwrap();
        // Half a win has less variance than a whole one or none.
        assert!((tied.covered - 0.95).abs() < 0.025 && tied.width < plain.width * 1.3, "{tied:?}");
        assert_eq!(coverage(8, 4000, 100, (0.0, 0.0), 1).unwrap(), plain);
        assert!(coverage(1, 10, 1, (0.0, 0.0), 1).is_err());
    }
}
