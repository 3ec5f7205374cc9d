//! The position effect: what being shown first is worth.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::battles::{Battle, Battles, Outcome};
use crate::error::RatingsError;
use crate::scale::{Interval, Z95, share};

/// Verdicts by the place of the answer that won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstPosition {
    /// The answer shown first won.
    pub first: u64,
    /// The answer shown second won.
    pub second: u64,
    /// Neither won.
    pub ties: u64,
}

impl FirstPosition {
    fn add(&mut self, outcome: Outcome, votes: u64) {
        match outcome {
            Outcome::ModelA => self.first += votes,
            Outcome::ModelB => self.second += votes,
            Outcome::Tie => self.ties += votes,
        }
    }

    /// All verdicts.
    pub fn battles(&self) -> u64 {
        self.first + self.second + self.ties
    }

    /// What the first position scores, a tie as half, with its 95 % interval; ½ would be fair.
    pub fn rate(&self) -> Option<Interval> {
        share(self.first as f64 + 0.5 * self.ties as f64, self.battles() as f64, Z95)
    }

    /// The share of decided verdicts that went to the first position, with its 95 % interval.
    pub fn decided_rate(&self) -> Option<Interval> {
        share(self.first as f64, (self.first + self.second) as f64, Z95)
    }
}

/// One model's verdicts, shown first and shown second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPosition {
    /// The model.
    pub model: String,
    /// What it scores when shown first, a tie as half.
    pub shown_first: Option<Interval>,
    /// What it scores when shown second.
    pub shown_second: Option<Interval>,
    /// The first less the second, with its 95 % interval: above zero where the first place helps.
    pub advantage: Option<Interval>,
}

/// What became of pairs that were judged in both orders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// The same verdict both times.
    pub consistent: u64,
    /// The first position won both times, or won once and tied once.
    pub favours_first: u64,
    /// The second position likewise.
    pub favours_second: u64,
}

impl Consistency {
    /// Share of pairs with the same verdict in both orders, with its 95 % interval.
    pub fn rate(&self) -> Option<Interval> {
        let all = self.consistent + self.favours_first + self.favours_second;
        share(self.consistent as f64, all as f64, Z95)
    }
}

/// The position effect of a set of battles in which `model_a` was shown first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionEffect {
    /// Of all battles.
    pub overall: FirstPosition,
    /// By judge, sorted by name; battles without a judge count overall only.
    pub judges: BTreeMap<String, FirstPosition>,
    /// By model, by index.
    pub models: Vec<ModelPosition>,
    /// Of pairs that one judge saw in both orders for one question and turn.
    pub consistency: Consistency,
}

impl PositionEffect {
    /// Counts every battle.
    ///
    /// # Errors
    /// [`RatingsError::Empty`] without battles.
    pub fn new(battles: &Battles) -> Result<Self, RatingsError> {
        battles.check("position effect")?;
        let mut overall = FirstPosition::default();
        let mut judges: BTreeMap<String, FirstPosition> = BTreeMap::new();
        // Per model: score and battles when shown first, then when shown second.
        let mut models = vec![[0.0f64; 4]; battles.models().len()];
        for row in battles.rows() {
            overall.add(row.outcome, row.votes);
            if let Some(judge) = row.judge {
                judges
                    .entry(battles.judges().name(judge).to_owned())
                    .or_default()
                    .add(row.outcome, row.votes);
            }
            let (a, b, score) = (row.a as usize, row.b as usize, row.outcome.score());
            let votes = row.votes as f64;
            models[a][0] += votes * score;
            models[a][1] += votes;
            models[b][2] += votes * (1.0 - score);
            models[b][3] += votes;
        }
        let models = battles.models().iter().zip(models).map(|(model, sums)| model_position(model, sums));
        Ok(Self { overall, judges, models: models.collect(), consistency: consistency(battles) })
    }
}

