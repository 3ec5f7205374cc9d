//! MT-bench's score: the mean grade over questions and turns, by turn and by category.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judgment::{JudgedBy, Judgment};
use super::resample::{Estimated, Resampling};
use super::verdict::Verdict;

/// A model's grades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelScore {
    /// The model.
    pub model: String,
    /// Mean of all grades, 1 to 10; `None` where not one was read.
    pub overall: Option<Estimated>,
    /// Mean grade by turn.
    pub turns: BTreeMap<u32, Estimated>,
    /// Mean grade by category.
    pub categories: BTreeMap<String, Estimated>,
    /// Grades that were read.
    pub grades: usize,
    /// Judgments without a grade; they count nowhere.
    pub errors: usize,
    /// Who gave the grades.
    pub judged_by: JudgedBy,
}

/// The scores of every model that was graded alone, best first.
pub fn scores(rows: &[Judgment], resampling: &Resampling) -> Vec<ModelScore> {
    let mut by_model: BTreeMap<&str, Vec<&Judgment>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.opponent.is_none()) {
        by_model.entry(&row.model).or_default().push(row);
    }
    let mut scores: Vec<ModelScore> =
        by_model.into_iter().map(|(model, rows)| score(model, &rows, resampling)).collect();
    let value = |score: &ModelScore| score.overall.map_or(f64::NEG_INFINITY, |overall| overall.value);
    scores.sort_by(|a, b| value(b).total_cmp(&value(a)));
    scores
}

fn score(model: &str, rows: &[&Judgment], resampling: &Resampling) -> ModelScore {
    let mean = |keep: &dyn Fn(&Judgment) -> bool| {
        let mut questions: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for row in rows.iter().filter(|row| keep(row)) {
            if let Some(Verdict::Rating(grade)) = row.verdict {
                let question = questions.entry(&row.question).or_default();
                question.0 += grade;
                question.1 += 1.0;
            }
        }
        resampling.ratio(&questions.into_values().collect::<Vec<_>>())
    };
    let mut turns = BTreeMap::new();
    let mut categories = BTreeMap::new();
    for row in rows {
        if !turns.contains_key(&row.turn)
            && let Some(estimated) = mean(&|other| other.turn == row.turn)
        {
            turns.insert(row.turn, estimated);
        }
        if !categories.contains_key(&row.category)
            && let Some(estimated) = mean(&|other| other.category == row.category)
        {
            categories.insert(row.category.clone(), estimated);
        }
    }
    let errors = rows.iter().filter(|row| row.verdict.is_none()).count();
    ModelScore {
        model: model.to_owned(),
        overall: mean(&|_| true),
        turns,
        categories,
        grades: rows.len() - errors,
        errors,
        judged_by: JudgedBy::of(rows.iter().copied()),
    }
}
