//! Answers of models, in FastChat's `model_answer` files and of the same form its references.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::JudgeError;
use super::lines;

/// What FastChat writes where a model gave no answer.
const FASTCHAT_FAILURES: [&str; 2] = ["$ERROR$", "ERROR"];

/// One model's answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question's id.
    pub question: String,
    /// An id of the answer's own.
    pub id: String,
    /// Its texts, turn by turn, as far as the model came.
    pub turns: Vec<String>,
    /// Why later turns are missing.
    pub error: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: f64,
    /// How it was sampled, where that is known.
    pub sampled: Option<Sampled>,
}

/// How an answer was sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Temperature.
    pub temperature: f32,
    /// Longest answer, in tokens.
    pub max_new_token: usize,
    /// Version of the model, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
}

/// All answers of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// The model's name.
    pub model: String,
    answers: Vec<Answer>,
    by_question: HashMap<String, usize>,
}

/// A line of FastChat's file. `error` and `sampled` are ours; FastChat ignores them, as we ignore its
/// `generate_params`.
#[derive(Deserialize, Serialize)]
struct Record {
    #[serde(with = "lines::id")]
    question_id: String,
    #[serde(default)]
    answer_id: String,
    model_id: String,
    choices: Vec<Choice>,
    #[serde(default)]
    tstamp: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sampled: Option<Sampled>,
}

#[derive(Deserialize, Serialize)]
struct Choice {
    index: u32,
    turns: Vec<String>,
}

impl Answers {
    /// Answers of the model `model`; of two to the same question the later counts.
    pub fn new(model: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut all = Self { model: model.to_owned(), answers: Vec::new(), by_question: HashMap::new() };
        for answer in answers {
            match all.by_question.get(&answer.question) {
                Some(&index) => all.answers[index] = answer,
                None => {
                    all.by_question.insert(answer.question.clone(), all.answers.len());
                    all.answers.push(answer);
                }
            }
        }
        all
    }

    /// Reads FastChat's format. The first of several choices counts, as it does there; where its
    /// text says that the model failed, the answer ends before it.
    ///
    /// # Errors
    /// [`JudgeError::Read`], [`JudgeError::File`] for an empty file; [`JudgeError::Line`] for a line
    /// that is no answer, has no choice, is of another model than the first, or answers a question
    /// twice.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let mut model: Option<String> = None;
        let mut answers: Vec<Answer> = Vec::new();
        let mut seen = HashMap::new();
        for (line, record) in lines::read::<Record>(path, "an answer")? {
            let first = model.get_or_insert_with(|| record.model_id.clone());
            if *first != record.model_id {
                let message =
                    format!("model_id is `{}`; expected `{first}` as in the first line", record.model_id);
                return Err(JudgeError::line(path, line, message));
            }
            if let Some(earlier) = seen.insert(record.question_id.clone(), line) {
                let message = format!("question {} is answered in line {earlier} too", record.question_id);
                return Err(JudgeError::line(path, line, message));
            }
            let Some(answer) = record.answer() else {
                return Err(JudgeError::line(path, line, "`choices` is empty; expected one choice"));
            };
            answers.push(answer);
        }
        // A file without a line was refused before.
        Ok(Self::new(&model.unwrap_or_default(), answers))
    }

    /// Writes FastChat's format, whole or not at all.
    ///
    /// # Errors
    /// [`JudgeError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), JudgeError> {
        let records: Vec<Record> =
            self.answers.iter().map(|answer| Record::new(&self.model, answer)).collect();
        lines::write(path, &records)
    }

    /// The answer to a question.
    pub fn to(&self, question: &str) -> Option<&Answer> {
        self.by_question.get(question).map(|&index| &self.answers[index])
    }

    /// All answers, in their order.
    pub fn all(&self) -> &[Answer] {
        &self.answers
    }
}

impl Answer {
    /// The texts up to `turn` (from 1).
    ///
    /// # Errors
    /// Why there are fewer.
    pub fn up_to(&self, turn: usize) -> Result<&[String], String> {
        match self.turns.get(..turn) {
            Some(turns) => Ok(turns),
            None => Err(self.error.clone().unwrap_or_else(|| format!("no answer to turn {turn}"))),
        }
    }
}

impl Record {
    fn new(model: &str, answer: &Answer) -> Self {
        Self {
            question_id: answer.question.clone(),
            answer_id: answer.id.clone(),
            model_id: model.to_owned(),
            choices: vec![Choice { index: 0, turns: answer.turns.clone() }],
            tstamp: answer.timestamp,
            error: answer.error.clone(),
            sampled: answer.sampled.clone(),
        }
    }

    fn answer(self) -> Option<Answer> {
        let mut turns = self.choices.into_iter().next()?.turns;
        let mut error = self.error;
        if let Some(failed) = turns.iter().position(|turn| FASTCHAT_FAILURES.contains(&turn.as_str())) {
            error.get_or_insert_with(|| format!("the model failed at turn {}", failed + 1));
            turns.truncate(failed);
        }
        Some(Answer {
            question: self.question_id,
            id: self.answer_id,
            turns,
            error,
            timestamp: self.tstamp,
            sampled: self.sampled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answers, JudgeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        Answers::read(&path)
    }

    const LINE: &str = "{\"question_id\": 81, \"answer_id\": \"x\", \"model_id\": \"m\", \"choices\": \
                        [{\"index\": 0, \"turns\": [\"one\", \"two\"]}], \"tstamp\": 1.5}\n";

    #[test]
    fn fastchats_answers_go_in_and_out() {
        let failed = LINE.replace("81", "82").replace("two", "$ERROR$");
        let answers = read(&format!("{LINE}{failed}")).unwrap();
        assert_eq!((answers.model.as_str(), answers.all().len()), ("m", 2));
        assert_eq!(answers.to("81").unwrap().up_to(2).unwrap(), ["one", "two"]);
        let failed = answers.to("82").unwrap();
        assert_eq!(failed.up_to(1).unwrap(), ["one"]);
        assert_eq!(failed.up_to(2).unwrap_err(), "the model failed at turn 2");
        assert!(answers.to("83").is_none());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        answers.write(&path).unwrap();
        assert_eq!(Answers::read(&path).unwrap(), answers);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, expected) in [
            (LINE.repeat(2), "line 2: question 81 is answered in line 1 too"),
            (
                format!("{LINE}{}", LINE.replace("\"m\"", "\"n\"").replace("81", "82")),
                "line 2: model_id is `n`",
            ),
            (LINE.replace("{\"index\": 0, \"turns\": [\"one\", \"two\"]}", ""), "`choices` is empty"),
            (LINE.replace("choices", "choice"), "missing field `choices`"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
