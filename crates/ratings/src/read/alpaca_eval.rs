//! AlpacaEval annotations.

use serde_json::{Map, Value};

use super::fields::{optional_number, optional_text, text};
use crate::battles::{Battles, NamedBattle, Outcome};
use crate::error::RejectedRow;

/// Adds an annotation. `preference` is 1 or 2 for the output preferred, 1.5 (older files: 0) for
/// a draw; a weighted annotator's value between goes to the nearer output.
pub(super) fn push(battles: &mut Battles, record: &Map<String, Value>) -> Result<(), RejectedRow> {
    const EXPECTED: &str = "a number from 1 to 2, or 0 for a draw";
    let generator_1 = text(record, "generator_1", "a model's name")?;
    let generator_2 = text(record, "generator_2", "a model's name")?;
    let preference = optional_number(record, &["preference"])?
        .ok_or_else(|| RejectedRow::new("preference", "missing", EXPECTED))?;
    let outcome = match preference {
        0.0 | 1.5 => Outcome::Tie,
        p if (1.0..1.5).contains(&p) => Outcome::ModelA,
        p if p > 1.5 && p <= 2.0 => Outcome::ModelB,
        p => return Err(RejectedRow::new("preference", p, EXPECTED)),
    };
    battles.push(&NamedBattle {
        question: optional_text(record, &["instruction"], true)?.as_deref(),
        judge: optional_text(record, &["annotator"], true)?.as_deref(),
        ..NamedBattle::new(&generator_1, &generator_2, outcome)
    })
}
