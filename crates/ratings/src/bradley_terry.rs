//! Bradley–Terry ratings by maximum likelihood.

use serde::{Deserialize, Serialize};

use crate::battles::unknown_model;
use crate::counts::PairCounts;
use crate::error::RatingsError;
use crate::graph::{Comparisons, Standing, comparisons, variance_from};
use crate::likelihood::Likelihood;
use crate::linear::{Cholesky, sandwich};
use crate::newton::Maximum;
use crate::scale::{Interval, RatingScale};
use crate::ties::Ties;

/// A model whose rating is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Its name.
    pub model: String,
    /// Its rating.
    pub rating: f64,
}

/// P(i beats j) = πᵢ / (πᵢ + πⱼ) (Bradley and Terry 1952), fitted by Newton's method on counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BradleyTerry {
    /// The scale of the ratings.
    pub scale: RatingScale,
    /// What a tie says.
    pub ties: Ties,
    /// Weight of the prior −ridge/2 · Σ(ln πᵢ)², above zero. The default moves a rating that the
    /// battles bound by less than 10⁻⁴ points, and keeps every other finite.
    pub ridge: f64,
    /// Shifts all ratings so that this model has this one; else the mean of those that the battles
    /// bound is `scale.initial`.
    pub anchor: Option<Anchor>,
}

impl Default for BradleyTerry {
    fn default() -> Self {
        Self { scale: RatingScale::default(), ties: Ties::Half, ridge: 1e-6, anchor: None }
    }
}

/// Fitted ratings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratings {
    /// Model names by index.
    pub models: Vec<String>,
    /// Their ratings.
    pub ratings: Vec<f64>,
    /// Whether the battles bound each rating; where not, the prior does.
    pub standing: Vec<Standing>,
    /// The connected part of the comparison graph each model belongs to, from 0.
    pub part: Vec<u32>,
    /// Number of such parts; ratings of models in different parts cannot be compared.
    pub parts: usize,
    /// ν of Rao and Kupper's or of Davidson's ties, where it was fitted.
    pub tie_parameter: Option<f64>,
    /// Log-likelihood at the maximum, the prior's share included.
    pub log_likelihood: f64,
    /// Newton steps taken.
    pub steps: usize,
    /// Whether the last step was below 10⁻¹⁰.
    pub converged: bool,
}

impl Ratings {
    /// Indices from the highest rating to the lowest.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.ratings.len()).collect();
        order.sort_by(|&i, &j| self.ratings[j].total_cmp(&self.ratings[i]));
        order
    }
}

impl BradleyTerry {
    /// The ratings that make the battles most likely.
    ///
    /// # Errors
    /// [`RatingsError::Setting`] for a ridge or scale out of range, [`RatingsError::UnknownModel`]
    /// for an anchor without battles, [`RatingsError::Empty`] when leaving ties out leaves nothing.
    pub fn fit(&self, counts: &PairCounts) -> Result<Ratings, RatingsError> {
        self.check(counts)?;
        let weights = self.weights(counts.weights());
        if weights.iter().flatten().all(|weight| *weight == 0.0) {
            let reason = "what is not left out as a tie has no weight".to_owned();
            return Err(RatingsError::Empty { origin: "ratings".to_owned(), reason });
        }
        Ok(self.fit_weights(counts, &weights, None).1)
    }

