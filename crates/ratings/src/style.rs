//! Bradley–Terry ratings that control for style: how long an answer is and how it is laid out
//! (Li et al. 2024, "Does style matter?", the arena's style control).

use serde::{Deserialize, Serialize};

use crate::battles::{Battle, Battles, Style};
use crate::bradley_terry::{BradleyTerry, Ratings};
use crate::counts::PairCounts;
use crate::error::RatingsError;
use crate::graph::{Comparisons, Standing, comparisons, variance_from};
use crate::linear::{Cholesky, sandwich};
use crate::newton::{Local, log_sigmoid, maximise};
use crate::scale::Interval;
use crate::ties::Ties;

/// Number of style features.
const FEATURES: usize = 4;
/// Their names, in the order of the coefficients.
pub const FEATURE_NAMES: [&str; FEATURES] = ["length", "headers", "lists", "bold"];

/// Ratings at equal style, and what style is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StyleControlled {
    /// The ratings; `log_likelihood` and the rest are those of the joint fit.
    pub ratings: Ratings,
    /// Sandwich intervals of the ratings.
    pub intervals: Vec<Interval>,
    /// Points that one standard deviation of each feature's difference is worth, with sandwich
    /// intervals, in the order of [`FEATURE_NAMES`].
    pub coefficients: [Interval; FEATURES],
    /// That standard deviation: the root mean square over battles.
    pub spread: [f64; FEATURES],
}

impl Style {
    /// Counts the Markdown of a text: headers, list items, bold passages; the length is in characters.
    pub fn of_text(text: &str) -> Self {
        let mut style = Style { length: text.chars().count() as f32, ..Style::default() };
        let mut in_code = false;
        for line in text.lines() {
            let line = line.trim_start();
            if line.starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            let hashes = line.len() - line.trim_start_matches('#').len();
            if (1..=6).contains(&hashes) && line[hashes..].starts_with(' ') {
                style.headers += 1.0;
            }
            let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let numbered =
                digits > 0 && (line[digits..].starts_with(". ") || line[digits..].starts_with(") "));
            if numbered || ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark)) {
                style.lists += 1.0;
            }
            style.bold += (line.matches("**").count() / 2 + line.matches("__").count() / 2) as f32;
        }
        style
    }

    fn features(&self) -> [f64; FEATURES] {
        [self.length, self.headers, self.lists, self.bold].map(f64::from)
    }
}

impl BradleyTerry {
    /// Fits ratings and style coefficients together: P(a beats b) = σ(θ_a − θ_b + β·x), where x is
    /// (f_a − f_b) / (f_a + f_b) of each feature f (0 where neither has any), divided by its root
    /// mean square. The arena also subtracts the mean of x; here x changes its sign with the order
    /// of the answers, so that the fit does not depend on it.
    ///
    /// Ties are halves or left out.
    ///
    /// # Errors
    /// As [`BradleyTerry::fit`]; [`RatingsError::NoStyle`] when a battle carries no style;
    /// [`RatingsError::Setting`] for Rao and Kupper's ties.
    pub fn fit_with_style(&self, battles: &Battles, z: f64) -> Result<StyleControlled, RatingsError> {
        Ok(self.style_fit(battles, z)?.0)
    }

    /// [`BradleyTerry::fit_with_style`] with what a bootstrap starts from.
    pub(super) fn style_fit(
        &self,
        battles: &Battles,
        z: f64,
    ) -> Result<(StyleControlled, StyleFit), RatingsError> {
        let counts = PairCounts::new(battles)?;
        self.check(&counts)?;
        battles.one_by_one("style control")?;
        if let Some(name) = self.ties.model_name() {
            return Err(RatingsError::setting("ties", name, "half or skip with style control"));
        }
        let (rows, spread) = self.rows(battles)?;
        let weights = self.weights(counts.weights());
        if rows.is_empty() {
            let reason = "every battle is a tie".to_owned();
            return Err(RatingsError::Empty { origin: "style-controlled ratings".to_owned(), reason });
        }
        let models = counts.models().len();
        let comparisons = comparisons(models, &counts.scored(&weights));
        let problem = Problem { models, rows: &rows, ridge: self.ridge, part: &comparisons.part };
        let found = maximise(vec![0.0; models + FEATURES], |x| problem.local(x));
        let (_, plain) = self.fit_weights(&counts, &weights, None);
        let n = models + FEATURES;
        let covariance = Cholesky::factor(found.local.information.clone(), n)
            .map(|factor| sandwich(&factor.inverse(), &problem.score_products(&found.at), n));
        let ratings = Ratings {
            ratings: self.points(&counts, &found.at[..models], &comparisons),
            log_likelihood: found.local.value,
            steps: found.steps,
            converged: found.converged,
            ..plain
        };
        let points = self.scale.points_per_nat();
        let anchor = self.anchor.as_ref().and_then(|a| ratings.models.iter().position(|m| *m == a.model));
        let frames = comparisons.frames();
        let error = |i: usize, against: Option<usize>| match (&covariance, against) {
            (None, _) => f64::INFINITY,
            (Some(c), None) => {
                let frame = comparisons.part.get(i).and_then(|&part| frames[part as usize].as_ref());
                points * variance_from(c, n, i, frame).max(0.0).sqrt()
            }
            (Some(c), Some(a)) => points * (c[i * n + i] + c[a * n + a] - 2.0 * c[i * n + a]).max(0.0).sqrt(),
        };
        let rated = ratings.ratings.iter().enumerate();
        let fitted = StyleControlled {
            intervals: rated.map(|(i, &r)| Interval::normal(r, error(i, anchor), z)).collect(),
            coefficients: std::array::from_fn(|k| {
                Interval::normal(points * found.at[models + k], error(models + k, None), z)
            }),
            ratings,
            spread,
        };
        Ok((fitted, StyleFit { counts, rows, at: found.at }))
    }

