//! Putting a question set to a model.

use camelid_chat::{GenerateOptions, Message, Role};

use super::answers::{Answer, Answers, Sampled};
use super::ask::{Ask, NoReply, Stage};
use super::protocol::Protocol;
use super::questions::QuestionSet;
use camelid_chat::requests::{ChatRequest, Reply, RunError};

/// A model that answers questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// Its name in reports.
    pub name: String,
    /// Its name in requests, which tells it apart from every other model (see
    /// [`ChatRequest::model`]).
    pub model: String,
}

/// A model's answers to every question, all first turns and then all second ones, each at the
/// temperature of its question. A question whose first turn came to nothing is not asked further;
/// its [`Answer::error`] says why.
///
/// # Errors
/// [`RunError`] when a batch ended early; what had arrived is in the store.
pub fn answer_all(
    ask: &mut dyn Ask,
    contestant: &Contestant,
    questions: &QuestionSet,
    protocol: &Protocol,
    seed: u64,
) -> Result<Answers, RunError> {
    let sampled = |question| Sampled {
        temperature: protocol.temperature(question),
        max_new_token: protocol.max_new_tokens,
        model_version: None,
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
                model: contestant.model.clone(),
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
        let stage = Stage::Answers { model: contestant.name.clone(), turn };
        for (i, reply) in open.into_iter().zip(ask.ask(&stage, &requests)?) {
            note(&mut answers[i], turn, reply);
        }
    }
    Ok(Answers::new(&contestant.name, answers))
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
            }
        }
        Err(failure) => answer.error = Some(format!("turn {turn}: {}", failure.reason)),
    }
}
