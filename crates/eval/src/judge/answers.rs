//! Answers of models: asked for, or in FastChat's `model_answer` files and of the same form its references.

use std::collections::HashMap;
use std::path::Path;

use camelid_chat::requests::{ChatRequest, Reply, RunError};
use camelid_chat::{GenerateOptions, Message, Role};
use serde::{Deserialize, Serialize};

use super::ask::{Ask, NoReply, Stage};
use super::error::JudgeError;
use super::model::Model;
use super::protocol::Protocol;
use super::questions::QuestionSet;
use super::records;

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
    /// Its server takes no temperature and used its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_temperature: bool,
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
    #[serde(with = "records::id")]
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

    /// A model's answers to every question, all first turns and then all second ones, each at the
    /// temperature of its question. A question whose first turn came to nothing is not asked further;
    /// its [`Answer::error`] says why.
    ///
    /// # Errors
    /// [`RunError`] when a batch ended early; what had arrived is in the store.
    pub fn ask(
        ask: &mut dyn Ask,
        model: &Model,
        questions: &QuestionSet,
        protocol: &Protocol,
        seed: u64,
    ) -> Result<Self, RunError> {
        let sampled = |question| Sampled {
            temperature: protocol.temperature(question),
            max_new_token: protocol.max_new_tokens,
            model_version: None,
            own_temperature: false,
        };
        let mut answers: Vec<Answer> = questions
            .questions
            .iter()
            .map(|question| Answer {
                question: question.id.clone(),
                id: String::new(),
                turns: Vec::new(),
                error: None,
                timestamp: 0.0,
                sampled: Some(sampled(question)),
            })
            .collect();
        let turns = questions.questions.iter().map(|question| question.turns.len()).max().unwrap_or(0);
        for turn in 1..=turns {
            // Questions that have this turn and were answered up to it.
            let open: Vec<usize> = (0..answers.len())
                .filter(|&i| questions.questions[i].turns.len() >= turn && answers[i].turns.len() == turn - 1)
                .collect();
            let request = |&i: &usize| {
                let question = &questions.questions[i];
                ChatRequest {
                    model: model.request_name.clone(),
                    messages: dialogue(&question.turns[..turn], &answers[i].turns),
                    options: GenerateOptions {
                        max_new_tokens: protocol.max_new_tokens,
                        temperature: protocol.temperature(question),
                        seed,
                        ..GenerateOptions::default()
                    },
                }
            };
            let requests: Vec<ChatRequest> = open.iter().map(request).collect();
            let stage = Stage::Answers { model: model.name.clone(), turn };
            for (i, reply) in open.into_iter().zip(ask.ask(&stage, &requests)?) {
                note(&mut answers[i], turn, reply);
            }
        }
        Ok(Self::new(&model.name, answers))
    }

    /// Reads FastChat's format. The first of several choices counts, as it does there; where its
    /// text says that the model failed, the answer ends before it.
    ///
    /// # Errors
    /// [`JudgeError::File`] for what cannot be read and for an empty file; [`JudgeError::Record`] for a line
    /// that is no answer, has no choice, is of another model than the first, or answers a question
    /// twice.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let mut model: Option<String> = None;
        let mut answers: Vec<Answer> = Vec::new();
        let mut seen = HashMap::new();
        for (place, record) in records::read::<Record>(path, "an answer")? {
            let first = model.get_or_insert_with(|| record.model_id.clone());
            if *first != record.model_id {
                let message =
                    format!("model_id is `{}`; expected `{first}` as in the first line", record.model_id);
                return Err(JudgeError::record(path, place, message));
            }
            if let Some(earlier) = seen.insert(record.question_id.clone(), place) {
                let message = format!("question {} is answered in {earlier} too", record.question_id);
                return Err(JudgeError::record(path, place, message));
            }
            let Some(answer) = record.answer() else {
                return Err(JudgeError::record(path, place, "`choices` is empty; expected one choice"));
            };
            answers.push(answer);
        }
        // A file without a line was refused before.
        Ok(Self::new(&model.unwrap_or_default(), answers))
    }

    /// Writes FastChat's format, whole or not at all.
    ///
    /// # Errors
    /// [`JudgeError::File`].
    pub fn write(&self, path: &Path) -> Result<(), JudgeError> {
        let records: Vec<Record> =
            self.answers.iter().map(|answer| Record::new(&self.model, answer)).collect();
        records::write(path, &records)
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

/// User and assistant in turns, the user last.
fn dialogue(questions: &[String], answers: &[String]) -> Vec<Message> {
    let mut messages = Vec::new();
    for (i, question) in questions.iter().enumerate() {
        messages.push(Message::new(Role::User, question));
        if let Some(answer) = answers.get(i) {
            messages.push(Message::new(Role::Assistant, answer));
        }
    }
    messages
}

fn note(answer: &mut Answer, turn: usize, reply: Result<Reply, NoReply>) {
    match reply {
        Ok(reply) => {
            answer.turns.push(reply.text);
            answer.timestamp = reply.unix_seconds as f64;
            answer.id = reply.key;
            if let Some(sampled) = &mut answer.sampled {
                sampled.model_version = reply.model_version;
                sampled.own_temperature |= reply.own_temperature;
            }
        }
        Err(failure) => answer.error = Some(format!("turn {turn}: {}", failure.reason)),
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
