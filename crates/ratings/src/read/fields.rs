//! A battle from named fields, wherever they come from.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use super::Needs;
use super::style::{Metadata, style};
use super::values::{TRUTHS, moment, seconds, truth};
use crate::battles::{BOTH_BAD, Battles, NamedBattle, Outcome};
use crate::error::RejectedRow;
use crate::unseen::trimmed;

/// One field of a row.
pub(super) enum Cell<'a> {
    /// It is not there, or null, or an empty text.
    Missing,
    Text(Cow<'a, str>),
    /// A whole number, exact.
    Whole(i128),
    Number(f64),
    Truth(bool),
    /// A moment, in seconds since the Unix epoch.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "only Parquet has moments"))]
    Moment(f64),
    /// Something else, as it is shown.
    Other(String),
}

/// A row with named fields.
pub(super) trait Fields {
    /// The field of that name.
    fn get(&self, name: &str) -> Cell<'_>;

    /// FastChat's `conv_metadata`.
    fn metadata(&self) -> Metadata<'_>;
}

/// Numbers above this are not all there as `f64`: two ids may look the same.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// What programs write where they have no value, in lower case.
pub(super) const NO_VALUE: [&str; 6] = ["nan", "none", "null", "na", "n/a", "<na>"];
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

/// A text that has to be there, without blanks around it; a number is taken as its digits.
pub(super) fn text<'a>(row: &'a dyn Fields, name: &str, expected: &str) -> Result<Cow<'a, str>, RejectedRow> {
    match row.get(name) {
        Cell::Text(Cow::Borrowed(text)) => Ok(Cow::Borrowed(trimmed(text))),
        Cell::Text(Cow::Owned(text)) => Ok(Cow::Owned(trimmed(&text).to_owned())),
        Cell::Whole(number) => Ok(Cow::Owned(number.to_string())),
        Cell::Number(number) if number.is_finite() && number.abs() < EXACT => {
            Ok(Cow::Owned(number.to_string()))
        }
        Cell::Number(number) => {
            Err(RejectedRow::new(name, number, "a text, or a number that is held exactly"))
        }
        Cell::Truth(truth) => Ok(Cow::Owned(truth.to_string())),
        Cell::Moment(seconds) => Ok(Cow::Owned(seconds.to_string())),
        Cell::Missing => Err(RejectedRow::new(name, "missing", expected)),
        Cell::Other(found) => Err(RejectedRow::new(name, found, expected)),
    }
}

/// The first of several fields that is there, as text. What is neither text nor number is nothing to
/// tell rows by: an error.
pub(super) fn optional_text<'a>(
    row: &'a dyn Fields,
    names: &[&str],
    needed: bool,
) -> Result<Option<Cow<'a, str>>, RejectedRow> {
    let mut unread = None;
    for name in names {
        match row.get(name) {
            Cell::Missing => {}
            _ => match text(row, name, "a text or a number") {
                Ok(found) if found.is_empty() => {}
                Ok(found) => return Ok(Some(found)),
                Err(error) if needed => return Err(error),
                Err(error) => unread = unread.or(Some(error)),
            },
        }
    }
    unread.map_or(Ok(None), Err)
}

/// The first of several fields that is there, as a number.
pub(super) fn optional_number(row: &dyn Fields, names: &[&str]) -> Result<Option<f64>, RejectedRow> {
    for name in names {
        match row.get(name) {
            Cell::Missing => {}
            Cell::Whole(number) => return Ok(Some(number as f64)),
            Cell::Number(number) if number.is_finite() => return Ok(Some(number)),
            Cell::Number(number) => return Err(RejectedRow::new(name, number, "a finite number")),
            Cell::Text(text) => {
                let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
                return number.map(Some).ok_or_else(|| RejectedRow::new(name, quoted(&text), "a number"));
            }
            Cell::Truth(found) => return Err(RejectedRow::new(name, found, "a number")),
            Cell::Moment(found) => return Err(RejectedRow::new(name, found, "a number")),
            Cell::Other(found) => return Err(RejectedRow::new(name, found, "a number")),
        }
    }
    Ok(None)
}

/// The number of a turn.
pub(super) fn optional_turn(row: &dyn Fields) -> Result<Option<u32>, RejectedRow> {
    match optional_number(row, &["turn"])? {
        Some(turn) if turn < 0.0 || turn.fract() != 0.0 || turn > 1e6 => {
            Err(RejectedRow::new("turn", turn, "the number of a turn"))
        }
        turn => Ok(turn.map(|turn| turn as u32)),
    }
}

