//! A battle from a row's fields.

use std::borrow::Cow;
use std::ops::Range;

use super::Needs;
use super::fields::{
    Cell, Fields, optional_moment, optional_text, optional_truth, optional_turn, optional_votes, text,
};
use super::style::style;
use super::values::quoted;
use crate::battles::{BOTH_BAD, Battles, NamedBattle, Outcome};
use crate::error::RejectedRow;

const OUTCOMES: &str = "model_a, model_b, tie or tie (bothbad), or the name of one of the two models";
const VOTES: &str = "a number of votes";

/// Adds the battle of a row, or the battles that a row of counts stands for. Fields that are not
/// needed and not understood are noted and left out.
pub(super) fn push(battles: &mut Battles, row: &dyn Fields, needs: Needs) -> Result<(), RejectedRow> {
    let model_a = name(row, "model_a")?;
    let model_b = name(row, "model_b")?;
    let verdicts = verdicts(row, &model_a, &model_b)?;
    blind(row)?;
    let texts = |names: &[&str], needed| optional_text(row, names, needed);
    let question = texts(&["question", "question_id"], needs.questions);
    let question = take(battles, needs.questions, question)?;
    let judge = take(battles, needs.judges, texts(&["judge"], needs.judges))?;
    let language = take(battles, needs.languages, texts(&["language"], needs.languages))?;
    let turn = take(battles, needs.turns, optional_turn(row))?;
    let timestamp = take(battles, needs.timestamps, optional_moment(row, &["timestamp", "tstamp"]))?;
    let style = if needs.styles { take(battles, false, style(row))? } else { None };
    for (outcome, both_bad, votes) in verdicts {
        battles.push(&NamedBattle {
            question: question.as_deref(),
            judge: judge.as_deref(),
            language: language.as_deref(),
            turn,
            timestamp,
            style,
            votes,
            both_bad,
            ..NamedBattle::new(&model_a, &model_b, outcome)
        })?;
    }
    Ok(())
}

/// A field that may be missing; where it is not understood, an error if it is needed, else nothing
/// and a note.
fn take<T>(
    battles: &mut Battles,
    needed: bool,
    found: Result<Option<T>, RejectedRow>,
) -> Result<Option<T>, RejectedRow> {
    match found {
        Err(rejected) if !needed => {
            battles.note_unread(rejected);
            Ok(None)
        }
        found => found,
    }
}

/// Outcome, whether it means that both are bad, and the votes for it.
type Verdict = (Outcome, bool, u64);

/// What a row says: a `winner`, one column for each outcome, or counts of each.
fn verdicts(row: &dyn Fields, model_a: &str, model_b: &str) -> Result<Vec<Verdict>, RejectedRow> {
    let weight = optional_votes(row, "weight")?;
    let there = |name: &str| !matches!(row.get(name), Cell::Missing);
    if there("winner") || !(there("winner_model_a") || there("win_a")) {
        let (outcome, both_bad) = winner(row, model_a, model_b)?;
        return Ok(if weight == Some(0) {
            Vec::new()
        } else {
            vec![(outcome, both_bad, weight.unwrap_or(1))]
        });
    }
    if there("win_a") {
        let weight = weight.unwrap_or(1);
        let mut verdicts = Vec::with_capacity(4);
        for (field, outcome, both_bad) in [
            ("win_a", Outcome::ModelA, false),
            ("win_b", Outcome::ModelB, false),
            ("tie", Outcome::Tie, false),
            ("both_bad", Outcome::Tie, true),
        ] {
            let votes = match optional_votes(row, field)? {
                None if field.starts_with("win") => return Err(RejectedRow::new(field, "missing", VOTES)),
                votes => votes.unwrap_or(0),
            };
            let votes = votes.checked_mul(weight).ok_or_else(|| RejectedRow::new(field, votes, VOTES))?;
            if votes > 0 {
                verdicts.push((outcome, both_bad, votes));
            }
        }
        return Ok(verdicts);
    }
    one_hot(row).map(|(outcome, both_bad)| match weight {
        Some(0) => Vec::new(),
        weight => vec![(outcome, both_bad, weight.unwrap_or(1))],
    })
}

