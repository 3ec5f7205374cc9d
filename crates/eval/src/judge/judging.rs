//! Putting answers to a judge.

use camelid_chat::{GenerateOptions, Message, Role};
use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::ask::{Ask, NoReply, Stage};
use super::error::JudgeError;
use super::judgment::Judgment;
use super::model::Model;
use super::prompts::{Case, JudgePrompt, PromptSet};
use super::protocol::Protocol;
use super::questions::{Question, QuestionSet};
use super::verdict::{self, OutputFormat};
use camelid_chat::requests::{ChatRequest, Reply, RunError};

/// What a judge is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A grade for each answer.
    Single,
    /// The better of two answers, in both presentation orders.
    Pair,
    /// Grades for two answers at once, in both presentation orders: Vicuna's first evaluation.
    Scores,
}

impl Mode {
    /// How the verdict is asked for.
    pub fn output(self) -> OutputFormat {
        match self {
            Self::Single => OutputFormat::Rating,
            Self::Pair => OutputFormat::Winner,
            Self::Scores => OutputFormat::TwoRatings,
        }
    }
}

/// Which models are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opponents {
    /// Every two.
    All,
    /// Each with this one.
    Baseline(String),
}

/// A judge.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The model that judges.
    pub model: Model,
    /// Its prompts.
    pub prompts: PromptSet,
    /// Its temperature and length, and which categories want a reference answer.
    pub protocol: Protocol,
    /// Judge every category without reference answers.
    pub without_references: bool,
}

/// What lies before the judge.
#[derive(Debug, Clone, Copy)]
pub struct Exhibits<'a> {
    /// The questions.
    pub questions: &'a QuestionSet,
    /// Answers, model by model.
    pub answers: &'a [Answers],
    /// Right answers, besides those that questions have of their own.
    pub references: Option<&'a Answers>,
}

/// One verdict to ask for: an answer to be graded, or two to be compared.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    question: &'a Question,
    turn: usize,
    model: &'a str,
    opponent: Option<&'a str>,
    prompt: &'a JudgePrompt,
    /// The request, or why there can be none: an answer that is missing.
    request: Result<ChatRequest, String>,
}

impl Judge {
    /// Everything the judge will be asked: for each question and each of its turns every answer, or
    /// every pair of answers in both orders. An answer that is missing makes a match without
    /// a request, and later a judgment without a verdict.
    ///
    /// # Errors
    /// [`JudgeError::Models`] for too few models, two of the same name or an unknown baseline;
    /// [`JudgeError::NoReference`] and [`JudgeError::NoPrompt`] for what a case needs.
    pub fn matches<'a>(
        &'a self,
        mode: Mode,
        opponents: &Opponents,
        exhibits: Exhibits<'a>,
    ) -> Result<Vec<Match<'a>>, JudgeError> {
        let games = games(mode, opponents, exhibits.answers)?;
        let mut matches = Vec::new();
        for question in &exhibits.questions.questions {
            let references = self.references(question, exhibits.references)?;
            for turn in 1..=question.turns.len() {
                let case =
                    Case { output: mode.output(), reference: references.is_some(), second_turn: turn == 2 };
                let prompt = self.prompts.get(case)?;
                for &(first, second) in &games {
                    let shown = Shown { question, turn, references, first, second };
                    matches.push(Match {
                        question,
                        turn,
                        model: &first.model,
                        opponent: second.map(|second| second.model.as_str()),
                        prompt,
                        request: shown.fill(prompt).map(|text| self.request(prompt, text)),
                    });
                }
            }
        }
        Ok(matches)
    }

    /// Asks for every verdict.
    ///
    /// # Errors
    /// [`RunError`] when the batch ended early; what had arrived is in the store.
    pub fn judge(&self, ask: &mut dyn Ask, matches: &[Match]) -> Result<Vec<Judgment>, RunError> {
        let requests: Vec<ChatRequest> =
            matches.iter().filter_map(|game| game.request.clone().ok()).collect();
        let mut replies = ask.ask(&Stage::Judgments, &requests)?.into_iter();
        let judgment = |game: &Match| match &game.request {
            // There is a reply for every request.
            Ok(request) => match replies.next() {
                Some(Ok(reply)) => self.read(game, reply),
                Some(Err(failure)) => self.failed(game, Some(request.key()), failure),
                None => self.failed(game, Some(request.key()), NoReply::from("no reply".to_owned())),
            },
            Err(missing) => self.failed(game, None, NoReply::from(missing.clone())),
        };
        Ok(matches.iter().map(judgment).collect())
    }

    /// The right answers to a question, where its category is judged beside them.
    fn references<'a>(
        &self,
        question: &'a Question,
        references: Option<&'a Answers>,
    ) -> Result<Option<&'a [String]>, JudgeError> {
        if self.without_references || !self.protocol.needs_reference(&question.category) {
            return Ok(None);
        }
        let given = references.and_then(|references| references.to(&question.id));
        let turns = given.map_or(&question.reference, |answer| &answer.turns);
        if turns.len() < question.turns.len() {
            return Err(JudgeError::NoReference {
                question: question.id.clone(),
                category: question.category.clone(),
                turn: turns.len() as u32 + 1,
            });
        }
        Ok(Some(turns))
    }

    fn request(&self, prompt: &JudgePrompt, text: String) -> ChatRequest {
        let mut messages = Vec::new();
        if !prompt.system.is_empty() {
            messages.push(Message::new(Role::System, &prompt.system));
        }
        messages.push(Message::new(Role::User, text));
        ChatRequest {
            model: self.model.request_name.clone(),
            messages,
            options: GenerateOptions {
                max_new_tokens: self.protocol.judge.max_new_tokens,
                temperature: self.protocol.judge.temperature,
                ..GenerateOptions::default()
            },
        }
    }

    /// Whether a reply came to its end and says something, so that it need not be asked for again.
    ///
    /// # Errors
    /// Why not.
    pub fn accepts(&self, reply: &Reply, format: OutputFormat) -> Result<(), String> {
        let most = self.protocol.judge.max_new_tokens;
        verdict::unfinished(&reply.text, reply.reason, format, most).map_or(Ok(()), Err)
    }

    fn read(&self, game: &Match, reply: Reply) -> Judgment {
        let format = game.prompt.case.output;
        let read = self.accepts(&reply, format).and_then(|()| verdict::read(&reply.text, format));
        Judgment {
            verdict: read.clone().ok(),
            error: read.err(),
            contradictory: format == OutputFormat::Winner && verdict::contradicts_itself(&reply.text),
            text: reply.text,
            judge_version: reply.model_version,
            own_temperature: reply.own_temperature,
            request: Some(reply.key),
            prompt_tokens: reply.prompt_tokens,
            new_tokens: reply.new_tokens,
            timestamp: reply.unix_seconds as f64,
            ..self.blank(game)
        }
    }

    fn failed(&self, game: &Match, request: Option<String>, failure: NoReply) -> Judgment {
        Judgment { error: Some(failure.reason), text: failure.text, request, ..self.blank(game) }
    }

    fn blank(&self, game: &Match) -> Judgment {
        Judgment {
            question: game.question.id.clone(),
            category: game.question.category.clone(),
            turn: game.turn as u32,
            model: game.model.to_owned(),
            opponent: game.opponent.map(str::to_owned),
            judge: self.model.name.clone(),
            temperature: Some(self.protocol.judge.temperature),
            prompt: game.prompt.name.clone(),
            prompt_hash: game.prompt.hash.clone(),
            ..Judgment::default()
        }
    }
}