/// The first of several fields that is there, as seconds since the Unix epoch.
pub(super) fn optional_moment(row: &dyn Fields, names: &[&str]) -> Result<Option<f64>, RejectedRow> {
    const EXPECTED: &str = "a date, or seconds since 1970";
    for name in names {
        let found = match row.get(name) {
            Cell::Missing => continue,
            Cell::Moment(found) => Some(found),
            Cell::Whole(number) => seconds(number as f64),
            Cell::Number(number) => seconds(number),
            Cell::Text(text) => {
                return moment(&text)
                    .map(Some)
                    .ok_or_else(|| RejectedRow::new(name, quoted(&text), EXPECTED));
            }
            Cell::Truth(found) => return Err(RejectedRow::new(name, found, EXPECTED)),
            Cell::Other(found) => return Err(RejectedRow::new(name, found, EXPECTED)),
        };
        return found.map(Some).ok_or_else(|| RejectedRow::new(name, "not finite", EXPECTED));
    }
    Ok(None)
}

fn optional_truth(row: &dyn Fields, name: &str) -> Result<Option<bool>, RejectedRow> {
    let (found, shown) = match row.get(name) {
        Cell::Missing => return Ok(None),
        Cell::Truth(found) => return Ok(Some(found)),
        Cell::Text(text) if NO_VALUE.contains(&&text.trim().to_lowercase()[..]) => return Ok(None),
        Cell::Text(text) => (truth(&text), quoted(&text)),
        Cell::Whole(number) => (truth(&number.to_string()), number.to_string()),
        Cell::Number(number) => (truth(&number.to_string()), number.to_string()),
        Cell::Moment(number) => (None, number.to_string()),
        Cell::Other(found) => (None, found),
    };
    found.map(Some).ok_or_else(|| RejectedRow::new(name, shown, TRUTHS))
}

/// A whole number of votes that is not negative.
fn optional_votes(row: &dyn Fields, name: &str) -> Result<Option<u64>, RejectedRow> {
    const MOST: i128 = 1 << 52;
    const EXPECTED: &str = "a whole number of votes, not negative";
    let votes = match row.get(name) {
        Cell::Missing => return Ok(None),
        Cell::Whole(votes) => Ok(votes),
        Cell::Text(text) => match (text.trim().parse::<i128>(), text.trim().parse::<f64>()) {
            (Ok(votes), _) => Ok(votes),
            (_, Ok(number)) if number.fract() == 0.0 && number.abs() < EXACT => Ok(number as i128),
            _ => Err(quoted(&text)),
        },
        Cell::Number(number) if number.fract() == 0.0 && number.abs() < EXACT => Ok(number as i128),
        Cell::Number(number) => Err(number.to_string()),
        Cell::Truth(found) => Err(found.to_string()),
        Cell::Moment(found) => Err(found.to_string()),
        Cell::Other(found) => Err(found),
    };
    match votes {
        Ok(votes) if (0..=MOST).contains(&votes) => Ok(Some(votes as u64)),
        Ok(votes) => Err(RejectedRow::new(name, votes, EXPECTED)),
        Err(shown) => Err(RejectedRow::new(name, shown, EXPECTED)),
    }
}

/// A label as messages show it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

impl Fields for Map<String, Value> {
    fn get(&self, name: &str) -> Cell<'_> {
        match Map::get(self, name) {
            None | Some(Value::Null) => Cell::Missing,
            Some(Value::String(text)) if text.trim().is_empty() => Cell::Missing,
            Some(Value::String(text)) => Cell::Text(Cow::Borrowed(text)),
            Some(Value::Bool(truth)) => Cell::Truth(*truth),
            Some(Value::Number(number)) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Cell::Whole(whole),
                (None, Some(number)) => Cell::Number(number),
                (None, None) => Cell::Missing,
            },
            // MT-bench names a judge as [model, prompt].
            Some(Value::Array(parts)) if !parts.is_empty() && parts.iter().all(Value::is_string) => {
                let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                Cell::Text(Cow::Owned(parts.join(" ")))
            }
            Some(other) => Cell::Other(other.to_string()),
        }
    }

    fn metadata(&self) -> Metadata<'_> {
        match Map::get(self, "conv_metadata") {
            None | Some(Value::Null) => Metadata::Missing,
            Some(Value::Object(metadata)) => Metadata::Object(Cow::Borrowed(metadata)),
            // pandas writes a nested column to CSV as text.
            Some(Value::String(text)) => Metadata::of_text(text),
            Some(other) => Metadata::Unread(other.to_string()),
        }
    }
}