    /// Ratings and standings for rows drawn anew from those of `fit`, whose maximum is near.
    pub(super) fn style_refit(&self, fit: &StyleFit, rows: &[StyleRow]) -> (Vec<f64>, Vec<Standing>) {
        let models = fit.counts.models().len();
        let scored = |row: &StyleRow| {
            let (a, b) = (row.a as u32, row.b as u32);
            [(row.score > 0.0).then_some((a, b)), (row.score < 1.0).then_some((b, a))]
        };
        let scored: Vec<(u32, u32)> = rows.iter().flat_map(scored).flatten().collect();
        let comparisons = comparisons(models, &scored);
        let problem = Problem { models, rows, ridge: self.ridge, part: &comparisons.part };
        let found = maximise(fit.at.clone(), |x| problem.local(x));
        (self.points(&fit.counts, &found.at[..models], &comparisons), comparisons.standing)
    }

    /// Strengths as points, the bounded models of each part around `initial`, the anchor's part shifted.
    fn points(&self, counts: &PairCounts, strengths: &[f64], comparisons: &Comparisons) -> Vec<f64> {
        let points = self.scale.points_per_nat();
        let mut offsets = vec![self.scale.initial; comparisons.parts];
        for (part, (offset, frame)) in offsets.iter_mut().zip(comparisons.frames()).enumerate() {
            let all = || (0..strengths.len()).filter(|&m| comparisons.part[m] as usize == part).collect();
            let frame: Vec<usize> = frame.unwrap_or_else(all);
            let sum: f64 = frame.iter().map(|&m| strengths[m]).sum();
            *offset -= points * sum / frame.len() as f64;
        }
        if let Some(anchor) = &self.anchor
            && let Some(index) = counts.models().iter().position(|model| *model == anchor.model)
        {
            offsets[comparisons.part[index] as usize] = anchor.rating - points * strengths[index];
        }
        let rated = strengths.iter().zip(&comparisons.part);
        rated.map(|(s, &part)| points * s + offsets[part as usize]).collect()
    }

    /// The battles that count, with the spread of each feature's difference.
    fn rows(&self, battles: &Battles) -> Result<(Vec<StyleRow>, [f64; FEATURES]), RatingsError> {
        let without = battles.rows().iter().filter(|row| row.style.is_none()).count();
        if without > 0 {
            return Err(RatingsError::NoStyle { without, battles: battles.rows().len() });
        }
        let skips = |row: &Battle| self.ties == Ties::Skip && row.outcome.score() == 0.5;
        let mut rows: Vec<StyleRow> = battles
            .rows()
            .iter()
            .filter(|row| !skips(row))
            .filter_map(|row| row.style.map(|style| StyleRow::new(row, &style)))
            .collect();
        let spread = std::array::from_fn(|k| {
            let squares: f64 = rows.iter().map(|row| row.x[k] * row.x[k]).sum();
            (squares / rows.len().max(1) as f64).sqrt()
        });
        for row in &mut rows {
            for (x, spread) in row.x.iter_mut().zip(&spread) {
                // A feature that never differs explains nothing.
                *x = if *spread > 0.0 { *x / spread } else { 0.0 };
            }
        }
        Ok((rows, spread))
    }
}

/// Battles and the maximum of their joint fit.
pub(super) struct StyleFit {
    counts: PairCounts,
    pub(super) rows: Vec<StyleRow>,
    at: Vec<f64>,
}

/// A battle as the joint fit sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StyleRow {
    a: usize,
    b: usize,
    pub(super) question: Option<u32>,
    score: f64,
    x: [f64; FEATURES],
}

impl StyleRow {
    fn new(row: &Battle, style: &[Style; 2]) -> Self {
        let (a, b) = (style[0].features(), style[1].features());
        let x = std::array::from_fn(|k| {
            let sum = a[k] + b[k];
            if sum > 0.0 { (a[k] - b[k]) / sum } else { 0.0 }
        });
        Self { a: row.a as usize, b: row.b as usize, question: row.question, score: row.outcome.score(), x }
    }
}

