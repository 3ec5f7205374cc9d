//! Which models' ratings the battles can tell: the comparison graph.

use serde::{Deserialize, Serialize};

/// Whether a rating has a finite maximum-likelihood value.
///
/// It has exactly if every group into which the models can be split has scored against
/// the rest of those it is compared with, by a win or a tie (Ford 1957). Elsewhere the
/// prior alone keeps the rating finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Finite by the battles alone.
    Bounded,
    /// The model, or the group it shares battles with, never lost or tied outside: +∞ but for the prior.
    NeverLost,
    /// The model, or its group, never won or tied outside: −∞ but for the prior.
    NeverWon,
    /// Its group lost to all it lost to and beat all it beat, with no tie: apart from both.
    Separated,
}

impl Standing {
    /// The words of a report.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Bounded => "bounded",
            Standing::NeverLost => "never lost: +∞, bounded by the prior",
            Standing::NeverWon => "never won: −∞, bounded by the prior",
            Standing::Separated => "separated: bounded by the prior",
        }
    }
}

/// What the comparison graph says of each model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparisons {
    /// The connected part each model belongs to, from 0; ratings of two parts cannot be compared.
    pub(crate) part: Vec<u32>,
    /// Number of parts.
    pub(crate) parts: usize,
    /// Each model's standing.
    pub(crate) standing: Vec<Standing>,
}

/// Reads the graph of `scored`: `(i, j)` says that i won or tied at least once against j.
pub(crate) fn comparisons(models: usize, scored: &[(u32, u32)]) -> Comparisons {
    let mut forward = vec![Vec::new(); models];
    let mut backward = vec![Vec::new(); models];
    for &(i, j) in scored {
        forward[i as usize].push(j as usize);
        backward[j as usize].push(i as usize);
    }
    let (part, parts) = connected(models, &forward, &backward);
    let (group, groups) = strongly_connected(models, &forward, &backward);
    let (mut beats, mut beaten) = (vec![false; groups], vec![false; groups]);
    for &(i, j) in scored {
        let (winner, loser) = (group[i as usize], group[j as usize]);
        if winner != loser {
            beats[winner as usize] = true;
            beaten[loser as usize] = true;
        }
    }
    let standing = group
        .iter()
        .map(|&g| match (beats[g as usize], beaten[g as usize]) {
            (false, false) => Standing::Bounded,
            (true, false) => Standing::NeverLost,
            (false, true) => Standing::NeverWon,
            (true, true) => Standing::Separated,
        })
        .collect();
    Comparisons { part, parts, standing }
}

fn connected(models: usize, forward: &[Vec<usize>], backward: &[Vec<usize>]) -> (Vec<u32>, usize) {
    let mut part = vec![u32::MAX; models];
    let mut parts = 0;
    for start in 0..models {
        if part[start] != u32::MAX {
            continue;
        }
        let mut open = vec![start];
        part[start] = parts;
        while let Some(node) = open.pop() {
            for &next in forward[node].iter().chain(&backward[node]) {
                if part[next] == u32::MAX {
                    part[next] = parts;
                    open.push(next);
                }
            }
        }
        parts += 1;
    }
    (part, parts as usize)
}

/// Kosaraju's two passes, without recursion.
fn strongly_connected(models: usize, forward: &[Vec<usize>], backward: &[Vec<usize>]) -> (Vec<u32>, usize) {
    let mut finished = Vec::with_capacity(models);
    let mut seen = vec![false; models];
    for start in 0..models {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut open = vec![(start, 0)];
        while let Some((node, at)) = open.last_mut() {
            match forward[*node].get(*at) {
                Some(&next) => {
                    *at += 1;
                    if !std::mem::replace(&mut seen[next], true) {
                        open.push((next, 0));
                    }
                }
                None => {
                    finished.push(*node);
                    open.pop();
                }
            }
        }
    }
    let mut group = vec![u32::MAX; models];
    let mut groups = 0;
    for &start in finished.iter().rev() {
        if group[start] != u32::MAX {
            continue;
        }
        group[start] = groups;
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for &next in &backward[node] {
                if group[next] == u32::MAX {
                    group[next] = groups;
                    open.push(next);
                }
            }
        }
        groups += 1;
    }
    (group, groups as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_bounded_and_a_ladder_is_not() {
        let cycle = comparisons(3, &[(0, 1), (1, 2), (2, 0)]);
        assert_eq!(cycle.standing, [Standing::Bounded; 3]);
        assert_eq!(cycle.parts, 1);
        let ladder = comparisons(3, &[(0, 1), (1, 2)]);
        assert_eq!(ladder.standing, [Standing::NeverLost, Standing::Separated, Standing::NeverWon]);
    }

    #[test]
    fn a_group_that_never_lost_outside_is_unbounded_as_a_whole() {
        let top = comparisons(4, &[(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)]);
        use Standing::{NeverLost, NeverWon};
        assert_eq!(top.standing, [NeverLost, NeverLost, NeverWon, NeverWon]);
    }

    #[test]
    fn parts_without_a_common_battle_are_told_apart() {
        let two = comparisons(5, &[(0, 1), (1, 0), (2, 3), (3, 2)]);
        assert_eq!((two.parts, two.part), (3, vec![0, 0, 1, 1, 2]));
    }
}
