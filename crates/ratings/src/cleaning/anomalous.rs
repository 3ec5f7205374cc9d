//! Users whose votes are unlike those of all others (arXiv 2403.04132, Section 5.3).

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::CastVote;
use crate::counts::pair_place;
use crate::error::RatingsError;

/// A sequential form of Fisher's test. A vote `h` (1, ½ or 0) on a pair of which others gave the votes
/// H before has the p-value (1 + #{h' ∈ H : h' ≥ h}) / (|H| + 1), and after the j-th vote
/// M_j = −2 Σ ln p_i is compared with the χ² distribution with 2j degrees of freedom at 1 − α / 5, for
/// five j that are drawn from 1 to 100.
///
/// As printed, votes that are the same as many others make p far larger than chance would, so that hardly
/// anybody is ever found. `smoothed` counts equal votes in part, by a number drawn evenly from 0 to 1:
/// (#{h' > h} + u (1 + #{h' = h})) / (|H| + 1), which is exactly even for an honest user, and finds as many
/// as the paper's Table 5 reports. Either way the test is made from both sides, each at half the level, so
/// that it does not depend on which model of a pair is named first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnomalyTest {
    /// Share of honest users that are called anomalous at most. The paper tries 0.1 and 0.3.
    pub alpha: f64,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Whether equal votes count in part.
    pub smoothed: bool,
}

impl Default for AnomalyTest {
    fn default() -> Self {
        Self { alpha: 0.1, seed: 0, smoothed: true }
    }
}

/// How often a user is looked at, and the last vote at which that may be.
const LOOKS: usize = 5;
const LAST: u32 = 100;

/// Votes of a pair by outcome: the model with the lower number lost, tied, won.
type Histogram = [u32; 3];

impl AnomalyTest {
    pub(crate) fn check(&self) -> Result<(), RatingsError> {
        if self.alpha > 0.0 && self.alpha < 1.0 {
            return Ok(());
        }
        Err(RatingsError::setting("alpha", self.alpha, "a share above 0 and below 1"))
    }

    /// The users that the test calls anomalous. `votes` come in the order in which they were cast.
    pub fn flagged(&self, votes: &[CastVote]) -> HashSet<u32> {
        let mut tested = Tested::new(*self);
        votes.iter().filter(|vote| tested.vote(vote)).filter_map(|vote| vote.user).collect()
    }
}

/// The test at work: all votes so far, and what they make of each user.
#[derive(Debug, Clone)]
pub(super) struct Tested {
    test: AnomalyTest,
    /// By pair, see [`pair_place`]: tables by number, not by hash, for an arena asks with every vote.
    all: Vec<Histogram>,
    users: Vec<Option<User>>,
}

impl Tested {
    pub(super) fn new(test: AnomalyTest) -> Self {
        Self { test, all: Vec::new(), users: Vec::new() }
    }

    /// Takes the next vote; whether it is the one by which its user becomes anomalous.
    pub(super) fn vote(&mut self, vote: &CastVote) -> bool {
        let pair = pair_place(vote.a, vote.b);
        if pair >= self.all.len() {
            self.all.resize(pair + 1, [0; 3]);
        }
        let score = if vote.a < vote.b { vote.outcome } else { vote.outcome.swapped() }.score();
        let place = (2.0 * score) as usize;
        let mut is_found = false;
        if let Some(number) = vote.user {
            let at = number as usize;
            if at >= self.users.len() {
                self.users.resize_with(at + 1, || None);
            }
            let user = self.users[at].get_or_insert_with(|| User::new(number, &self.test));
            is_found = user.vote(&self.all[pair], pair, place, &self.test);
        }
        self.all[pair][place] += 1;
        is_found
    }

    /// Whether the votes so far make this user anomalous.
    pub(super) fn is_flagged(&self, user: u32) -> bool {
        matches!(self.users.get(user as usize), Some(Some(User { is_flagged: true, .. })))
    }
}

#[derive(Debug, Clone)]
struct User {
    votes: u32,
    /// The user's own votes by pair, which are no part of what others voted.
    own: Vec<(usize, Histogram)>,
    /// Votes after which the test looks.
    looks: [u32; LOOKS],
    /// −2 Σ ln p from either side.
    statistic: [f64; 2],
    is_flagged: bool,
    rng: ChaCha8Rng,
}

