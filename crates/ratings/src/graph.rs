//! Which models' ratings the battles can tell: the comparison graph.

use serde::{Deserialize, Serialize};

/// Whether a rating has a finite maximum-likelihood value.
///
/// It has exactly if every group into which the models can be split has scored against
/// the rest of those it is compared with, by a win or a tie (Ford 1957). Elsewhere the
/// prior alone keeps the rating finite.
///
/// Where most models of a connected part hold together in this way, the distances between them are
/// finite: they count as bounded, and only the others lie at infinity, seen from them.
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
    let mut in_group = vec![0; groups];
    let mut in_part = vec![0; parts];
    for (&g, &p) in group.iter().zip(&part) {
        in_group[g as usize] += 1;
        in_part[p as usize] += 1;
    }
    let standing = group
        .iter()
        .zip(&part)
        .map(|(&g, &p)| match (beats[g as usize], beaten[g as usize]) {
            (false, false) => Standing::Bounded,
            _ if in_group[g as usize] > 1 && 2 * in_group[g as usize] > in_part[p as usize] => {
                Standing::Bounded
            }
            (true, false) => Standing::NeverLost,
            (false, true) => Standing::NeverWon,
            (true, true) => Standing::Separated,
        })
        .collect();
    Comparisons { part, parts, standing }
}

impl Comparisons {
    /// The models of a part whose mean says where its ratings lie, where these are not all of it:
    /// those that are bounded. One that lies at infinity would drag the mean along.
    pub(crate) fn frame(&self, part: u32) -> Option<Vec<usize>> {
        let own: Vec<usize> = (0..self.part.len()).filter(|&m| self.part[m] == part).collect();
        let bounded = own.iter().copied().filter(|&m| self.standing[m] == Standing::Bounded);
        let bounded: Vec<usize> = bounded.collect();
        (!bounded.is_empty() && bounded.len() < own.len()).then_some(bounded)
    }

    /// [`Comparisons::frame`] of every part.
    pub(crate) fn frames(&self) -> Vec<Option<Vec<usize>>> {
        (0..self.parts as u32).map(|part| self.frame(part)).collect()
    }
}

/// Variance of unknown i less the mean of the unknowns in `frame`, from their covariance (n × n).
pub(crate) fn variance_from(covariance: &[f64], n: usize, i: usize, frame: Option<&Vec<usize>>) -> f64 {
    let own = covariance[i * n + i];
    let Some(frame) = frame else { return own };
    let size = frame.len() as f64;
    let with: f64 = frame.iter().map(|&j| covariance[i * n + j]).sum();
    let among: f64 = frame.iter().flat_map(|&j| frame.iter().map(move |&k| covariance[j * n + k])).sum();
    own - 2.0 * with / size + among / (size * size)
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
    fn most_models_are_the_frame_of_those_beyond() {
        use Standing::{Bounded, NeverLost, NeverWon};
        let champion = comparisons(5, &[(0, 1), (1, 2), (2, 1), (2, 3), (3, 2), (3, 4)]);
        assert_eq!(champion.standing, [NeverLost, Bounded, Bounded, Bounded, NeverWon]);
        assert_eq!(champion.frames(), [Some(vec![1, 2, 3])]);
        assert_eq!(comparisons(2, &[(0, 1), (1, 0)]).frames(), [None]);
        // Unknowns with the variances 4 and 1 and no covariance: of 0 less the mean of both, 1 + 1/4.
        assert_eq!(variance_from(&[4.0, 0.0, 0.0, 1.0], 2, 0, Some(&vec![0, 1])), 1.25);
        assert_eq!(variance_from(&[4.0, 0.0, 0.0, 1.0], 2, 0, None), 4.0);
    }

    #[test]
    fn parts_without_a_common_battle_are_told_apart() {
        let two = comparisons(5, &[(0, 1), (1, 0), (2, 3), (3, 2)]);
        assert_eq!((two.parts, two.part), (3, vec![0, 0, 1, 1, 2]));
    }
}
