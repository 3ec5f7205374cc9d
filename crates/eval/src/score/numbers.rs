//! GSM8K completions: the number that each ends in, against the right one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};

use super::samples::{each, names, text, texts};
use super::{Remarks, ScoreError, ScoreReport};
use crate::tasks::{DataPlaces, NumberAnswer, Score, Task, final_number, mean, read};

/// Fields that may hold a completion, or several.
const COMPLETIONS: [&str; 12] = [
    "completion",
    "completions",
    "output",
    "outputs",
    "response",
    "responses",
    "generation",
    "generated_text",
    "prediction",
    "model_answer",
    "resps",
    "solution",
];
/// Fields that may hold the right answer beside it.
const GOLDS: [&str; 5] = ["gold", "target", "reference", "ground_truth", "answer"];

/// How completions fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberScores {
    /// Share of right final numbers, and of completions that have `####` and a number; the share of a
    /// row's completions is one value.
    pub scores: Vec<Score>,
    /// Completions that were scored.
    pub completions: usize,
    /// Of them right.
    pub right: usize,
    /// Rows whose right answer is that of the problem they name.
    pub by_problem: usize,
    /// Rows whose right answer is the one they bring along.
    pub by_row: usize,
    /// Problems of the set, where it is at hand, and those of them without a completion.
    pub problems: Option<(usize, usize)>,
    /// What is to be said of some rows.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// Scores completions, each by the number after its `####`, else by its last number, up to where the
/// task ends an answer (`Question:`). The right answer is that of the problem in `places` that the row
/// names by `question` or by number (`task_id`, `doc_id`, `id`, `index` or `idx`: `test/7` or 7, from
/// 0); else the row's own (`gold`, `target`, `reference`, `ground_truth` or `answer`).
///
/// # Errors
/// [`ScoreError`]: files that cannot be read, not one completion that can be scored.
pub fn numbers(files: &[PathBuf], places: &DataPlaces) -> Result<NumberScores, ScoreError> {
    let task = Task::open("gsm8k")?;
    let Some(form) = &task.definition.number else {
        return Err(ScoreError::Setting("the task gsm8k has no `number`".to_owned()));
    };
    let problems = Problems::read(&task, places)?;
    let (mut right, mut marked) = (Vec::new(), Vec::new());
    let (mut completions, mut rights, mut by_problem, mut by_row) = (0, 0, 0, 0);
    let mut answered = HashSet::new();
    let remarks = each(files, |_, fields| {
        let found = completions_of(&fields)?;
        let problem = problems.of(&fields);
        let own = || GOLDS.iter().find_map(|name| text(&fields, &[*name]));
        let answer = match problem {
            Some(problem) => problems.answers[problem].clone(),
            None => {
                own().ok_or("no right answer: neither a problem by question or number, nor in the row")?
            }
        };
        let gold = final_number(&answer, &form.marker)
            .ok_or_else(|| format!("the right answer {answer:?} holds no number"))?;
        match problem {
            Some(problem) => {
                answered.insert(problem);
                by_problem += 1;
            }
            None => by_row += 1,
        }
        let numbers: Vec<_> =
            found.iter().map(|completion| final_number(ended(completion, form), &form.marker)).collect();
        let count = numbers.len() as f64;
        let good = numbers.iter().flatten().filter(|number| number.value == gold.value).count();
        let with_marker = numbers.iter().flatten().filter(|number| number.marked).count();
        right.push(good as f64 / count);
        marked.push(with_marker as f64 / count);
        completions += numbers.len();
        rights += good;
        Ok(())
    })?;
    remarks.check(right.len())?;
    let known = problems.answers.len();
    Ok(NumberScores {
        scores: [mean("accuracy", &right), mean("marked", &marked)].into_iter().flatten().collect(),
        completions,
        right: rights,
        by_problem,
        by_row,
        problems: (known > 0).then(|| (known, known - answered.len())),
        remarks,
    })
}

/// The completion up to where the task would have ended it.
fn ended<'a>(completion: &'a str, form: &NumberAnswer) -> &'a str {
    let end = form.stop.iter().filter_map(|stop| completion.find(stop.as_str())).min();
    &completion[..end.unwrap_or(completion.len())]
}

fn completions_of(fields: &Map<String, Value>) -> Result<Vec<String>, String> {
    for name in COMPLETIONS {
        if let Some(found) = texts(fields, name)? {
            return Ok(found);
        }
    }
    Err(format!("no completion ({}); there are: {}", COMPLETIONS.join(", "), names(fields)))
}

/// The test set's right answers.
#[derive(Default)]
struct Problems {
    answers: Vec<String>,
    by_key: HashMap<String, usize>,
}

