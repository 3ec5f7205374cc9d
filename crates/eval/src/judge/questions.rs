//! Question sets: MT-bench's, Vicuna's, and files of the user's own.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::JudgeError;
use super::records;

/// A question of one or two turns.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Unique in its set.
    pub id: String,
    /// What it tests, e.g. `writing`.
    pub category: String,
    /// What the user says, turn by turn.
    pub turns: Vec<String>,
    /// The right answer, turn by turn; empty where the file has none.
    pub reference: Vec<String>,
    /// The temperature answers to it have to be sampled at, where the file says so.
    pub temperature: Option<f32>,
}

/// Questions in the order of their file.
#[derive(Debug, Clone, PartialEq)]
pub struct QuestionSet {
    /// Its name in reports.
    pub name: String,
    /// The questions.
    pub questions: Vec<Question>,
}

/// A line of FastChat's `question.jsonl`; Vicuna's first file has `text` for `turns`.
#[derive(Deserialize, Serialize)]
struct Record {
    #[serde(with = "records::id")]
    question_id: String,
    category: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turns: Option<Vec<String>>,
    #[serde(default, skip_serializing)]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required_temperature: Option<f32>,
}

impl QuestionSet {
    /// Reads FastChat's format: JSON lines (or an array, compressed or not) with `question_id`, `category`, `turns` (a list of one
    /// or two texts) or `text`, and where wanted `reference` (a list of as many texts) and
    /// `required_temperature`.
    ///
    /// # Errors
    /// [`JudgeError::File`] for what cannot be read and for an empty file; [`JudgeError::Record`] for
    /// a record that is no question or has the id of an earlier one.
    pub fn read(path: &Path, name: &str) -> Result<Self, JudgeError> {
        let mut seen = HashSet::new();
        let mut questions = Vec::new();
        for (place, record) in records::read::<Record>(path, "a question")? {
            let question = record.question().map_err(|message| JudgeError::record(path, place, message))?;
            if !seen.insert(question.id.clone()) {
                let message = format!("question_id {} is there twice; ids must be unique", question.id);
                return Err(JudgeError::record(path, place, message));
            }
            questions.push(question);
        }
        Ok(Self { name: name.to_owned(), questions })
    }

    /// Writes the questions in the format that [`QuestionSet::read`] reads.
    ///
    /// # Errors
    /// [`JudgeError::File`].
    pub fn write(&self, path: &Path) -> Result<(), JudgeError> {
        let records: Vec<Record> = self.questions.iter().map(Record::new).collect();
        records::write(path, &records)
    }

    /// The first `count` questions.
    pub fn first(mut self, count: usize) -> Self {
        self.questions.truncate(count);
        self
    }

    /// The questions without their later turns.
    pub fn first_turns(mut self) -> Self {
        for question in &mut self.questions {
            question.turns.truncate(1);
        }
        self
    }

    /// Categories in the order of their first question.
    pub fn categories(&self) -> Vec<&str> {
        let mut categories: Vec<&str> = Vec::new();
        for question in &self.questions {
            if !categories.contains(&question.category.as_str()) {
                categories.push(&question.category);
            }
        }
        categories
    }
}

impl Record {
    fn new(question: &Question) -> Self {
        let reference = question.reference.clone();
        Self {
            question_id: question.id.clone(),
            category: question.category.clone(),
            turns: Some(question.turns.clone()),
            text: None,
            reference: (!reference.is_empty()).then_some(reference),
            required_temperature: question.temperature,
        }
    }

    fn question(self) -> Result<Question, String> {
        let turns = match (self.turns, self.text) {
            (Some(turns), None) => turns,
            (None, Some(text)) => vec![text],
            (Some(_), Some(_)) => return Err("both `turns` and `text`; expected one of them".to_owned()),
            (None, None) => return Err("neither `turns` nor `text`; expected one of them".to_owned()),
        };
        if !(1..=2).contains(&turns.len()) {
            return Err(format!("`turns` has {} entries; expected one or two", turns.len()));
        }
        if let Some(empty) = turns.iter().position(|turn| turn.trim().is_empty()) {
            return Err(format!("turn {} is empty; expected a question", empty + 1));
        }
        if let Some(temperature) = self.required_temperature
            && !(temperature.is_finite() && temperature >= 0.0)
        {
            return Err(format!("`required_temperature` is {temperature}; expected a number from 0"));
        }
        Ok(Question {
            id: self.question_id,
            category: self.category,
            turns,
            reference: self.reference.unwrap_or_default(),
            temperature: self.required_temperature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<QuestionSet, JudgeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        std::fs::write(&path, text).unwrap();
        QuestionSet::read(&path, "test")
    }

    #[test]
    fn both_of_fastchats_formats_are_read() {
        let set = read(concat!(
            "{\"question_id\": 81, \"category\": \"writing\", \"turns\": [\"One?\", \"Two?\"]}\n\n",
            "{\"question_id\": \"own-1\", \"text\": \"Three?\", \"category\": \"math\"}\n",
        ))
        .unwrap();
        assert_eq!(set.categories(), ["writing", "math"]);
        assert_eq!((set.questions[0].id.as_str(), set.questions[0].turns.len()), ("81", 2));
        assert_eq!(set.questions[1].turns, ["Three?"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        set.write(&path).unwrap();
        assert_eq!(QuestionSet::read(&path, "test").unwrap(), set);
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"question_id\":81,"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, expected) in [
            ("{\"question_id\": 1, \"turns\": [\"x\"]}", "line 1: missing field `category`"),
            ("\n{\"question_id\": 1, \"category\": \"c\"}", "line 2: neither `turns` nor `text`"),
            ("{\"question_id\": 1, \"category\": \"c\", \"turns\": []}", "0 entries"),
            ("{\"question_id\": 1, \"category\": \"c\", \"turns\": [\"a\", \" \"]}", "turn 2 is empty"),
            ("{\"question_id\": null, \"category\": \"c\", \"turns\": [\"a\"]}", "a number or a name"),
            ("", "the file is empty"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let twice = "{\"question_id\": 1, \"category\": \"c\", \"text\": \"a\"}\n".repeat(2);
        assert!(read(&twice).unwrap_err().to_string().contains("there twice"));
    }
}
