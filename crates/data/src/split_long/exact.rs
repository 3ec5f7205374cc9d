//! FastChat's rule, with what it loses.

use super::{Lost, Part, Pieces, ROLES, Turn};
use crate::fields::Problem;

/// What FastChat adds to each turn's tokens for what the template writes around it.
const AROUND_A_TURN: usize = 6;

/// Reason for a round that FastChat drops silently: where the last round overflows, what stood before
/// it is written, and nothing writes the round itself.
const LAST_OVERFLOWS: &str = "the last round, where it overflows";

/// The parts that FastChat writes. `count` counts a text's tokens, the beginning token included.
pub(super) fn pieces(
    turns: &[Turn<'_>],
    max_length: usize,
    count: impl Fn(&str) -> Result<usize, Problem>,
) -> Result<Pieces, Problem> {
    let whole = turns.len() / 2 * 2;
    let mut pieces = Pieces { rounds_in: whole / 2, ..Pieces::default() };
    if whole < turns.len() {
        pieces.changes.push(("a last turn without its other half, left out".into(), None));
    }
    if whole == 0 {
        pieces.nothing = Some(Problem::new("fewer than two turns"));
        return Ok(pieces);
    }
    let (mut start, mut length) = (0, 0);
    let mut flushed = Vec::new();
    for (at, round) in (0..whole).step_by(2).zip(turns.chunks_exact(2)) {
        let cost = count(round[0].value)? + count(round[1].value)? + 2 * AROUND_A_TURN;
        if length + cost > max_length {
            flushed.push((start..at, length));
            (start, length) = (at, 0);
        } else if at == whole - 2 {
            flushed.push((start..whole, length + cost));
            start = whole;
        }
        length += cost;
    }
    for (turns_of, tokens) in flushed {
        // The first round overflowed: a part without turns, which FastChat writes and removes again.
        if turns_of.is_empty() {
            continue;
        }
        let in_turn = ["human", "gpt"].into_iter().cycle();
        if turns[turns_of.clone()].iter().zip(in_turn).all(|(turn, role)| turn.from == role) {
            pieces.parts.push(Part { turns: turns_of, tokens, cut: None });
        } else {
            pieces.lost.push(Lost { turns: turns_of, reason: ROLES });
        }
    }
    if start < whole {
        pieces.lost.push(Lost { turns: start..whole, reason: LAST_OVERFLOWS });
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of rounds that cost this much, and how many rounds are lost.
    fn written(costs: &[usize], max_length: usize) -> (Vec<usize>, usize) {
        let texts: Vec<String> = costs.iter().map(|cost| (cost - 12).to_string()).collect();
        let turns: Vec<Turn<'_>> = texts
            .iter()
            .flat_map(|text| [Turn { from: "human", value: text }, Turn { from: "gpt", value: "0" }])
            .collect();
        let pieces = pieces(&turns, max_length, |text| Ok(text.parse().unwrap())).unwrap();
        let lost = pieces.lost.iter().map(|lost| lost.turns.len() / 2).sum();
        (pieces.parts.iter().map(|part| part.turns.len() / 2).collect(), lost)
    }

    /// The cases of FastChat's own code with a stub for a tokenizer.
    #[test]
    fn what_fastchat_loses_is_lost() {
        assert_eq!(written(&[44, 44, 44], 100), (vec![2], 1));
        assert_eq!(written(&[44, 44], 100), (vec![2], 0));
        assert_eq!(written(&[200], 100), (vec![], 1));
        assert_eq!(written(&[200, 44], 100), (vec![1], 1));
        assert_eq!(written(&[44, 200, 44], 100), (vec![1, 1], 1));
        assert_eq!(written(&[44, 44, 44, 44], 100), (vec![2, 2], 0));
        assert_eq!(written(&[100], 100), (vec![1], 0));
    }

    #[test]
    fn parts_whose_roles_do_not_alternate_vanish_one_by_one() {
        let turn = |from| Turn { from, value: "x" };
        let turns = ["human", "gpt", "gpt", "human", "human", "gpt", "human"].map(turn);
        let pieces = pieces(&turns, 40, |_| Ok(14)).unwrap();
        assert_eq!(pieces.parts.len(), 1);
        assert_eq!(pieces.parts[0].turns, 0..2);
        let lost = |turns, reason| Lost { turns, reason };
        assert_eq!(pieces.lost, [lost(2..4, ROLES), lost(4..6, LAST_OVERFLOWS)]);
        assert_eq!((pieces.rounds_in, pieces.changes.len()), (3, 1));
    }
}