impl From<String> for NoReply {
    fn from(reason: String) -> Self {
        Self { reason, text: String::new() }
    }
}

/// Answers that are shown together: one, or two in their order.
type Game<'a> = (&'a Answers, Option<&'a Answers>);

/// Every answer alone, or every pair in both orders, the orders one after the other.
fn games<'a>(mode: Mode, opponents: &Opponents, answers: &'a [Answers]) -> Result<Vec<Game<'a>>, JudgeError> {
    let wrong = |message: String| JudgeError::Models {
        message,
        present: answers.iter().map(|a| a.model.as_str()).collect::<Vec<_>>().join(", "),
    };
    for (i, own) in answers.iter().enumerate() {
        if answers[..i].iter().any(|other| other.model == own.model) {
            return Err(wrong(format!("two models are called `{}`; expected different names", own.model)));
        }
    }
    if mode == Mode::Single {
        return match answers {
            [] => Err(wrong("no model; expected at least one".to_owned())),
            _ => Ok(answers.iter().map(|own| (own, None)).collect()),
        };
    }
    if answers.len() < 2 {
        return Err(wrong("one model only; expected at least two to compare".to_owned()));
    }
    let mut pairs: Vec<(&Answers, &Answers)> = Vec::new();
    match opponents {
        Opponents::All => {
            for (i, first) in answers.iter().enumerate() {
                pairs.extend(answers[i + 1..].iter().map(|second| (first, second)));
            }
        }
        Opponents::Baseline(name) => {
            let baseline = answers.iter().find(|own| own.model == *name);
            let baseline = baseline.ok_or_else(|| wrong(format!("no model is called `{name}`")))?;
            pairs.extend(answers.iter().filter(|own| own.model != *name).map(|own| (own, baseline)));
        }
    }
    Ok(pairs.into_iter().flat_map(|(a, b)| [(a, Some(b)), (b, Some(a))]).collect())
}

/// What fills a prompt.
struct Shown<'a> {
    question: &'a Question,
    turn: usize,
    references: Option<&'a [String]>,
    first: &'a Answers,
    second: Option<&'a Answers>,
}

impl<'a> Shown<'a> {
    /// The user message, or why an answer is missing.
    fn fill(&self, prompt: &JudgePrompt) -> Result<String, String> {
        let turns = |answers: &'a Answers| {
            let answer = answers.to(&self.question.id).ok_or("no answer to the question".to_owned());
            let turns = answer.and_then(|answer| answer.up_to(self.turn));
            turns.map_err(|reason| format!("no answer of {}: {reason}", answers.model))
        };
        let first = turns(self.first)?;
        let second = self.second.map(turns).transpose()?;
        let text = |texts: Option<&'a [String]>, turn: usize| Some(texts?.get(turn - 1)?.as_str());
        let filled = prompt.template.fill(|name| match name {
            "question" | "question_1" => text(Some(&self.question.turns), 1),
            "question_2" => text(Some(&self.question.turns), 2),
            "answer" | "answer_1" | "answer_a" | "answer_a_1" => text(Some(first), 1),
            "answer_2" | "answer_a_2" => text(Some(first), 2),
            "answer_b" | "answer_b_1" => text(second, 1),
            "answer_b_2" => text(second, 2),
            "ref_answer_1" => text(self.references, 1),
            "ref_answer_2" => text(self.references, 2),
            _ => None,
        });
        // The prompt's placeholders were checked when it was read.
        filled.map_err(|name| format!("nothing fills `{{{name}}}` of prompt `{}`", prompt.name))
    }
}