impl Problems {
    fn read(task: &Task, places: &DataPlaces) -> Result<Self, ScoreError> {
        let mut problems = Self::default();
        for place in &task.definition.data.files {
            for file in places.find(&place.pattern) {
                for row in read(&file, place.inner.as_deref())? {
                    let at = problems.answers.len();
                    if let Some(question) = text(&row.fields, &["question"]) {
                        problems.by_key.insert(question.trim().to_owned(), at);
                    }
                    problems.by_key.insert(row.number.to_string(), at);
                    problems.answers.push(text(&row.fields, &["answer"]).unwrap_or_default());
                }
            }
        }
        Ok(problems)
    }

    /// The problem that a row names. Its question goes before its number, which may be one of another
    /// set.
    fn of(&self, fields: &Map<String, Value>) -> Option<usize> {
        // lm-evaluation-harness keeps the problem's row under `doc`.
        let doc = fields.get("doc").and_then(Value::as_object);
        let question = [Some(fields), doc].into_iter().flatten().find_map(|f| text(f, &["question"]));
        if let Some(question) = question {
            return self.by_key.get(question.trim()).copied();
        }
        let id = text(fields, &["task_id", "doc_id", "id", "index", "idx"])?;
        self.by_key.get(id.rsplit('/').next().unwrap_or(&id)).copied()
    }
}

impl ScoreReport for NumberScores {
    fn text(&self) -> String {
        let row = |score: &Score| {
            let error = score.standard_error.map_or_else(|| "–".to_owned(), |error| format!("{error:.4}"));
            vec![score.measure.clone(), format!("{:.4}", score.value), error, score.n.to_string()]
        };
        let rows: Vec<Vec<String>> = self.scores.iter().map(row).collect();
        let mut text = camelid_report::text_table(&["score", "value", "± s.e.", "n"], &rows, &[0]);
        text += &format!("\n{} of {} final numbers are right\n", self.right, self.completions);
        if self.by_row > 0 {
            text += &format!("{} rows are held to the right answer that they bring along\n", self.by_row);
        }
        if self.by_problem > 0
            && let Some((problems, missing @ 1..)) = self.problems
        {
            text += &format!("{missing} of {problems} problems have no completion and are left out\n");
        }
        text + &self.remarks.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(lines: &[&str]) -> Result<NumberScores, ScoreError> {
        let folder = tempfile::tempdir().unwrap();
        let problems = folder.path().join("gsm8k");
        std::fs::create_dir(&problems).unwrap();
        let rows = "{\"question\": \"1 + 1?\", \"answer\": \"#### 2\"}\n{\"question\": \"2 + 2?\", \"answer\": \"#### 4\"}\n";
        std::fs::write(problems.join("test.jsonl"), rows).unwrap();
        let path = folder.path().join("completions.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        numbers(&[path], &DataPlaces::open(&[problems]).unwrap())
    }

    #[test]
    fn a_problem_is_found_by_question_or_number_and_goes_before_the_rows_own_answer() {
        for row in [
            r#"{"question": " 1 + 1? ", "completion": "It is 2"}"#,
            r#"{"task_id": "test/1", "output": "4"}"#,
            r#"{"doc_id": 7, "doc": {"question": "2 + 2?"}, "resps": [["4"]]}"#,
            r#"{"idx": 0, "response": "2\n#### 2\n\nQuestion: 3 + 3?\nAnswer: 6", "answer": "77"}"#,
            r#"{"question": "5 + 5?", "completion": "10", "answer": "10"}"#,
        ] {
            let found = scored(&[row]).unwrap();
            assert_eq!((found.right, found.completions), (1, 1), "{row}: {found:?}");
        }
    }

    #[test]
    fn several_completions_of_a_row_are_one_value_and_what_is_left_out_is_said() {
        let found = scored(&[
            r######"{"question": "1 + 1?", "completions": ["2", "3", "#### 2", "none"]}"######,
            r#"{"question": "unheard of", "completion": "2"}"#,
            r#"{"question": "2 + 2?"}"#,
            "no JSON",
        ])
        .unwrap();
        assert_eq!((found.right, found.completions, found.problems), (2, 4, Some((2, 1))));
        assert_eq!((found.scores[0].value, found.scores[0].n), (0.5, 1));
        assert_eq!(found.scores[1].value, 0.25);
        assert_eq!(found.remarks.unreadable.len(), 3);
        let said = found.text();
        assert!(
            said.contains("1 of 2 problems have no completion") && said.contains("3 rows left out"),
            "{said}"
        );
        let error = scored(&["{\"a\": 1}"]).unwrap_err().to_string();
        assert!(error.contains("completions.jsonl, line 1: no completion"), "{error}");
    }
}
