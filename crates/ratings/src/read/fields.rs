//! A battle from named fields, wherever they come from.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::battles::{Battles, NamedBattle, Outcome, Style};
use crate::error::RejectedRow;

/// One field of a row.
pub(super) enum Cell<'a> {
    /// It is not there, or null, or an empty text.
    Missing,
    Text(Cow<'a, str>),
    Number(f64),
    /// Something else, as it is shown.
    Other(String),
}

/// A row with named fields.
pub(super) trait Fields {
    /// The field of that name.
    fn get(&self, name: &str) -> Cell<'_>;

    /// Style of both answers; features that are not there are zero, `None` without a length.
    fn style(&self) -> Option<[Style; 2]>;
}

/// Style from the columns `length_a`, `headers_a`, `lists_a`, `bold_a` and their `_b` partners.
pub(super) fn style_columns(row: &dyn Fields) -> Option<[Style; 2]> {
    let number = |name: &str| match row.get(name) {
        Cell::Number(value) => Some(value as f32),
        _ => None,
    };
    let side = |side: char| {
        Some(Style {
            length: number(&format!("length_{side}"))?,
            headers: number(&format!("headers_{side}")).unwrap_or(0.0),
            lists: number(&format!("lists_{side}")).unwrap_or(0.0),
            bold: number(&format!("bold_{side}")).unwrap_or(0.0),
        })
    };
    Some([side('a')?, side('b')?])
}

/// Adds the battle of a row.
pub(super) fn push(battles: &mut Battles, row: &dyn Fields) -> Result<(), RejectedRow> {
    let model_a = text(row, "model_a", "a model's name")?;
    let model_b = text(row, "model_b", "a model's name")?;
    let label = text(row, "winner", "model_a, model_b, tie or tie (bothbad)")?;
    let outcome = Outcome::from_label(&label).ok_or_else(|| {
        RejectedRow::new("winner", quoted(&label), "model_a, model_b, tie or tie (bothbad)")
    })?;
    blind(row)?;
    let question = optional_text(row, &["question", "question_id"])?;
    let judge = optional_text(row, &["judge"])?;
    let language = optional_text(row, &["language"])?;
    let turn = optional_number(row, &["turn"])?;
    if turn.is_some_and(|turn| turn < 0.0 || turn.fract() != 0.0 || turn > 1e6) {
        return Err(RejectedRow::new("turn", turn.unwrap_or_default(), "the number of a turn"));
    }
    battles.push(&NamedBattle {
        question: question.as_deref(),
        judge: judge.as_deref(),
        language: language.as_deref(),
        turn: turn.map(|turn| turn as u32),
        timestamp: optional_number(row, &["timestamp", "tstamp"])?,
        style: row.style(),
        ..NamedBattle::new(&model_a, &model_b, outcome)
    })
}

/// The arena's ratings count votes cast before the models' names were shown: `anony` is true there.
fn blind(row: &dyn Fields) -> Result<(), RejectedRow> {
    let seen = match row.get("anony") {
        Cell::Other(found) => found == "false",
        Cell::Text(found) => found.eq_ignore_ascii_case("false"),
        Cell::Missing | Cell::Number(_) => false,
    };
    if seen {
        Err(RejectedRow::new("anony", "false", "true, a vote cast without knowing the models"))
    } else {
        Ok(())
    }
}

/// A text that has to be there; a number is taken as its digits.
pub(super) fn text<'a>(row: &'a dyn Fields, name: &str, expected: &str) -> Result<Cow<'a, str>, RejectedRow> {
    match row.get(name) {
        Cell::Text(text) => Ok(text),
        Cell::Number(number) => Ok(Cow::Owned(number.to_string())),
        Cell::Missing => Err(RejectedRow::new(name, "missing", expected)),
        Cell::Other(found) => Err(RejectedRow::new(name, found, expected)),
    }
}

/// The first of several fields that is there, as text.
pub(super) fn optional_text<'a>(
    row: &'a dyn Fields,
    names: &[&str],
) -> Result<Option<Cow<'a, str>>, RejectedRow> {
    for name in names {
        match row.get(name) {
            Cell::Missing => {}
            _ => return text(row, name, "a text or a number").map(Some),
        }
    }
    Ok(None)
}

/// The first of several fields that is there, as a number.
pub(super) fn optional_number(row: &dyn Fields, names: &[&str]) -> Result<Option<f64>, RejectedRow> {
    for name in names {
        match row.get(name) {
            Cell::Missing => {}
            Cell::Number(number) if number.is_finite() => return Ok(Some(number)),
            Cell::Number(number) => return Err(RejectedRow::new(name, number, "a finite number")),
            Cell::Text(text) => {
                let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
                return number.map(Some).ok_or_else(|| RejectedRow::new(name, quoted(&text), "a number"));
            }
            Cell::Other(found) => return Err(RejectedRow::new(name, found, "a number")),
        }
    }
    Ok(None)
}

/// A label as messages show it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

impl Fields for Map<String, Value> {
    fn get(&self, name: &str) -> Cell<'_> {
        match Map::get(self, name) {
            None | Some(Value::Null) => Cell::Missing,
            Some(Value::String(text)) if text.is_empty() => Cell::Missing,
            Some(Value::String(text)) => Cell::Text(Cow::Borrowed(text)),
            Some(Value::Number(number)) => number.as_f64().map_or(Cell::Missing, Cell::Number),
            // MT-bench names a judge as [model, prompt].
            Some(Value::Array(parts)) if !parts.is_empty() && parts.iter().all(Value::is_string) => {
                let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                Cell::Text(Cow::Owned(parts.join(" ")))
            }
            Some(other) => Cell::Other(other.to_string()),
        }
    }

    /// From columns, else from `conv_metadata` as the arena publishes it.
    fn style(&self) -> Option<[Style; 2]> {
        let Some(Value::Object(metadata)) = Map::get(self, "conv_metadata") else {
            return style_columns(self);
        };
        // Counts are numbers, or objects of counts by kind, as in {"h1": 2, "h2": 0}.
        let total = |name: String| match metadata.get(&name) {
            Some(Value::Object(kinds)) => Some(kinds.values().filter_map(Value::as_f64).sum::<f64>() as f32),
            Some(value) => value.as_f64().map(|n| n as f32),
            None => None,
        };
        let side = |side: char| {
            Some(Style {
                length: total(format!("sum_assistant_{side}_tokens"))?,
                headers: total(format!("header_count_{side}")).unwrap_or(0.0),
                lists: total(format!("list_count_{side}")).unwrap_or(0.0),
                bold: total(format!("bold_count_{side}")).unwrap_or(0.0),
            })
        };
        Some([side('a')?, side('b')?])
    }
}