    /// The ratings with intervals by the sandwich estimator, which holds where the model is only
    /// an approximation and where ties count as halves: `value ± z` robust standard errors.
    ///
    /// Without an anchor the interval is that of the distance to the mean of the bounded models in the
    /// model's connected part; with one, of the distance to the anchor.
    ///
    /// # Errors
    /// As [`BradleyTerry::fit`].
    pub fn sandwich(&self, counts: &PairCounts, z: f64) -> Result<(Ratings, Vec<Interval>), RatingsError> {
        self.check(counts)?;
        let weights = self.weights(counts.weights());
        let (found, comparisons) = self.maximum(counts, &weights, None);
        let ratings = self.rated(counts, &found, &comparisons);
        let likelihood = self.likelihood(counts, &weights, &comparisons);
        let n = likelihood.unknowns();
        let Some(factor) = Cholesky::factor(found.local.information, n) else {
            let all = ratings.ratings.iter();
            let open = all.map(|&value| Interval { value, low: f64::NEG_INFINITY, high: f64::INFINITY });
            let open = open.collect();
            return Ok((ratings, open));
        };
        let covariance = sandwich(&factor.inverse(), &likelihood.score_products(&found.at), n);
        let anchor = self.anchor_index(counts)?;
        let frames = comparisons.frames();
        let variance = |i: usize| match anchor {
            Some(a) => covariance[i * n + i] + covariance[a * n + a] - 2.0 * covariance[i * n + a],
            None => variance_from(&covariance, n, i, frames[comparisons.part[i] as usize].as_ref()),
        };
        let points = self.scale.points_per_nat();
        let intervals = ratings
            .ratings
            .iter()
            .enumerate()
            .map(|(i, &rating)| Interval::normal(rating, points * variance(i).max(0.0).sqrt(), z))
            .collect();
        Ok((ratings, intervals))
    }