impl User {
    fn new(number: u32, test: &AnomalyTest) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(test.seed);
        rng.set_stream(u64::from(number));
        let looks = std::array::from_fn(|_| rng.random_range(1..=LAST));
        Self { votes: 0, own: Vec::new(), looks, statistic: [0.0; 2], is_flagged: false, rng }
    }

    /// Notes a vote on a pair of which `all` were the votes before; whether it makes the user anomalous.
    fn vote(&mut self, all: &Histogram, pair: usize, place: usize, test: &AnomalyTest) -> bool {
        self.votes += 1;
        if self.is_flagged || self.votes > LAST {
            return false;
        }
        let own = match self.own.iter().position(|(known, _)| *known == pair) {
            Some(at) => at,
            None => {
                self.own.push((pair, [0; 3]));
                self.own.len() - 1
            }
        };
        let own = &mut self.own[own].1;
        let others: Histogram = std::array::from_fn(|k| all[k] - own[k]);
        own[place] += 1;
        let total = f64::from(others.iter().sum::<u32>());
        let above = f64::from(others[place + 1..].iter().sum::<u32>());
        let below = f64::from(others[..place].iter().sum::<u32>());
        // A share of zero would have no logarithm.
        let part = if test.smoothed { 1.0 - self.rng.random::<f64>() } else { 1.0 };
        let equal = part * (1.0 + f64::from(others[place]));
        for (statistic, extreme) in self.statistic.iter_mut().zip([above, below]) {
            *statistic -= 2.0 * ((extreme + equal) / (total + 1.0)).ln();
        }
        if self.looks.contains(&self.votes) {
            let level = test.alpha / LOOKS as f64 / 2.0;
            self.is_flagged = self.statistic.iter().any(|&m| chi_square_tail(m, self.votes) <= level);
        }
        self.is_flagged
    }
}

/// P(χ² ≥ x) with 2j degrees of freedom: e^(−x/2) Σ_{k<j} (x/2)ᵏ / k!.
fn chi_square_tail(x: f64, j: u32) -> f64 {
    let half = x / 2.0;
    let mut log_term = -half;
    let mut sum = log_term.exp();
    for k in 1..j {
        log_term += (half / f64::from(k)).ln();
        sum += log_term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::battles::Outcome;

    #[test]
    fn the_tail_of_chi_square_is_that_of_tables() {
        // 95 % points of 2, 10 and 100 degrees of freedom.
        for (j, point) in [(1, 5.991_465), (5, 18.307_038), (50, 124.342_113)] {
            assert!((chi_square_tail(point, j) - 0.05).abs() < 1e-6, "{j}");
        }
        assert_eq!(chi_square_tail(0.0, 3), 1.0);
    }

    fn vote(user: u32, a: u32, b: u32, outcome: Outcome) -> CastVote {
        let (user, prompt) = (Some(user), None);
        CastVote { a, b, outcome, user, prompt, timestamp: 0.0, blind: true, fault: None }
    }

    /// Model 0 wins 18 of 19; user 99 votes for model 1 always, whichever side it is on.
    fn votes(stubborn: Outcome) -> Vec<CastVote> {
        let mut votes = Vec::new();
        for i in 0..2000u32 {
            let outcome = if i % 19 == 7 { Outcome::ModelB } else { Outcome::ModelA };
            votes.push(vote(i % 30, 0, 1, outcome));
            if i > 500 && i % 10 == 0 {
                votes.push(vote(99, 1, 0, stubborn.swapped()));
            }
        }
        votes
    }

    #[test]
    fn a_user_who_always_votes_against_all_others_is_found_from_either_side() {
        let test = AnomalyTest::default();
        assert_eq!(test.flagged(&votes(Outcome::ModelB)), HashSet::from([99]));
        let printed = AnomalyTest { smoothed: false, ..test };
        assert_eq!(printed.flagged(&votes(Outcome::ModelB)), HashSet::from([99]));
        assert_eq!(printed.flagged(&votes(Outcome::ModelA)), HashSet::new(), "the majority is no anomaly");
        // The same with the two models' numbers exchanged.
        let exchanged: Vec<CastVote> =
            votes(Outcome::ModelB).into_iter().map(|v| CastVote { a: 1 - v.a, b: 1 - v.b, ..v }).collect();
        assert_eq!(test.flagged(&exchanged), HashSet::from([99]));
    }
}
