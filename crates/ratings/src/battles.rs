//! Battles: two models, one question, one verdict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{RatingsError, RejectedRow};
use crate::unseen::trimmed;

/// The field of a note on a row as a whole.
pub(crate) const ROW: &str = "row";
/// What is expected of `model_b`.
const ANOTHER_MODEL: &str = "another model than `model_a`";

/// Who won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model that was shown first, `model_a`.
    ModelA,
    /// The model that was shown second, `model_b`.
    ModelB,
    /// Neither: equally good or equally bad.
    Tie,
}

impl Outcome {
    /// What the label of a `winner` column means; `None` for a label that is not known.
    ///
    /// FastChat writes `model_a`, `model_b`, `tie`, `tie (bothbad)` and, where a judge
    /// contradicted itself, `tie (inconsistent)`; later arena files `both_bad`.
    pub fn from_label(label: &str) -> Option<Self> {
        match label.trim().to_lowercase().as_str() {
            "model_a" => Some(Self::ModelA),
            "model_b" => Some(Self::ModelB),
            "tie" | "tie (inconsistent)" => Some(Self::Tie),
            other if BOTH_BAD.contains(&other) => Some(Self::Tie),
            _ => None,
        }
    }

    /// The label of a `winner` column.
    pub fn label(self) -> &'static str {
        match self {
            Self::ModelA => "model_a",
            Self::ModelB => "model_b",
            Self::Tie => "tie",
        }
    }

    /// What the first model scores: 1, 0, or ½ for a tie.
    pub fn score(self) -> f64 {
        match self {
            Self::ModelA => 1.0,
            Self::ModelB => 0.0,
            Self::Tie => 0.5,
        }
    }

    /// The outcome as seen from the other side.
    pub fn swapped(self) -> Self {
        match self {
            Self::ModelA => Self::ModelB,
            Self::ModelB => Self::ModelA,
            Self::Tie => Self::Tie,
        }
    }
}

/// Labels of a tie that says that both answers are bad, in lower case.
pub(crate) const BOTH_BAD: [&str; 5] = ["tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "both bad"];

/// How the text of one answer looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Style {
    /// Tokens, or characters where nothing counted tokens; one unit in all battles.
    pub length: f32,
    /// Markdown headers.
    pub headers: f32,
    /// Items of ordered and unordered lists.
    pub lists: f32,
    /// Bold passages.
    pub bold: f32,
}

/// One verdict; models, questions, judges and languages are indices into [`Battles`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battle {
    /// The model shown first.
    pub a: u32,
    /// The model shown second.
    pub b: u32,
    /// Who won.
    pub outcome: Outcome,
    /// The question.
    pub question: Option<u32>,
    /// Who judged.
    pub judge: Option<u32>,
    /// The language of the conversation.
    pub language: Option<u32>,
    /// The turn that was judged, from 1.
    pub turn: Option<u32>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<f64>,
    /// Style of the first and of the second answer.
    pub style: Option<[Style; 2]>,
    /// How many votes said the same: 1, or the count of a table of counts.
    pub votes: u64,
    /// The tie says that both answers are bad.
    pub both_bad: bool,
}

/// One verdict with its names, as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedBattle<'a> {
    /// The model shown first.
    pub model_a: &'a str,
    /// The model shown second.
    pub model_b: &'a str,
    /// Who won.
    pub outcome: Outcome,
    /// The question.
    pub question: Option<&'a str>,
    /// Who judged.
    pub judge: Option<&'a str>,
    /// The language of the conversation.
    pub language: Option<&'a str>,
    /// The turn that was judged, from 1.
    pub turn: Option<u32>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<f64>,
    /// Style of the first and of the second answer.
    pub style: Option<[Style; 2]>,
    /// How many votes said the same: 1, or the count of a table of counts.
    pub votes: u64,
    /// The tie says that both answers are bad.
    pub both_bad: bool,
}

impl<'a> NamedBattle<'a> {
    /// A battle of which nothing more is known.
    pub fn new(model_a: &'a str, model_b: &'a str, outcome: Outcome) -> Self {
        Self {
            model_a,
            model_b,
            outcome,
            question: None,
            judge: None,
            language: None,
            turn: None,
            timestamp: None,
            style: None,
            votes: 1,
            both_bad: false,
        }
    }
}

/// Names and their indices, in the order of their first appearance.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<String>,
    indices: HashMap<String, u32>,
}

impl Names {
    /// The index of `name`, new or old.
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.indices.get(name) {
            return index;
        }
        let index = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.indices.insert(name.to_owned(), index);
        index
    }

    /// The name of an index.
    pub fn name(&self, index: u32) -> &str {
        &self.names[index as usize]
    }

    /// The index of a name.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.indices.get(name).copied()
    }

    /// All names by index.
    pub fn all(&self) -> &[String] {
        &self.names
    }
}

