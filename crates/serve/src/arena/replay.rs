//! Stored answers of MT-bench as players: the real Vicuna, Guanaco and WizardLM without their weights.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, StopReason, TextGenerator};
use camelid_files::Records;
use serde_json::Value;

use super::error::ArenaError;
use super::player::Player;

/// The questions that stored answers belong to, with their turns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Questions(BTreeMap<i64, Vec<String>>);

impl Questions {
    /// Reads FastChat's `question.jsonl`: `{"question_id", "turns": [...]}` a line.
    ///
    /// # Errors
    /// [`ArenaError::Line`] with line and field.
    pub fn read(path: &Path) -> Result<Self, ArenaError> {
        let mut questions = BTreeMap::new();
        each_line(path, |fields| {
            let id = id_of(fields)?;
            let turns = texts(fields.get("turns")).ok_or(("turns", "a list of prompts"))?;
            questions.insert(id, turns);
            Ok(())
        })?;
        Ok(Self(questions))
    }

    /// The first prompts, which a page may offer.
    pub fn openings(&self) -> impl Iterator<Item = &[String]> {
        self.0.values().map(Vec::as_slice)
    }
}

/// One model's answers.
struct Replay {
    /// By the prompts before and with it, each answer.
    answers: BTreeMap<Vec<String>, String>,
    /// Between two pieces of an answer.
    pause: Duration,
}

/// What a replayed model says to a question that it was never asked.
pub const UNKNOWN: &str =
    "This answerer only knows the questions of MT-bench, two turns each; please choose one of those below.";

/// Reads every `NAME.jsonl` of a folder of stored answers (`{"question_id", "choices": [{"turns"}]}` a
/// line) as a player of that name.
///
/// # Errors
/// [`ArenaError::Line`] with line and field; [`ArenaError::Content`] for a folder without answers.
pub fn players(folder: &Path, questions: &Questions, pause: Duration) -> Result<Vec<Player>, ArenaError> {
    let list = std::fs::read_dir(folder).map_err(camelid_files::FileError::io(folder, "read"))?;
    let mut paths: Vec<_> = list
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    let mut players = Vec::new();
    for path in &paths {
        let mut answers = BTreeMap::new();
        each_line(path, |fields| {
            let id = id_of(fields)?;
            let choice = fields.get("choices").and_then(|choices| choices.get(0));
            let turns = choice.and_then(|choice| texts(choice.get("turns")));
            let turns = turns.ok_or(("choices[0].turns", "a list of answers"))?;
            for (turn, answer) in turns.into_iter().enumerate() {
                let prompts = questions.0.get(&id).filter(|prompts| prompts.len() > turn);
                if let Some(prompts) = prompts {
                    answers.insert(prompts[..=turn].iter().map(|p| p.trim().to_owned()).collect(), answer);
                }
            }
            Ok(())
        })?;
        if answers.is_empty() {
            let problem = "no answer to one of the questions".to_owned();
            return Err(ArenaError::Content { path: path.clone(), problem });
        }
        let name = camelid_files::stem(path);
        players.push(Player::new(name, Arc::new(Replay { answers, pause })));
    }
    if players.is_empty() {
        let problem = "no file NAME.jsonl with answers in it".to_owned();
        return Err(ArenaError::Content { path: folder.to_owned(), problem });
    }
    Ok(players)
}

impl TextGenerator for Replay {
    fn generate(
        &self,
        messages: &[Message],
        _: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let asked = messages.iter().filter(|message| message.role == Role::User);
        let prompts: Vec<String> = asked.map(|message| message.content.trim().to_owned()).collect();
        let text = self.answers.get(&prompts).map_or(UNKNOWN, String::as_str);
        Ok(give(text, self.pause, on_text))
    }
}

/// Hands a text on word by word.
pub(super) fn give(
    text: &str,
    pause: Duration,
    on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> GeneratedText {
    let mut given = String::new();
    let mut reason = StopReason::TurnEnd;
    for piece in text.split_inclusive(' ') {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        given.push_str(piece);
        if on_text(piece) == ControlFlow::Break(()) {
            reason = StopReason::Cancelled;
            break;
        }
    }
    GeneratedText {
        text: given,
        prompt_tokens: None,
        new_tokens: None,
        reason,
        model_version: None,
        own_temperature: false,
    }
}

type Fields = serde_json::Map<String, Value>;
/// The field that is wrong, and what was expected.
type Fault = (&'static str, &'static str);

fn each_line(path: &Path, mut each: impl FnMut(&Fields) -> Result<(), Fault>) -> Result<(), ArenaError> {
    let mut records = Records::open(path)?;
    while let Some(record) = records.next_record()? {
        let line = |number: u64, field: &str, found: String, expected| ArenaError::Line {
            path: path.to_owned(),
            line: number,
            field: field.to_owned(),
            found,
            expected,
        };
        let record = record.map_err(|bad| line(bad.place.number(), "line", bad.message, "a JSON object"))?;
        each(&record.fields).map_err(|(field, expected)| {
            let first = field.split(['[', '.']).next().unwrap_or(field);
            let found = record
                .fields
                .get(first)
                .map_or("missing".to_owned(), |value| value.to_string().chars().take(60).collect());
            line(record.place.number(), field, found, expected)
        })?;
    }
    Ok(())
}

fn id_of(fields: &Fields) -> Result<i64, Fault> {
    fields.get("question_id").and_then(Value::as_i64).ok_or(("question_id", "a whole number"))
}

fn texts(list: Option<&Value>) -> Option<Vec<String>> {
    list?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_answer_comes_to_its_question_and_turn() {
        let folder = tempfile::tempdir().unwrap();
        let questions = folder.path().join("question.json");
        std::fs::write(&questions, r#"{"question_id": 81, "turns": ["Write.", "Rewrite."]}"#).unwrap();
        let questions = Questions::read(&questions).unwrap();
        let answers = folder.path().join("tinker.jsonl");
        let line = r#"{"question_id": 81, "choices": [{"index": 0, "turns": ["First one.", "Second."]}]}"#;
        std::fs::write(&answers, line).unwrap();
        let players = players(folder.path(), &questions, Duration::ZERO).unwrap();
        assert_eq!(players.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["tinker"]);
        let ask = |messages: &[Message]| {
            let mut pieces = 0;
            let options = GenerateOptions::default();
            let given = players[0].generator.generate(messages, &options, &mut |_| {
                pieces += 1;
                ControlFlow::Continue(())
            });
            (given.unwrap().text, pieces)
        };
        let first = Message::new(Role::User, "Write.\n");
        assert_eq!(ask(std::slice::from_ref(&first)), ("First one.".to_owned(), 2));
        let second =
            [first, Message::new(Role::Assistant, "First one."), Message::new(Role::User, "Rewrite.")];
        assert_eq!(ask(&second).0, "Second.");
        assert_eq!(ask(&[Message::new(Role::User, "Rewrite.")]).0, UNKNOWN);

        std::fs::write(&answers, r#"{"question_id": 81, "choices": []}"#).unwrap();
        let message = super::players(folder.path(), &questions, Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains("line 1: `choices[0].turns` is []"), "{message}");
    }
}