    pub(crate) fn check(&self, counts: &PairCounts) -> Result<(), RatingsError> {
        self.scale.check()?;
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(RatingsError::setting("ridge", self.ridge, "a positive number"));
        }
        self.anchor_index(counts).map(|_| ())
    }

    /// Weights of outcomes under this rule for ties.
    pub(crate) fn weights(&self, mut weights: Vec<[f64; 3]>) -> Vec<[f64; 3]> {
        if self.ties == Ties::Skip {
            for weight in &mut weights {
                weight[2] = 0.0;
            }
        }
        weights
    }

    /// Strengths in nats and ratings for the given weights; `start` is a point near the maximum.
    pub(crate) fn fit_weights(
        &self,
        counts: &PairCounts,
        weights: &[[f64; 3]],
        start: Option<&[f64]>,
    ) -> (Vec<f64>, Ratings) {
        let (found, comparisons) = self.maximum(counts, weights, start);
        let ratings = self.rated(counts, &found, &comparisons);
        (found.at, ratings)
    }

    /// Where these weights are most likely, and what their graph says.
    fn maximum(
        &self,
        counts: &PairCounts,
        weights: &[[f64; 3]],
        start: Option<&[f64]>,
    ) -> (Maximum, Comparisons) {
        let comparisons = comparisons(counts.models().len(), &counts.scored(weights));
        (self.likelihood(counts, weights, &comparisons).maximum(start), comparisons)
    }

    /// The ratings at the maximum.
    fn rated(&self, counts: &PairCounts, found: &Maximum, comparisons: &Comparisons) -> Ratings {
        // The tie parameter, where it was fitted, is the last unknown.
        let tie_parameter = found.at.get(counts.models().len()).map(|eta| eta.exp());
        Ratings {
            models: counts.models().to_vec(),
            ratings: self.ratings(counts.models(), &found.at, comparisons),
            standing: comparisons.standing.clone(),
            part: comparisons.part.clone(),
            parts: comparisons.parts,
            tie_parameter,
            log_likelihood: found.local.value,
            steps: found.steps,
            converged: found.converged,
        }
    }

    fn likelihood<'a>(
        &self,
        counts: &'a PairCounts,
        weights: &'a [[f64; 3]],
        comparisons: &'a Comparisons,
    ) -> Likelihood<'a> {
        Likelihood::new(counts, weights, self.ties, self.ridge, comparisons)
    }

    fn anchor_index(&self, counts: &PairCounts) -> Result<Option<usize>, RatingsError> {
        let Some(anchor) = &self.anchor else { return Ok(None) };
        if !anchor.rating.is_finite() {
            return Err(RatingsError::setting("anchor", anchor.rating, "a finite rating"));
        }
        let index = counts.models().iter().position(|model| *model == anchor.model);
        index.map(Some).ok_or_else(|| unknown_model(&anchor.model, counts.models()))
    }

    /// Strengths as points: the bounded models of each connected part have the mean `initial`, but
    /// for the anchor's part, which is shifted as a whole.
    fn ratings(&self, models: &[String], strengths: &[f64], comparisons: &Comparisons) -> Vec<f64> {
        let points = self.scale.points_per_nat();
        let shift = self.anchor.as_ref().and_then(|anchor| {
            let index = models.iter().position(|model| *model == anchor.model)?;
            Some((comparisons.part[index], anchor.rating - points * strengths[index]))
        });
        // The strengths of a whole part sum to zero by themselves.
        let mean = |frame: &Vec<usize>| frame.iter().map(|&m| strengths[m]).sum::<f64>() / frame.len() as f64;
        let offset = |part: u32, frame: &Option<Vec<usize>>| match shift {
            Some((anchored, offset)) if anchored == part => offset,
            _ => self.scale.initial - frame.as_ref().map_or(0.0, |frame| points * mean(frame)),
        };
        let offsets: Vec<f64> =
            (0..).zip(&comparisons.frames()).map(|(part, frame)| offset(part, frame)).collect();
        let rated = strengths.iter().zip(&comparisons.part);
        rated.map(|(s, &part)| points * s + offsets[part as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::{Battles, NamedBattle, Outcome};

    fn counts(battles: &[(&str, &str, Outcome, usize)]) -> PairCounts {
        let mut all = Battles::new();
        for &(a, b, outcome, times) in battles {
            for _ in 0..times {
                all.push(&NamedBattle::new(a, b, outcome)).unwrap();
            }
        }
        PairCounts::new(&all).unwrap()
    }

    use Outcome::{ModelA, ModelB, Tie};

    #[test]
    fn two_models_differ_by_the_log_of_their_odds() {
        // 30 wins against 10: odds of three to one, 400 log₁₀ 3 points.
        let fitted = BradleyTerry::default().fit(&counts(&[("x", "y", ModelA, 30), ("y", "x", ModelA, 10)]));
        let fitted = fitted.unwrap();
        assert!((fitted.ratings[0] - fitted.ratings[1] - 400.0 * 3f64.log10()).abs() < 1e-4);
        assert!((fitted.ratings[0] + fitted.ratings[1] - 2000.0).abs() < 1e-9);
        assert!(fitted.converged && fitted.standing == [Standing::Bounded; 2]);
    }

    #[test]
    fn ties_move_models_together_or_are_left_out() {
        let battles = counts(&[("x", "y", ModelA, 20), ("x", "y", ModelB, 10), ("x", "y", Tie, 30)]);
        let gap = |ties| {
            let fitted = BradleyTerry { ties, ..BradleyTerry::default() }.fit(&battles).unwrap();
            (fitted.ratings[0] - fitted.ratings[1], fitted.tie_parameter)
        };
        assert!((gap(Ties::Half).0 - 400.0 * (35f64 / 25.0).log10()).abs() < 1e-4);
        assert!((gap(Ties::Skip).0 - 400.0 * 2f64.log10()).abs() < 1e-4);
        // Two models, two unknowns: the fitted probabilities are the observed shares, so with
        // odds e^(d−η) = 1/2 and e^(−d−η) = 1/5: e^(2d) = 5/2, ν² = 10.
        let (d, nu) = gap(Ties::RaoKupper);
        assert!((d - 200.0 * 2.5f64.log10()).abs() < 1e-3, "{d}");
        assert!((nu.unwrap() - 10f64.sqrt()).abs() < 1e-5, "{nu:?}");
    }

    #[test]
    fn an_anchor_shifts_every_rating() {
        let battles = counts(&[("x", "y", ModelA, 30), ("x", "y", ModelB, 10)]);
        let anchor = Some(Anchor { model: "y".into(), rating: 800.0 });
        let model = BradleyTerry { anchor, ..BradleyTerry::default() };
        let (fitted, intervals) = model.sandwich(&battles, 1.96).unwrap();
        assert!((fitted.ratings[1] - 800.0).abs() < 1e-9);
        assert!((fitted.ratings[0] - 800.0 - 400.0 * 3f64.log10()).abs() < 1e-4);
        assert!(intervals[1].high - intervals[1].low < 1e-6, "the anchor is known");
        // The log-odds' standard error is √(1/30 + 1/10).
        let half = 1.96 * model.scale.points_per_nat() * (1.0 / 30.0 + 0.1f64).sqrt();
        assert!((intervals[0].high - intervals[0].value - half).abs() < 1e-3);
        let anchor = Some(Anchor { model: "z".into(), rating: 800.0 });
        let error = BradleyTerry { anchor, ..BradleyTerry::default() }.fit(&battles).unwrap_err();
        assert!(error.to_string().contains("`z`; models: x, y"), "{error}");
    }

    #[test]
    fn one_lone_battle_gives_finite_flagged_ratings() {
        for ties in [Ties::Half, Ties::RaoKupper, Ties::Skip] {
            let model = BradleyTerry { ties, ..BradleyTerry::default() };
            let (fitted, intervals) = model.sandwich(&counts(&[("x", "y", ModelA, 1)]), 1.96).unwrap();
            assert_eq!(fitted.standing, [Standing::NeverLost, Standing::NeverWon]);
            let gap = fitted.ratings[0] - fitted.ratings[1];
            assert!(fitted.converged && gap > 1000.0 && gap < 10_000.0, "{gap}");
            assert!(intervals.iter().all(|i| i.low.is_finite() && i.high.is_finite()));
        }
    }

    #[test]
    fn a_lone_tie_leaves_two_models_equal() {
        for ties in [Ties::Half, Ties::RaoKupper] {
            let model = BradleyTerry { ties, ..BradleyTerry::default() };
            let fitted = model.fit(&counts(&[("x", "y", Tie, 1)])).unwrap();
            assert!((fitted.ratings[0] - fitted.ratings[1]).abs() < 1e-9);
            assert_eq!(fitted.standing, [Standing::Bounded; 2]);
        }
        let skip = BradleyTerry { ties: Ties::Skip, ..BradleyTerry::default() };
        assert!(matches!(skip.fit(&counts(&[("x", "y", Tie, 1)])), Err(RatingsError::Empty { .. })));
    }

    #[test]
    fn parts_without_a_common_battle_have_the_same_mean_and_are_told() {
        let battles =
            [("x", "y", ModelA, 3), ("x", "y", ModelB, 1), ("u", "v", ModelA, 1), ("u", "v", ModelB, 2)];
        let fitted = BradleyTerry::default().fit(&counts(&battles)).unwrap();
        assert_eq!((fitted.parts, fitted.part.clone()), (2, vec![0, 0, 1, 1]));
        assert!((fitted.ratings[0] + fitted.ratings[1] - 2000.0).abs() < 1e-9);
        assert!((fitted.ratings[2] + fitted.ratings[3] - 2000.0).abs() < 1e-9);
        assert!((fitted.ratings[3] - fitted.ratings[2] - 400.0 * 2f64.log10()).abs() < 1e-3);
    }

    #[test]
    fn a_model_that_never_lost_moves_no_other() {
        let pair = [("x", "y", ModelA, 30), ("x", "y", ModelB, 10)];
        let plain = BradleyTerry::default().sandwich(&counts(&pair), 1.96).unwrap().1;
        let with = [pair[0], pair[1], ("w", "x", ModelA, 2)];
        let (fitted, intervals) = BradleyTerry::default().sandwich(&counts(&with), 1.96).unwrap();
        assert_eq!(fitted.standing, [Standing::Bounded, Standing::Bounded, Standing::NeverLost]);
        assert!(fitted.ratings[2] > 2000.0);
        for (plain, with) in plain.iter().zip(&intervals) {
            assert!(
                (plain.value - with.value).abs() < 0.01 && (plain.low - with.low).abs() < 0.01,
                "{with:?}"
            );
        }
    }

    #[test]
    fn a_stronger_prior_draws_ratings_together() {
        let battles = counts(&[("x", "y", ModelA, 30), ("x", "y", ModelB, 10)]);
        let gap = |ridge| {
            let fitted = BradleyTerry { ridge, ..BradleyTerry::default() }.fit(&battles).unwrap();
            fitted.ratings[0] - fitted.ratings[1]
        };
        assert!(gap(10.0) < gap(1.0) && gap(1.0) < gap(1e-6));
        let none = BradleyTerry { ridge: 0.0, ..BradleyTerry::default() };
        assert!(none.fit(&battles).unwrap_err().to_string().contains("`ridge` is 0"));
    }
}