fn model_position(model: &str, [first, first_n, second, second_n]: [f64; 4]) -> ModelPosition {
    let (shown_first, shown_second) = (share(first, first_n, Z95), share(second, second_n, Z95));
    let advantage = shown_first.zip(shown_second).map(|(f, s)| difference(f, s));
    ModelPosition { model: model.to_owned(), shown_first, shown_second, advantage }
}

/// The difference of two shares with Newcombe's interval, built from those of the shares.
fn difference(left: Interval, right: Interval) -> Interval {
    let value = left.value - right.value;
    let low = value - (left.value - left.low).hypot(right.high - right.value);
    let high = value + (left.high - left.value).hypot(right.value - right.low);
    Interval { value, low, high }
}

/// Question, turn, judge and pair: what two presentation orders have in common.
pub(crate) type OrderKey = (Option<u32>, Option<u32>, Option<u32>, u32, u32);

/// The key of a battle that has a question, and its outcome as the lower-numbered model sees it.
pub(crate) fn order_key(row: &Battle) -> Option<(OrderKey, Outcome)> {
    row.question?;
    let (i, j) = (row.a.min(row.b), row.a.max(row.b));
    let outcome = if row.a == i { row.outcome } else { row.outcome.swapped() };
    Some(((row.question, row.turn, row.judge, i, j), outcome))
}

fn consistency(battles: &Battles) -> Consistency {
    // For each key the verdict with either model first; a repeated order keeps its first verdict.
    let mut seen: BTreeMap<OrderKey, [Option<Outcome>; 2]> = BTreeMap::new();
    for row in battles.rows() {
        if let Some((key, _)) = order_key(row) {
            seen.entry(key).or_default()[usize::from(row.a > row.b)].get_or_insert(row.outcome);
        }
    }
    let mut counted = Consistency::default();
    for orders in seen.values() {
        let [Some(one), Some(other)] = orders else { continue };
        let lean = one.score() + other.score() - 1.0;
        if *one == other.swapped() {
            counted.consistent += 1;
        } else if lean > 0.0 {
            counted.favours_first += 1;
        } else {
            counted.favours_second += 1;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    fn battles() -> Battles {
        let mut battles = Battles::new();
        let rows = [
            ("1", "x", "y", Outcome::ModelA),
            ("1", "y", "x", Outcome::ModelB),
            ("2", "x", "y", Outcome::ModelA),
            ("2", "y", "x", Outcome::ModelA),
            ("3", "x", "y", Outcome::Tie),
            ("3", "y", "x", Outcome::ModelA),
            ("4", "x", "y", Outcome::ModelB),
        ];
        for (question, a, b, outcome) in rows {
            let named = NamedBattle::new(a, b, outcome);
            battles.push(&NamedBattle { question: Some(question), judge: Some("j"), ..named }).unwrap();
        }
        battles
    }

    #[test]
    fn first_position_worked_by_hand() {
        let effect = PositionEffect::new(&battles()).unwrap();
        assert_eq!(effect.overall, FirstPosition { first: 4, second: 2, ties: 1 });
        assert_eq!(effect.judges["j"], effect.overall);
        assert!((effect.overall.rate().unwrap().value - 4.5 / 7.0).abs() < 1e-12);
        assert!((effect.overall.decided_rate().unwrap().value - 4.0 / 6.0).abs() < 1e-12);
        let x = &effect.models[0];
        assert!((x.shown_first.unwrap().value - 2.5 / 4.0).abs() < 1e-12);
        assert!((x.shown_second.unwrap().value - 1.0 / 3.0).abs() < 1e-12);
        let advantage = x.advantage.unwrap();
        assert!(advantage.low < advantage.value && advantage.value < advantage.high);
    }

    #[test]
    fn consistency_needs_both_orders() {
        let effect = PositionEffect::new(&battles()).unwrap();
        assert_eq!(effect.consistency, Consistency { consistent: 1, favours_first: 2, favours_second: 0 });
        assert!((effect.consistency.rate().unwrap().value - 1.0 / 3.0).abs() < 1e-12);
    }
}