/// The outcome by a label or by a model's name; labels come first.
fn winner(row: &dyn Fields, model_a: &str, model_b: &str) -> Result<(Outcome, bool), RejectedRow> {
    let label = text(row, "winner", OUTCOMES)?;
    let label = label.trim();
    let lower = label.to_lowercase();
    if let Some(outcome) = Outcome::from_label(label) {
        return Ok((outcome, BOTH_BAD.contains(&lower.as_str())));
    }
    let by = |same: &dyn Fn(&str) -> bool| match (same(model_a), same(model_b)) {
        (true, false) => Some(Outcome::ModelA),
        (false, true) => Some(Outcome::ModelB),
        _ => None,
    };
    let named = by(&|model| model == label).or_else(|| by(&|model| model.to_lowercase() == lower));
    let outcome = named.or(match lower.as_str() {
        "a" => Some(Outcome::ModelA),
        "b" => Some(Outcome::ModelB),
        "draw" => Some(Outcome::Tie),
        _ => None,
    });
    let outcome = outcome.ok_or_else(|| RejectedRow::new("winner", quoted(label), OUTCOMES))?;
    Ok((outcome, false))
}

/// The outcome whose column says 1, as the arena's files of 55,000 battles have it.
fn one_hot(row: &dyn Fields) -> Result<(Outcome, bool), RejectedRow> {
    const EXPECTED: &str = "1 in exactly one of winner_model_a, winner_model_b and winner_tie";
    let mut found = None;
    let mut set = 0;
    for (field, outcome, both_bad) in [
        ("winner_model_a", Outcome::ModelA, false),
        ("winner_model_b", Outcome::ModelB, false),
        ("winner_tie", Outcome::Tie, false),
        ("winner_tie_bothbad", Outcome::Tie, true),
    ] {
        if optional_truth(row, field)?.unwrap_or(false) {
            set += 1;
            found = Some((outcome, both_bad));
        }
    }
    match found {
        Some(found) if set == 1 => Ok(found),
        _ => Err(RejectedRow::new("winner_model_a", format!("one of {set} that say 1"), EXPECTED)),
    }
}

/// The arena's ratings count votes cast before the models' names were shown: `anony` is true there.
fn blind(row: &dyn Fields) -> Result<(), RejectedRow> {
    match optional_truth(row, "anony")? {
        Some(false) => {
            Err(RejectedRow::new("anony", "false", "true, a vote cast without knowing the models"))
        }
        _ => Ok(()),
    }
}

/// Which rows say whether a vote was blind. Where some do, a row that does not is no blind vote:
/// FastChat counts those whose `anony` is true, and no others.
#[derive(Default)]
pub(super) struct Blindness {
    said: bool,
    /// Places of the battles of rows that do not, and the rows' numbers.
    unsaid: Vec<(Range<usize>, usize)>,
}

impl Blindness {
    /// Looks at a row whose battles, if any, stand at `places`.
    pub(super) fn note(&mut self, row: &dyn Fields, places: Range<usize>, number: usize) {
        match optional_truth(row, "anony") {
            Ok(None) if places.is_empty() => {}
            Ok(None) => self.unsaid.push((places, number)),
            _ => self.said = true,
        }
    }

    /// The battles that count.
    pub(super) fn apply(self, battles: Battles, origin: &str) -> Battles {
        if !self.said || self.unsaid.is_empty() {
            return battles;
        }
        let missing = RejectedRow::new("anony", "missing", "true or false, as in other rows of the file");
        battles
            .without(self.unsaid.into_iter().map(|(places, row)| (places, missing.clone().at(origin, row))))
    }
}

impl RejectedRow {
    /// A vote that was not blind: left out, and no damage.
    pub(crate) fn is_not_blind(&self) -> bool {
        self.field == "anony" && self.found == "false"
    }

    /// A value that decides whether a vote counts, and is not understood.
    pub(crate) fn is_undecided(&self) -> bool {
        self.field == "anony" && self.found != "false" && self.found != "missing"
    }
}

/// A model's name, without blanks around it.
fn name<'a>(row: &'a dyn Fields, field: &str) -> Result<Cow<'a, str>, RejectedRow> {
    text(row, field, "a model's name")
}