/// Verdicts and the rows that were none.
#[derive(Debug, Clone, Default)]
pub struct Battles {
    models: Names,
    questions: Names,
    judges: Names,
    languages: Names,
    rows: Vec<Battle>,
    rejected: Vec<RejectedRow>,
    unread: BTreeMap<String, Unread>,
}

/// Values of a field that were not understood and are not needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// How many rows hold one.
    pub rows: usize,
    /// The first of them.
    pub first: RejectedRow,
}

impl Battles {
    /// No battles yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a battle.
    ///
    /// # Errors
    /// A [`RejectedRow`] when a model's name is empty or both are the same.
    pub fn push(&mut self, battle: &NamedBattle) -> Result<(), RejectedRow> {
        for (field, name) in [("model_a", battle.model_a), ("model_b", battle.model_b)] {
            if trimmed(name).is_empty() {
                return Err(RejectedRow::new(field, "empty", "a model's name"));
            }
        }
        let (model_a, model_b) = (trimmed(battle.model_a), trimmed(battle.model_b));
        if model_a == model_b {
            return Err(RejectedRow::new("model_b", model_b, ANOTHER_MODEL));
        }
        self.rows.push(Battle {
            a: self.models.intern(model_a),
            b: self.models.intern(model_b),
            outcome: battle.outcome,
            question: battle.question.map(|name| self.questions.intern(name)),
            judge: battle.judge.map(|name| self.judges.intern(name)),
            language: battle.language.map(|name| self.languages.intern(name)),
            turn: battle.turn,
            timestamp: battle.timestamp,
            style: battle.style,
            votes: battle.votes,
            both_bad: battle.both_bad,
        });
        Ok(())
    }

    /// Notes a row that is no battle.
    pub fn reject(&mut self, row: RejectedRow) {
        self.rejected.push(row);
    }

    /// Notes a field that is not understood and not needed.
    pub(crate) fn note_unread(&mut self, row: RejectedRow) {
        match self.unread.get_mut(&row.field) {
            Some(unread) => unread.rows += 1,
            None => {
                self.unread.insert(row.field.clone(), Unread { rows: 1, first: row });
            }
        }
    }

    /// Gives those notes their place that have none yet.
    pub(crate) fn place_unread(&mut self, origin: &str, row: usize) {
        for unread in self.unread.values_mut().filter(|unread| unread.first.row == 0) {
            unread.first = unread.first.clone().at(origin, row);
        }
    }

    /// Fields whose values were not understood and were not needed, by name.
    pub fn unread(&self) -> &BTreeMap<String, Unread> {
        &self.unread
    }

