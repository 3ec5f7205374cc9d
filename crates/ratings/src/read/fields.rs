//! A row's fields by their names, wherever they come from.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::values::{Metadata, NO_VALUE, TRUTHS, moment, quoted, seconds, truth};
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

/// A field that may be missing, as a yes or no.
pub(super) fn optional_truth(row: &dyn Fields, name: &str) -> Result<Option<bool>, RejectedRow> {
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
pub(super) fn optional_votes(row: &dyn Fields, name: &str) -> Result<Option<u64>, RejectedRow> {
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
