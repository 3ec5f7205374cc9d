//! Vicuna's first score: the ratio of two models' grades.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judgment::{JudgedBy, Judgment};
use super::resample::{Estimated, Resampling};
use super::verdict::Verdict;

/// A model's grades over the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRatio {
    /// The model.
    pub model: String,
    /// The baseline.
    pub baseline: String,
    /// Sum of the model's grades over the sum of the baseline's.
    pub ratio: Estimated,
    /// Who gave the grades.
    pub judged_by: JudgedBy,
}

/// Vicuna's first score: the sum of a model's grades over the sum of the baseline's (there
/// ChatGPT's), over the turns of questions for which both have a grade; best first.
///
/// Grades are those of single answers, or of two at once: then those that the model and the
/// baseline got side by side, averaged over the orders.
pub fn score_ratios(rows: &[Judgment], baseline: &str, resampling: &Resampling) -> Vec<ScoreRatio> {
    // Model → question and turn → sum and number of the model's grades, and of the baseline's.
    type Sums = [(f64, f64); 2];
    let mut models: BTreeMap<&str, BTreeMap<(&str, u32), Sums>> = BTreeMap::new();
    let mut alone: BTreeMap<(&str, u32), (f64, f64)> = BTreeMap::new();
    let add = |sum: &mut (f64, f64), grade: f64| {
        sum.0 += grade;
        sum.1 += 1.0;
    };
    for row in rows {
        let key = (row.question.as_str(), row.turn);
        match (row.verdict, &row.opponent) {
            (Some(Verdict::Rating(grade)), None) if row.model == baseline => {
                add(alone.entry(key).or_default(), grade);
            }
            (Some(Verdict::Rating(grade)), None) => {
                add(&mut models.entry(&row.model).or_default().entry(key).or_default()[0], grade);
            }
            (Some(Verdict::Ratings(first, second)), Some(opponent)) => {
                let (model, own, other) = if row.model == baseline {
                    (opponent, second, first)
                } else if opponent == baseline {
                    (&row.model, first, second)
                } else {
                    continue;
                };
                let sums = models.entry(model).or_default().entry(key).or_default();
                add(&mut sums[0], own);
                add(&mut sums[1], other);
            }
            _ => {}
        }
    }
    let mut ratios = Vec::new();
    for (model, keys) in models {
        let mut questions: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (key, [own, beside]) in keys {
            let other = if beside.1 > 0.0 { beside } else { alone.get(&key).copied().unwrap_or_default() };
            if other.1 > 0.0 {
                let question = questions.entry(key.0).or_default();
                question.0 += own.0 / own.1;
                question.1 += other.0 / other.1;
            }
        }
        let Some(ratio) = resampling.ratio(&questions.into_values().collect::<Vec<_>>()) else { continue };
        let names = [model, baseline];
        let behind = rows
            .iter()
            .filter(|row| names.contains(&row.model.as_str()))
            .filter(|row| row.opponent.as_deref().is_none_or(|opponent| names.contains(&opponent)));
        ratios.push(ScoreRatio {
            model: model.to_owned(),
            baseline: baseline.to_owned(),
            ratio,
            judged_by: JudgedBy::of(behind),
        });
    }
    ratios.sort_by(|a, b| b.ratio.value.total_cmp(&a.ratio.value));
    ratios
}
