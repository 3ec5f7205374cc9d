//! A battle: one person, two models, the same prompts.

use camelid_chat::{Message, Role};
use camelid_ratings::Outcome;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// What a visitor came for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Two models whose names are hidden until the vote.
    Battle,
    /// Two models that the visitor chose.
    SideBySide,
    /// One model.
    Direct,
}

/// What a vote says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The left answer is better.
    Left,
    /// The right one is.
    Right,
    /// Both are equally good.
    Tie,
    /// Both are bad.
    BothBad,
}

impl Mode {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Battle, "battle"), (Self::SideBySide, "side_by_side"), (Self::Direct, "direct")];
}

impl Verdict {
    /// All of them, with the names of FastChat's logs.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Left, "leftvote"),
        (Self::Right, "rightvote"),
        (Self::Tie, "tievote"),
        (Self::BothBad, "bothbad_vote"),
    ];

    /// The name in FastChat's logs.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }

    /// The verdict of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(verdict, _)| *verdict)
    }

    /// Who won, the left model being the first.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Left => Outcome::ModelA,
            Self::Right => Outcome::ModelB,
            Self::Tie | Self::BothBad => Outcome::Tie,
        }
    }

    /// The label of a `winner` column.
    pub fn label(self) -> &'static str {
        match self {
            Self::BothBad => "tie (bothbad)",
            other => other.outcome().label(),
        }
    }
}

fn name_of<T: PartialEq + Copy>(all: &[(T, &'static str)], wanted: T) -> &'static str {
    all.iter().find(|(one, _)| *one == wanted).map_or("", |(_, name)| name)
}

fn read<T: Copy>(all: &[(T, &'static str)], value: ValueRef) -> FromSqlResult<T> {
    let name = value.as_str()?;
    all.iter().find(|(_, known)| *known == name).map(|(one, _)| *one).ok_or(FromSqlError::InvalidType)
}

impl ToSql for Mode {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(name_of(&Self::ALL, *self).into())
    }
}

impl FromSql for Mode {
    fn column_result(value: ValueRef) -> FromSqlResult<Self> {
        read(&Self::ALL, value)
    }
}

impl ToSql for Verdict {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Verdict {
    fn column_result(value: ValueRef) -> FromSqlResult<Self> {
        read(&Self::ALL, value)
    }
}

/// One model's side of a battle.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// The conversation's id.
    pub conversation: String,
    /// The model's name.
    pub model: String,
    /// What was said, the user first.
    pub messages: Vec<Message>,
}

/// A battle as far as it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Battle {
    /// Its id, which nobody can guess: who knows it may vote.
    pub id: String,
    /// What it is.
    pub mode: Mode,
    /// Left and right; one side alone in a direct chat.
    pub sides: Vec<Side>,
    /// Who began it.
    pub user: Option<String>,
    /// Seconds since the Unix epoch.
    pub started: f64,
    /// When the last answer was complete.
    pub finished: f64,
    /// The vote, once there is one.
    pub verdict: Option<Verdict>,
}

impl Battle {
    /// Answered turns.
    pub fn turns(&self) -> usize {
        self.sides.first().map_or(0, |side| side.turns().count())
    }
}

impl Side {
    /// What was asked and what was answered, turn by turn.
    pub fn turns(&self) -> impl Iterator<Item = (&str, &str)> {
        let answers = self.messages.windows(2);
        answers
            .filter(|pair| pair[0].role == Role::User && pair[1].role == Role::Assistant)
            .map(|pair| (pair[0].content.as_str(), pair[1].content.as_str()))
    }
}

/// A visitor's words about a battle that should not be as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The battle.
    pub battle: String,
    /// Who reports.
    pub user: Option<String>,
    /// Seconds since the Unix epoch.
    pub at: f64,
    /// What is wrong.
    pub words: String,
}
