//! GSM8K and MATH completions: the answer that each ends in, against the right one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};

use super::samples::{each, names, text, texts};
use super::{Remarks, ScoreError, ScoreReport};
use crate::answers::{AnswerKind, FinalAnswer, Grading, Leniency, Protocol, Reading};
use crate::tasks::{DataPlaces, GroupScore, Score, Task, TaskError, group_mean, mean, read};

/// A set of problems with one right answer each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerSuite {
    /// Grade-school problems whose answer is a number (Cobbe et al. 2021).
    Gsm8k,
    /// Competition problems whose answer is an expression (Hendrycks et al. 2021).
    Math,
}

/// How answers are read and compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Whose way.
    pub protocol: Protocol,
    /// Where in a completion the answer stands, if elsewhere than there. Answers that a file holds read already
    /// (`pred`) are then read anew, where the completion is there too.
    pub reading: Option<Reading>,
    /// What is allowed instead of what the protocol allows.
    pub allow: Option<BTreeSet<Leniency>>,
}

/// Fields that may hold an answer, or several, that was read from its completion.
const READ: [&str; 1] = ["pred"];
/// Fields that may hold a completion, or several.
const COMPLETIONS: [&str; 13] = [
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
    "code",
];
/// Fields that may hold the right answer beside it.
const GOLDS: [&str; 6] = ["gold", "target", "reference", "ground_truth", "gt", "answer"];

/// How completions fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerScores {
    /// The problems.
    pub suite: AnswerSuite,
    /// How answers were read and compared.
    pub grading: Grading,
    /// Share of right answers, and of answers that stood where they are looked for first (behind `####`, in a box);
    /// the share of a row's completions is one value.
    pub scores: Vec<Score>,
    /// The share of right answers by kind of problem (`type`), where rows or problems have one.
    pub groups: Vec<GroupScore>,
    /// Completions that were scored.
    pub completions: usize,
    /// Of them right.
    pub right: usize,
    /// Completions without an answer.
    pub without: usize,
    /// Answers that were read before, by whoever made the file.
    pub read_before: usize,
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

impl AnswerSuite {
    /// The task that knows where the problems are.
    ///
    /// # Errors
    /// Only if this crate were damaged.
    pub fn task(self) -> Result<Task, TaskError> {
        Task::open(match self {
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
        })
    }
}

/// Scores completions by the answers they end in ([`crate::answers`]), up to where the task ends an answer
/// (`Question:`, `Problem:`). The right answer is that of the problem in `places` that the row names by
/// `question` or `problem` or by number (`task_id`, `doc_id`, `id`, `index` or `idx`: `test/7` or 7, from 0);
/// else the row's own (`gold`, `target`, `reference`, `ground_truth`, `gt` or `answer`).
///
/// # Errors
/// [`ScoreError`]: files that cannot be read, not one completion that can be scored.
pub fn answers(
    suite: AnswerSuite,
    files: &[PathBuf],
    options: &AnswerOptions,
    places: &DataPlaces,
) -> Result<AnswerScores, ScoreError> {
    let task = suite.task()?;
    let Some(form) = task.definition.generated(options.protocol) else {
        return Err(ScoreError::Setting(format!("the task {} asks for no answer", task.definition.name)));
    };
    let mut grading = form.grading;
    grading.reading = options.reading.unwrap_or(grading.reading);
    grading.allow = options.allow.clone().unwrap_or(grading.allow);
    let problems = Problems::read(&task, places)?;
    let (mut right, mut marked) = (Vec::new(), Vec::new());
    let (mut completions, mut rights, mut without, mut read_before) = (0, 0, 0, 0);
    let (mut by_problem, mut by_row) = (0, 0);
    let mut answered = HashSet::new();
    let remarks = each(files, |_, fields| {
        let found = found_in(&fields, options.reading.is_none())?;
        let problem = problems.of(&fields).map(|at| (at, &problems.all[at]));
        let own = || GOLDS.iter().find_map(|name| text(&fields, &[*name]));
        let answer = match problem {
            Some((_, problem)) => problem.answer.clone(),
            None => {
                own().ok_or("no right answer: neither a problem by question or number, nor in the row")?
            }
        };
        let gold = right_answer(&answer, grading.kind, &grading.marker)
            .ok_or_else(|| format!("the right answer {answer:?} holds no {}", kind_word(grading.kind)))?;
        let kind = text(&fields, &["type"]).or_else(|| problem.and_then(|(_, problem)| problem.kind.clone()));
        match problem {
            Some((at, _)) => {
                answered.insert(at);
                by_problem += 1;
            }
            None => by_row += 1,
        }
        let answers: Vec<Option<FinalAnswer>> = found
            .texts
            .iter()
            .map(|text| match found.read {
                true => grading.take(text),
                false => grading.read(ended(text, form.stop)),
            })
            .collect();
        let count = answers.len() as f64;
        let good = answers.iter().flatten().filter(|answer| grading.equal(&answer.value, &gold)).count();
        let with_marker = answers.iter().flatten().filter(|answer| answer.marked).count();
        right.push((kind.unwrap_or_default(), good as f64 / count));
        if !found.read {
            marked.push(with_marker as f64 / count);
        }
        completions += answers.len();
        rights += good;
        without += answers.iter().filter(|answer| answer.is_none()).count();
        read_before += if found.read { answers.len() } else { 0 };
        Ok(())
    })?;
    remarks.check(right.len())?;
    let known = problems.all.len();
    let shares: Vec<f64> = right.iter().map(|(_, share)| *share).collect();
    let by_kind: Vec<(&str, f64)> = right
        .iter()
        .filter(|(kind, _)| !kind.is_empty())
        .map(|(kind, share)| (kind.as_str(), *share))
        .collect();
    Ok(AnswerScores {
        suite,
        scores: [mean("accuracy", &shares), mean("marked", &marked)].into_iter().flatten().collect(),
        groups: group_mean("accuracy", &by_kind).map(|(_, groups)| groups).unwrap_or_default(),
        grading,
        completions,
        right: rights,
        without,
        read_before,
        by_problem,
        by_row,
        problems: (known > 0).then(|| (known, known - answered.len())),
        remarks,
    })
}

