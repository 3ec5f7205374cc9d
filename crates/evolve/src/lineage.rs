//! Every row ever made, and how it came about.

use std::collections::HashSet;
use std::path::Path;

use camelid_files::{Input, write_whole};
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::decontaminate::{Decontaminator, Hit};
use crate::reply::Equality;
use crate::rules::{Ended, Rule, RuleSettings};

/// A request that was made for a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What was asked for.
    pub task: Task,
    /// The model's name.
    pub model: String,
    /// SHA-256 of the request: prompt, model, options and seed (see
    /// [`ChatRequest::key`](camelid_chat::requests::ChatRequest::key)).
    pub request: String,
    /// Seed of sampling.
    pub seed: u64,
    /// Tokens of the prompt, where the model says.
    pub prompt_tokens: Option<usize>,
    /// Tokens of the reply, where the model says.
    pub new_tokens: Option<usize>,
    /// What the call cost, in the currency of the prices, where prices and tokens are known.
    pub cost: Option<f64>,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// To evolve an instruction.
    Evolve,
    /// Whether two instructions are equal.
    Compare,
    /// To answer an instruction.
    Answer,
    /// How difficult an instruction is.
    Rate,
    /// For new instructions.
    Instruct,
    /// What is wrong with a method of evolution.
    Analyse,
    /// For a better method.
    Revise,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.verb())
    }
}

impl Task {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Evolve => "evolve",
            Self::Compare => "compare",
            Self::Answer => "answer",
            Self::Rate => "rate",
            Self::Instruct => "instruct",
            Self::Analyse => "analyse",
            Self::Revise => "revise",
        }
    }
}

/// What was asked of one model for one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// The task.
    pub task: Task,
    /// The model.
    pub model: String,
    /// Requests.
    pub calls: usize,
    /// Tokens of the prompts, where the model said.
    pub prompt_tokens: usize,
    /// Tokens of the replies, where the model said.
    pub new_tokens: usize,
    /// Cost, where prices are known.
    pub cost: Option<f64>,
}

/// One row: a seed, or what came of one evolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// `17` for the seed of that place (from 0); `17.3.1` for what the first attempt of round 3 made of it;
    /// of Self-Instruct the row's own number.
    pub id: String,
    /// The row that was evolved; `None` for a seed.
    pub parent: Option<String>,
    /// The seed's place.
    pub seed: usize,
    /// The round, from 1; 0 for a seed.
    pub round: usize,
    /// The attempt within the round, from 1; 0 for a seed.
    pub attempt: usize,
    /// The operator; `None` for a seed.
    pub operator: Option<String>,
    /// The form of data that the operator was to add.
    pub data_format: Option<String>,
    /// The rows that were shown as demonstrations for it, where it was not evolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demonstrations: Vec<String>,
    /// The instruction, as far as there is one.
    pub instruction: String,
    /// What the instruction works on, where that stands apart from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// The answer, once there is one.
    pub response: Option<String>,
    /// What a judge said of the instruction beside its parent.
    pub judged: Option<Equality>,
    /// How difficult a judge finds it, from 1 to 10.
    pub difficulty: Option<u8>,
    /// The rule that ended the row; `None` for a row that lives.
    pub ended: Option<Ended>,
    /// What it shares with test sets, the instruction's hits before the answer's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
    /// The requests made for it, in order; one that made several rows stands with the first.
    pub calls: Vec<Call>,
}

impl Row {
    /// A row of the line of the seed at `seed`, with an instruction and nothing else yet.
    pub(crate) fn new(id: String, seed: usize, instruction: String) -> Self {
        Self {
            id,
            parent: None,
            seed,
            round: 0,
            attempt: 0,
            operator: None,
            data_format: None,
            demonstrations: Vec::new(),
            instruction,
            input: String::new(),
            response: None,
            judged: None,
            difficulty: None,
            ended: None,
            hits: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// What is asked: the instruction, and on the next line what it works on.
    pub fn question(&self) -> String {
        if self.input.is_empty() {
            self.instruction.clone()
        } else {
            format!("{}\n{}", self.instruction, self.input)
        }
    }

    /// Notes what a text of the row shares with test sets, and ends the row for it.
    pub(crate) fn screen(&mut self, text: &str, against: &Decontaminator, rules: &RuleSettings) {
        if self.ended.is_some() {
            return;
        }
        let hits = against.hits(text);
        if let Some(first) = hits.first().filter(|_| rules.applies(Rule::Contaminated)) {
            self.ended = Some(Ended::by(Rule::Contaminated, first.to_string()));
        }
        self.hits.extend(hits);
    }

    /// Whether the row is part of the data: nothing ended it, and it has an answer.
    pub fn lives(&self) -> bool {
        self.ended.is_none() && self.response.is_some()
    }
}

/// Reads a lineage: a row a line, parents before their children.
///
/// # Errors
/// A file that cannot be read, a line that is no row, an id twice, a parent that is not there.
pub fn read(path: &Path) -> Result<Vec<Row>, EvolveError> {
    let text = Input::open(path)?.text()?;
    let mut seen = HashSet::new();
    let row = |(at, line): (usize, &str)| {
        let bad = |problem| EvolveError::Lineage { path: path.to_owned(), line: at + 1, problem };
        let row: Row = serde_json::from_str(line).map_err(|error| bad(camelid_files::json::words(&error)))?;
        if let Some(parent) = row.parent.as_ref().filter(|parent| !seen.contains(*parent)) {
            return Err(bad(format!("`parent` is {parent}, which no earlier line has")));
        }
        if !seen.insert(row.id.clone()) {
            return Err(bad(format!("`id` {} stands there twice", row.id)));
        }
        Ok(row)
    };
    text.lines().enumerate().map(row).collect()
}

/// Writes a lineage whole.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), EvolveError> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row).expect("a row is plain data"));
        text.push('\n');
    }
    Ok(write_whole(path, text.as_bytes())?)
}
