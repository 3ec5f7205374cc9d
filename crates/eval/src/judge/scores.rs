//! Scores from grades: MT-bench's mean over questions and turns, and Vicuna's ratio of two models' sums.

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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(question: &str, model: &str, opponent: Option<&str>, verdict: Option<Verdict>) -> Judgment {
        Judgment {
            question: question.to_owned(),
            category: "generic".to_owned(),
            turn: 1,
            model: model.to_owned(),
            opponent: opponent.map(str::to_owned),
            verdict,
            judge: format!("judge of {model}"),
            prompt: "p".to_owned(),
            prompt_hash: "h".to_owned(),
            ..Judgment::default()
        }
    }

    #[test]
    fn grades_side_by_side_are_averaged_over_both_orders() {
        let both = |first, second| Some(Verdict::Ratings(first, second));
        let rows = [
            row("1", "vicuna", Some("gpt"), both(8.0, 9.0)),
            row("1", "gpt", Some("vicuna"), both(10.0, 6.0)),
            row("2", "vicuna", Some("gpt"), both(9.0, 8.0)),
            row("2", "gpt", Some("vicuna"), None),
            // No baseline, no ratio.
            row("2", "vicuna", Some("alpaca"), both(9.0, 2.0)),
        ];
        // Vicuna (8 + 6) / 2 + 9 over (9 + 10) / 2 + 8.
        let ratios = score_ratios(&rows, "gpt", &Resampling::default());
        assert_eq!(ratios.len(), 1);
        assert_eq!((ratios[0].model.as_str(), ratios[0].ratio.questions), ("vicuna", 2));
        assert_eq!(ratios[0].ratio.value, 16.0 / 17.5);
        assert_eq!(ratios[0].judged_by.judge, "judge of vicuna, judge of gpt");
    }

    #[test]
    fn grades_given_alone_count_for_questions_that_both_have() {
        let alone = |grade| Some(Verdict::Rating(grade));
        let rows = [
            row("1", "vicuna", None, alone(6.0)),
            row("1", "gpt", None, alone(8.0)),
            row("2", "vicuna", None, alone(3.0)),
            row("2", "gpt", None, None),
        ];
        let ratios = score_ratios(&rows, "gpt", &Resampling::default());
        assert_eq!((ratios[0].ratio.value, ratios[0].ratio.questions), (0.75, 1));
        assert!(score_ratios(&rows, "bard", &Resampling::default()).is_empty());
    }
}