fn kind_word(kind: AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Number => "number",
        AnswerKind::Expression => "expression",
    }
}

/// The right answer, strictly read whatever is allowed of completions: of a worked solution what is in its box or
/// behind its marker.
fn right_answer(text: &str, kind: AnswerKind, marker: &str) -> Option<String> {
    let strict = Grading { marker: marker.to_owned(), ..Protocol::Camelid.grading(kind) };
    let read = strict.read(text).filter(|answer| answer.marked);
    read.or_else(|| strict.take(text)).map(|answer| answer.value)
}

/// The completion up to where the task would have ended it.
fn ended<'a>(completion: &'a str, stop: &[String]) -> &'a str {
    let end = stop.iter().filter_map(|stop| completion.find(stop.as_str())).min();
    &completion[..end.unwrap_or(completion.len())]
}

/// What a row holds of a model.
struct Found {
    texts: Vec<String>,
    /// Whether these are answers, and no completions.
    read: bool,
}

/// Answers go before the completions they were read from, where they are wanted.
fn found_in(fields: &Map<String, Value>, read_first: bool) -> Result<Found, String> {
    let texts_of = |all: &[&str]| -> Result<Option<Vec<String>>, String> {
        for name in all {
            if let Some(found) = texts(fields, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    let answers = || Ok::<_, String>(texts_of(&READ)?.map(|texts| Found { texts, read: true }));
    let completions = || Ok::<_, String>(texts_of(&COMPLETIONS)?.map(|texts| Found { texts, read: false }));
    let found = if read_first { answers()?.or(completions()?) } else { completions()?.or(answers()?) };
    found.ok_or_else(|| format!("no completion ({}); there are: {}", COMPLETIONS.join(", "), names(fields)))
}

/// The test set.
#[derive(Default)]
struct Problems {
    all: Vec<Problem>,
    by_key: HashMap<String, usize>,
}

struct Problem {
    /// The right answer, or the solution that ends in it.
    answer: String,
    kind: Option<String>,
}

/// What the question is called: in GSM8K, in MATH.
const QUESTION: [&str; 2] = ["question", "problem"];

impl Problems {
    fn read(task: &Task, places: &DataPlaces) -> Result<Self, ScoreError> {
        let mut problems = Self::default();
        for place in &task.definition.data.files {
            for file in places.find(&place.pattern) {
                for row in read(&file, place.inner.as_deref())? {
                    let at = problems.all.len();
                    if let Some(question) = text(&row.fields, &QUESTION) {
                        problems.by_key.insert(question.trim().to_owned(), at);
                    }
                    problems.by_key.insert(row.number.to_string(), at);
                    let answer = text(&row.fields, &["answer", "solution"]).unwrap_or_default();
                    problems.all.push(Problem { answer, kind: text(&row.fields, &["type"]) });
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
        let question = [Some(fields), doc].into_iter().flatten().find_map(|f| text(f, &QUESTION));
        if let Some(question) = question {
            return self.by_key.get(question.trim()).copied();
        }
        let id = text(fields, &["task_id", "doc_id", "id", "index", "idx"])?;
        self.by_key.get(id.rsplit('/').next().unwrap_or(&id)).copied()
    }
}

impl ScoreReport for AnswerScores {
    fn text(&self) -> String {
        let row = |score: &Score| {
            let error = score.standard_error.map_or_else(|| "–".to_owned(), |error| format!("{error:.4}"));
            vec![score.measure.clone(), format!("{:.4}", score.value), error, score.n.to_string()]
        };
        let group = |group: &GroupScore| {
            vec![group.group.clone(), format!("{:.4}", group.value), "–".into(), group.n.to_string()]
        };
        let rows: Vec<Vec<String>> =
            self.scores.iter().map(row).chain(self.groups.iter().map(group)).collect();
        let mut text = camelid_report::text_table(&["score", "value", "± s.e.", "n"], &rows, &[0]);
        let allowed: Vec<&str> = self.grading.allow.iter().map(|leniency| leniency.name()).collect();
        let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        let what = if self.grading.kind == AnswerKind::Number { "final numbers" } else { "answers" };
        text += &format!("\n{} of {} {what} are right; allowed: {allowed}\n", self.right, self.completions);
        if self.read_before > 0 {
            text += &format!("{} answers stand as the file has read them (`pred`)\n", self.read_before);
        }
        if self.without > 0 {
            text += &format!(
                "{} completions hold no answer (read: {})\n",
                self.without,
                self.grading.reading.name()
            );
        }
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

    fn scored(lines: &[&str]) -> Result<AnswerScores, ScoreError> {
        let folder = tempfile::tempdir().unwrap();
        let problems = folder.path().join("gsm8k");
        std::fs::create_dir(&problems).unwrap();
        let rows = "{\"question\": \"1 + 1?\", \"answer\": \"#### 2\"}\n{\"question\": \"2 + 2?\", \"answer\": \"#### 4\"}\n";
        std::fs::write(problems.join("test.jsonl"), rows).unwrap();
        let path = folder.path().join("completions.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let places = DataPlaces::open(&[problems]).unwrap();
        answers(AnswerSuite::Gsm8k, &[path], &AnswerOptions::default(), &places)
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
    #[test]
    fn expressions_and_answers_that_were_read_before_are_scored_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows = [
            r#"{"solution": "It is \\boxed{\\dfrac12}.", "answer": "$\\boxed{\\frac{1}{2}}$", "type": "Algebra"}"#,
            r#"{"pred": ["0.7"], "code": ["The answer is: 7"], "gt": "70", "type": "Geometry"}"#,
            r#"{"completion": "none", "gt": "3", "type": "Geometry"}"#,
        ];
        std::fs::write(&path, rows.join("\n")).unwrap();
        let scored = |allow: Option<&[Leniency]>, reading| {
            let allow = allow.map(|allow| allow.iter().copied().collect());
            let options = AnswerOptions { allow, reading, ..AnswerOptions::default() };
            answers(AnswerSuite::Math, std::slice::from_ref(&path), &options, &DataPlaces::default()).unwrap()
        };
        let found = scored(None, None);
        assert_eq!((found.right, found.completions, found.without, found.read_before), (1, 3, 1, 1));
        assert_eq!((found.groups[0].value, found.groups[1].value), (1.0, 0.0));
        assert_eq!(scored(Some(&[]), None).right, 0);
        assert_eq!(scored(Some(&[Leniency::Notation, Leniency::Percent]), None).right, 2);
        let anew = scored(None, Some(Reading::Phrase));
        assert_eq!((anew.right, anew.without, anew.read_before), (0, 2, 0));
        assert!(found.text().contains("allowed: notation"), "{}", found.text());
    }
}
