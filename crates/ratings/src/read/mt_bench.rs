//! MT-bench pair judgments: one record holds both presentation orders.

use serde_json::{Map, Value};

use super::fields::{optional_moment, optional_text, optional_turn, text};
use super::values::quoted;
use crate::battles::{Battles, NamedBattle, Outcome};
use crate::error::RejectedRow;

const LABELS: &str = "model_1, model_2 or tie";

/// Adds a record's two battles: in game 1 `model_1` was shown first, in game 2 `model_2`. A game
/// that the judge left without a verdict (`error`) rejects the record; its other game still counts.
pub(super) fn push(battles: &mut Battles, record: &Map<String, Value>) -> Result<(), RejectedRow> {
    let model_1 = text(record, "model_1", "a model's name")?;
    let model_2 = text(record, "model_2", "a model's name")?;
    let question = optional_text(record, &["question_id"], true)?;
    let judge = optional_text(record, &["judge"], true)?;
    let turn = optional_turn(record)?;
    let timestamp = optional_moment(record, &["tstamp"]).unwrap_or(None);
    let mut rejected = None;
    for (field, first, second) in [("g1_winner", &model_1, &model_2), ("g2_winner", &model_2, &model_1)] {
        let outcome = text(record, field, LABELS).and_then(|label| {
            let winner = match label.as_ref() {
                "model_1" => Some(&model_1),
                "model_2" => Some(&model_2),
                "tie" => return Ok(Outcome::Tie),
                name => [&model_1, &model_2].into_iter().find(|model| model.as_ref() == name),
            };
            match winner {
                Some(winner) if winner == first => Ok(Outcome::ModelA),
                Some(_) => Ok(Outcome::ModelB),
                None => Err(RejectedRow::new(field, quoted(&label), LABELS)),
            }
        });
        let pushed = outcome.and_then(|outcome| {
            battles.push(&NamedBattle {
                question: question.as_deref(),
                judge: judge.as_deref(),
                turn,
                timestamp,
                ..NamedBattle::new(first, second, outcome)
            })
        });
        rejected = rejected.or(pushed.err());
    }
    rejected.map_or(Ok(()), Err)
}