struct Problem<'a> {
    models: usize,
    rows: &'a [StyleRow],
    ridge: f64,
    part: &'a [u32],
}

impl Problem<'_> {
    /// The difference of a row's two sides, and its few nonzero columns with their values.
    fn columns(&self, row: &StyleRow) -> [(usize, f64); 2 + FEATURES] {
        let m = self.models;
        let [length, headers, lists, bold] = row.x;
        [(row.a, 1.0), (row.b, -1.0), (m, length), (m + 1, headers), (m + 2, lists), (m + 3, bold)]
    }

    fn local(&self, at: &[f64]) -> Local {
        let n = at.len();
        let mut local = Local { value: 0.0, gradient: vec![0.0; n], information: vec![0.0; n * n] };
        for row in self.rows {
            let columns = self.columns(row);
            let u: f64 = columns.iter().map(|&(k, value)| at[k] * value).sum();
            let (log, q) = log_sigmoid(u);
            local.value += log - (1.0 - row.score) * u;
            let slope = row.score - (1.0 - q);
            let curvature = q * (1.0 - q);
            for &(k, left) in &columns {
                local.gradient[k] += slope * left;
                let line = &mut local.information[k * n..(k + 1) * n];
                for &(l, right) in &columns {
                    line[l] += curvature * left * right;
                }
            }
        }
        local.add_prior(self.ridge, at);
        // As in the plain likelihood: holds the mean of each part without moving the maximum.
        let trace: f64 = (0..self.models).map(|k| local.information[k * n + k]).sum();
        for row in 0..self.models {
            for column in 0..self.models {
                if self.part[row] == self.part[column] {
                    local.information[row * n + column] += trace / self.models as f64;
                }
            }
        }
        local
    }

    fn score_products(&self, at: &[f64]) -> Vec<f64> {
        let n = at.len();
        let mut sum = vec![0.0; n * n];
        for row in self.rows {
            let columns = self.columns(row);
            let u: f64 = columns.iter().map(|&(k, value)| at[k] * value).sum();
            let slope = row.score - (1.0 - log_sigmoid(u).1);
            for &(k, left) in &columns {
                for &(l, right) in &columns {
                    sum[k * n + l] += slope * slope * left * right;
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::{NamedBattle, Outcome};

    /// Two equal models; the longer answer wins three times in four, and x is longer in most battles.
    fn long_winded() -> Battles {
        let mut battles = Battles::new();
        for i in 0..400 {
            let x_longer = i % 10 < 8;
            let longer_wins = (i / 10) % 4 != 0;
            let outcome = if x_longer == longer_wins { Outcome::ModelA } else { Outcome::ModelB };
            let style = |longer| Style { length: if longer { 300.0 } else { 100.0 }, ..Style::default() };
            let style = Some([style(x_longer), style(!x_longer)]);
            battles.push(&NamedBattle { style, ..NamedBattle::new("x", "y", outcome) }).unwrap();
        }
        battles
    }

    #[test]
    fn what_length_explains_is_not_credited_to_the_model() {
        let battles = long_winded();
        let model = BradleyTerry::default();
        let plain = model.fit(&PairCounts::new(&battles).unwrap()).unwrap();
        assert!(plain.ratings[0] - plain.ratings[1] > 80.0);
        let controlled = model.fit_with_style(&battles, 1.96).unwrap();
        assert!(controlled.ratings.converged);
        assert!((controlled.ratings.ratings[0] - controlled.ratings.ratings[1]).abs() < 1e-3);
        // |x| is ½ everywhere, so one spread of length is worth the log-odds of three to one.
        assert!((controlled.spread[0] - 0.5).abs() < 1e-6);
        let length = controlled.coefficients[0];
        assert!((length.value - 400.0 * 3f64.log10()).abs() < 1e-2, "{length:?}");
        assert!(length.low > 0.0 && controlled.coefficients[1].value == 0.0);
    }

    #[test]
    fn battles_without_style_are_counted() {
        let mut battles = long_winded();
        battles.push(&NamedBattle::new("x", "y", Outcome::Tie)).unwrap();
        let error = BradleyTerry::default().fit_with_style(&battles, 1.96).unwrap_err();
        assert!(error.to_string().starts_with("1 of 401 battles"), "{error}");
    }

    #[test]
    fn markdown_is_counted_outside_code() {
        let text =
            "# Title\n\n1. one **bold**\n2) two\n- three __strong__ **too**\n\n```\n# no\n- no\n```\n#tag";
        let style = Style::of_text(text);
        assert_eq!((style.headers, style.lists, style.bold), (1.0, 3.0, 3.0));
        assert_eq!(style.length, text.chars().count() as f32);
    }
}
