//! Agreement between judges, and of judges with humans (Zheng et al. 2023, section 4.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::battles::{Battles, Outcome};
use crate::error::RatingsError;
use crate::position::order_key;
use crate::scale::{Interval, Z95, share};

/// How often two votes on the same pair, question and turn say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Pairs of votes that agree.
    pub agreed: u64,
    /// Pairs of votes compared.
    pub compared: u64,
}

impl Agreement {
    /// The share that agrees with its 95 % interval; `None` where nothing was compared.
    pub fn rate(&self) -> Option<Interval> {
        share(self.agreed as f64, self.compared as f64, Z95)
    }

    fn add(&mut self, agrees: bool) {
        self.compared += 1;
        self.agreed += u64::from(agrees);
    }
}

/// Agreement of two groups of judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAgreement {
    /// One group.
    pub left: String,
    /// The other; the same one for agreement among its members.
    pub right: String,
    /// The turn, or `None` for all turns together.
    pub turn: Option<u32>,
    /// All votes; a random voter would agree in a third of them.
    pub with_ties: Agreement,
    /// Votes that decided for a model only; a random voter would agree in half of them.
    pub without_ties: Agreement,
}

/// Agreement between all groups of judges, for all turns together and for each.
///
/// `group` names the group of a judge, e.g. every human `human`; judges it gives no group are
/// left out. A judge who saw a pair in both orders has one vote: a contradiction is a tie.
/// Votes of the same judge are never compared with each other.
///
/// # Errors
/// [`RatingsError::Empty`] when no two judges voted on the same pair, question and turn.
pub fn agreement(
    battles: &Battles,
    group: impl Fn(&str) -> Option<String>,
) -> Result<Vec<GroupAgreement>, RatingsError> {
    battles.check("agreement")?;
    battles.one_by_one("agreement between judges")?;
    let groups: Vec<Option<String>> = battles.judges().all().iter().map(|judge| group(judge)).collect();
    let mut verdicts: BTreeMap<Item, BTreeMap<u32, Outcome>> = BTreeMap::new();
    for row in battles.rows() {
        let (Some((key, outcome)), Some(judge)) = (order_key(row), row.judge) else { continue };
        if groups[judge as usize].is_none() {
            continue;
        }
        let (question, turn, _, i, j) = key;
        verdicts
            .entry((question, turn, i, j))
            .or_default()
            .entry(judge)
            .and_modify(|vote| {
                if *vote != outcome {
                    *vote = Outcome::Tie;
                }
            })
            .or_insert(outcome);
    }
    let mut table: BTreeMap<(String, String, Option<u32>), [Agreement; 2]> = BTreeMap::new();
    for ((_, turn, _, _), votes) in &verdicts {
        let votes: Vec<(u32, Outcome)> = votes.iter().map(|(&judge, &vote)| (judge, vote)).collect();
        for (k, &(one, left)) in votes.iter().enumerate() {
            for &(other, right) in &votes[k + 1..] {
                let name = |judge: u32| groups[judge as usize].clone().unwrap_or_default();
                let (low, high) = sorted(name(one), name(other));
                let turns = if turn.is_some() { vec![None, *turn] } else { vec![None] };
                for turn in turns {
                    let [with, without] = table.entry((low.clone(), high.clone(), turn)).or_default();
                    with.add(left == right);
                    if left != Outcome::Tie && right != Outcome::Tie {
                        without.add(left == right);
                    }
                }
            }
        }
    }
    if table.is_empty() {
        let reason = "no two judges voted on the same pair, question and turn".to_owned();
        return Err(RatingsError::Empty { origin: "agreement".to_owned(), reason });
    }
    let rows = table.into_iter().map(|((left, right, turn), [with_ties, without_ties])| GroupAgreement {
        left,
        right,
        turn,
        with_ties,
        without_ties,
    });
    Ok(rows.collect())
}

/// Question, turn and pair.
type Item = (Option<u32>, Option<u32>, u32, u32);

fn sorted(one: String, other: String) -> (String, String) {
    if one <= other { (one, other) } else { (other, one) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::NamedBattle;

    fn vote(battles: &mut Battles, turn: u32, judge: &str, pair: (&str, &str), outcome: Outcome) {
        let named = NamedBattle::new(pair.0, pair.1, outcome);
        let named = NamedBattle { question: Some("81"), judge: Some(judge), turn: Some(turn), ..named };
        battles.push(&named).unwrap();
    }

    fn group(judge: &str) -> Option<String> {
        Some(if judge.starts_with("expert") { "human".to_owned() } else { judge.to_owned() })
    }

    #[test]
    fn votes_on_the_same_item_are_compared_whatever_the_order_shown() {
        let mut battles = Battles::new();
        vote(&mut battles, 1, "gpt4", ("x", "y"), Outcome::ModelA);
        vote(&mut battles, 1, "gpt4", ("y", "x"), Outcome::ModelB);
        vote(&mut battles, 1, "expert_0", ("y", "x"), Outcome::ModelB);
        vote(&mut battles, 1, "expert_1", ("x", "y"), Outcome::Tie);
        // In the second turn the judge contradicts itself: a tie.
        vote(&mut battles, 2, "gpt4", ("x", "y"), Outcome::ModelA);
        vote(&mut battles, 2, "gpt4", ("y", "x"), Outcome::ModelA);
        vote(&mut battles, 2, "expert_0", ("x", "y"), Outcome::Tie);
        let rows = agreement(&battles, group).unwrap();
        let find = |left: &str, right: &str, turn| {
            let row = rows.iter().find(|r| r.left == left && r.right == right && r.turn == turn).unwrap();
            (
                (row.with_ties.agreed, row.with_ties.compared),
                (row.without_ties.agreed, row.without_ties.compared),
            )
        };
        assert_eq!(find("gpt4", "human", None), ((2, 3), (1, 1)));
        assert_eq!(find("gpt4", "human", Some(1)), ((1, 2), (1, 1)));
        assert_eq!(find("gpt4", "human", Some(2)), ((1, 1), (0, 0)));
        assert_eq!(find("human", "human", Some(1)), ((0, 1), (0, 0)));
        assert!(rows.iter().all(|row| (row.left.as_str(), row.right.as_str()) != ("gpt4", "gpt4")));
    }

    #[test]
    fn judges_that_share_nothing_are_an_error() {
        let mut battles = Battles::new();
        vote(&mut battles, 1, "gpt4", ("x", "y"), Outcome::ModelA);
        let error = agreement(&battles, group).unwrap_err();
        assert!(error.to_string().contains("no two judges"), "{error}");
    }
}