    /// The same in words, a sentence each.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        self.unread.iter().map(|(field, Unread { rows, first })| match field.as_str() {
            ROW => format!("{} in {rows} rows, the first: {}, row {}", first.found, first.origin, first.row),
            _ => format!("`{field}` was not understood in {rows} rows, which count without it: {first}"),
        })
    }

    /// Rows that say again what a row before them said: the same question or time, pair, judge, turn,
    /// language and verdict. Rows that tell neither question nor time cannot be told apart.
    pub fn repeated(&self) -> usize {
        let told = self.rows.iter().filter(|row| row.question.is_some() || row.timestamp.is_some());
        let mut seen = HashSet::new();
        told.filter(|row| {
            let time = row.timestamp.map(f64::to_bits);
            let outcome = (row.outcome.label(), row.both_bad, row.votes);
            !seen.insert((row.a, row.b, outcome, row.question, row.judge, row.turn, row.language, time))
        })
        .count()
    }

    /// Adds all battles and rejected rows of `other`.
    pub fn extend(&mut self, other: &Battles) {
        for row in &other.rows {
            // A battle that `other` holds has two names that differ.
            let added = self.push(&other.named(row));
            debug_assert!(added.is_ok());
        }
        self.rejected.extend_from_slice(&other.rejected);
        for (field, unread) in &other.unread {
            match self.unread.get_mut(field) {
                Some(own) => own.rows += unread.rows,
                None => {
                    self.unread.insert(field.clone(), unread.clone());
                }
            }
        }
    }

    /// A battle with its names.
    pub fn named(&self, battle: &Battle) -> NamedBattle<'_> {
        NamedBattle {
            model_a: self.models.name(battle.a),
            model_b: self.models.name(battle.b),
            outcome: battle.outcome,
            question: battle.question.map(|i| self.questions.name(i)),
            judge: battle.judge.map(|i| self.judges.name(i)),
            language: battle.language.map(|i| self.languages.name(i)),
            turn: battle.turn,
            timestamp: battle.timestamp,
            style: battle.style,
            votes: battle.votes,
            both_bad: battle.both_bad,
        }
    }

    /// The battles for which `keep` says so; rejected rows stay noted.
    pub fn filter(&self, keep: impl Fn(&NamedBattle) -> bool) -> Battles {
        let mut kept =
            Battles { rejected: self.rejected.clone(), unread: self.unread.clone(), ..Battles::default() };
        for row in &self.rows {
            let named = self.named(row);
            if keep(&named) {
                let added = kept.push(&named);
                debug_assert!(added.is_ok());
            }
        }
        kept
    }

    /// These battles without those of rows that do not say what the other rows say: each such row
    /// with the places of its battles.
    pub(crate) fn without(self, unsaid: impl Iterator<Item = (Range<usize>, RejectedRow)>) -> Battles {
        let mut kept =
            Battles { rejected: self.rejected.clone(), unread: self.unread.clone(), ..Battles::default() };
        let mut gone = HashSet::new();
        for (places, row) in unsaid {
            gone.extend(places);
            kept.rejected.push(row);
        }
        for (_, row) in self.rows.iter().enumerate().filter(|(place, _)| !gone.contains(place)) {
            let added = kept.push(&self.named(row));
            debug_assert!(added.is_ok());
        }
        kept.rejected.sort_by_key(|row| row.row);
        kept
    }

    /// The same battles in the order of their timestamps; those without one come first.
    pub fn sort_by_time(&mut self) {
        let time = |row: &Battle| row.timestamp.unwrap_or(f64::NEG_INFINITY);
        self.rows.sort_by(|a, b| time(a).total_cmp(&time(b)));
    }

    /// The battles, in the order in which they were read.
    pub fn rows(&self) -> &[Battle] {
        &self.rows
    }

    /// The number of votes, where a row of a table of counts stands for many.
    pub fn votes(&self) -> u64 {
        self.rows.iter().map(|row| row.votes).sum()
    }

    /// That every row is one vote.
    ///
    /// # Errors
    /// [`RatingsError::Counted`] for rows of a table of counts; `what` needs the votes one by one.
    pub fn one_by_one(&self, what: &'static str) -> Result<(), RatingsError> {
        if self.is_counted() { Err(RatingsError::Counted { what }) } else { Ok(()) }
    }

    /// Whether some row stands for several votes.
    pub fn is_counted(&self) -> bool {
        self.rows.iter().any(|row| row.votes != 1)
    }

    /// The number of battles of each model, by index.
    pub fn battles_by_model(&self) -> Vec<u64> {
        let mut played = vec![0; self.models().len()];
        for row in &self.rows {
            played[row.a as usize] += row.votes;
            played[row.b as usize] += row.votes;
        }
        played
    }

    /// Rows that were no battles.
    pub fn rejected(&self) -> &[RejectedRow] {
        &self.rejected
    }

    /// Model names by index, in the order of their first appearance.
    pub fn models(&self) -> &[String] {
        self.models.all()
    }

    /// The questions.
    pub fn questions(&self) -> &Names {
        &self.questions
    }

    /// The judges.
    pub fn judges(&self) -> &Names {
        &self.judges
    }

    /// The languages.
    pub fn languages(&self) -> &Names {
        &self.languages
    }

    /// The index of a model.
    ///
    /// # Errors
    /// [`RatingsError::UnknownModel`] with the names there are.
    pub fn model(&self, name: &str) -> Result<u32, RatingsError> {
        self.models.index(name).ok_or_else(|| unknown_model(name, self.models()))
    }

    /// That there is something to rate.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without a battle, naming the first rejected row;
    /// [`RatingsError::OneModel`] when every row sets one and the same model against itself.
    pub fn check(&self, origin: &str) -> Result<(), RatingsError> {
        if !self.rows.is_empty() {
            return Ok(());
        }
        if let Some(first) = self.rejected.first()
            && self.rejected.iter().all(|row| row.expected == ANOTHER_MODEL && row.found == first.found)
        {
            return Err(RatingsError::OneModel { origin: origin.to_owned(), model: first.found.clone() });
        }
        let reason = match self.rejected.first() {
            Some(first) => format!("all {} rows were rejected, the first: {first}", self.rejected.len()),
            None => "there is not one row".to_owned(),
        };
        Err(RatingsError::Empty { origin: origin.to_owned(), reason })
    }
}

/// The error about a model without a battle.
pub(crate) fn unknown_model(name: &str, models: &[String]) -> RatingsError {
    RatingsError::UnknownModel { model: name.to_owned(), present: models.join(", ") }
}
