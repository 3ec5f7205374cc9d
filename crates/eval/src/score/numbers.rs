//! GSM8K completions: the number that each ends in, against the right one.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;

use super::samples::{each, names, text};
use super::{ScoreError, ScoreReport, Unreadable, check, left_out};
use crate::tasks::{DataPlaces, Score, Task, final_number, mean, read};

/// Fields that may hold a completion.
const COMPLETIONS: [&str; 7] =
    ["completion", "output", "response", "generation", "prediction", "model_answer", "solution"];
/// Fields that may hold the right answer beside it.
const GOLDS: [&str; 5] = ["gold", "target", "reference", "ground_truth", "answer"];

/// How completions fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberScores {
    /// Share of right final numbers, and of completions that end in `####` and a number.
    pub scores: Vec<Score>,
    /// Completions that were scored.
    pub completions: usize,
    /// Of them right.
    pub right: usize,
    /// Rows that were left out.
    pub unreadable: Vec<Unreadable>,
}

/// Scores completions, each by the number after its last `####`, else by its last number. The right
/// answer stands in the row (`answer`, `gold`, `target`), or is found among the problems in `places` by
/// `question` or by number (`task_id`, `id` or `index`: `test/7` or 7, from 0).
///
/// # Errors
/// [`ScoreError`]: files that cannot be read, not one completion that can be scored.
pub fn numbers(files: &[PathBuf], places: &DataPlaces) -> Result<NumberScores, ScoreError> {
    let task = Task::open("gsm8k")?;
    let mut by_key: HashMap<String, String> = HashMap::new();
    for place in &task.definition.data.files {
        for file in places.find(&place.pattern) {
            for row in read(&file, place.inner.as_deref())? {
                let gold = text(&row.fields, &["answer"]).unwrap_or_default();
                if let Some(question) = text(&row.fields, &["question"]) {
                    by_key.insert(question.trim().to_owned(), gold.clone());
                }
                by_key.insert(row.number.to_string(), gold);
            }
        }
    }
    let (mut right, mut marked) = (Vec::new(), Vec::new());
    let unreadable = each(files, |_, _, fields| {
        let completion = COMPLETIONS.iter().find_map(|name| fields.get(*name)?.as_str());
        let completion = completion.ok_or_else(|| {
            format!("no completion ({}); there are: {}", COMPLETIONS.join(", "), names(&fields))
        })?;
        let own = GOLDS.iter().find_map(|name| text(&fields, &[*name]));
        let known = || {
            let question = text(&fields, &["question"]).and_then(|q| by_key.get(q.trim()));
            let id = text(&fields, &["task_id", "id", "index", "idx"]);
            let number = id.and_then(|id| by_key.get(id.rsplit('/').next().unwrap_or(&id)));
            question.or(number).cloned()
        };
        let gold =
            own.or_else(known).ok_or("no right answer: neither in the row, nor by question or number")?;
        let gold = final_number(&gold, "####")
            .ok_or_else(|| format!("the right answer {gold:?} holds no number"))?;
        let found = final_number(completion, "####");
        right.push(f64::from(u8::from(found.as_ref().is_some_and(|found| found.value == gold.value))));
        marked.push(f64::from(u8::from(found.is_some_and(|found| found.marked))));
        Ok(())
    })?;
    check(right.len(), &unreadable)?;
    Ok(NumberScores {
        scores: [mean("accuracy", &right), mean("marked", &marked)].into_iter().flatten().collect(),
        completions: right.len(),
        right: right.iter().filter(|value| **value > 0.0).count(),
        unreadable,
    })
}

impl ScoreReport for NumberScores {
    fn text(&self) -> String {
        let row = |score: &Score| {
            let error = score.standard_error.map_or_else(|| "–".to_owned(), |error| format!("{error:.4}"));
            vec![score.measure.clone(), format!("{:.4}", score.value), error, score.n.to_string()]
        };
        let rows: Vec<Vec<String>> = self.scores.iter().map(row).collect();
        let table = camelid_report::text_table(&["score", "value", "± s.e.", "n"], &rows, &[0]);
        format!(
            "{table}\n{} of {} final numbers are right\n{}",
            self.right,
            self.completions,
            left_out(&self.unreadable)
        )
    }
}
