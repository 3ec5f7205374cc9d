//! Cleaning that follows votes as they come.

use std::collections::{BTreeMap, HashMap};

use super::anomalous::Tested;
use super::{CastVote, Cleaning, DropReason};
use crate::bootstrap::quantile_of;
use crate::error::RatingsError;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// [`Cleaning::reasons`] of all votes so far, at the cost of the new ones: earlier votes are looked at again
/// only where a new one makes its user anomalous, or moves how often a prompt may come.
#[derive(Debug, Clone)]
pub struct Cleaner {
    cleaning: Cleaning,
    tested: Option<Tested>,
    votes: Vec<Seen>,
    reasons: Vec<Option<DropReason>>,
    prompts: Prompts,
    /// Votes of a user in a day that got as far as to be counted.
    days: HashMap<(u32, i64), u32>,
}

/// What is kept of a vote.
#[derive(Debug, Clone, Copy)]
struct Seen {
    user: Option<u32>,
    prompt: Option<u64>,
    day: i64,
    /// The how manieth vote on its prompt it is, from 1; 0 where prompts do not matter for it.
    nth: u32,
}

/// How often prompts come.
#[derive(Debug, Clone, Default)]
struct Prompts {
    counts: HashMap<u64, u32>,
    /// How many prompts have each count.
    by_count: BTreeMap<u32, usize>,
    /// Votes of one prompt that count.
    most: u32,
}

impl Cleaner {
    /// No votes yet.
    ///
    /// # Errors
    /// As [`Cleaning::reasons`].
    pub fn new(cleaning: Cleaning) -> Result<Self, RatingsError> {
        if let Some(share) = cleaning.prompt_percentile
            && !(0.0..=1.0).contains(&share)
        {
            return Err(RatingsError::setting("prompt_percentile", share, "a share from 0 to 1"));
        }
        let tested = cleaning.anomaly.map(|test| test.check().map(|()| Tested::new(test))).transpose()?;
        let prompts = Prompts { most: u32::MAX, ..Prompts::default() };
        let (votes, reasons, days) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { cleaning, tested, votes, reasons, prompts, days })
    }

    /// Why each vote so far does not count, `None` where it does.
    pub fn reasons(&self) -> &[Option<DropReason>] {
        &self.reasons
    }

    /// Takes further votes, in the order in which they were cast. Returns the places of earlier votes whose
    /// reason is another now, with what it was.
    pub fn extend(&mut self, votes: &[CastVote]) -> Vec<(usize, Option<DropReason>)> {
        let new = self.votes.len();
        let mut is_found = false;
        for vote in votes {
            is_found |= self.tested.as_mut().is_some_and(|tested| tested.vote(vote));
            let day = (vote.timestamp / DAY).floor() as i64;
            self.votes.push(Seen { user: vote.user, prompt: vote.prompt, day, nth: 0 });
            self.reasons.push(self.own_reason(vote));
        }
        if is_found {
            self.prompts = Prompts { most: self.prompts.most, ..Prompts::default() };
            self.count_prompts(0);
        } else {
            self.count_prompts(new);
        }
        let most = self.cleaning.prompt_percentile.map_or(u32::MAX, |share| self.prompts.most(share));
        let is_moved = most != self.prompts.most;
        self.prompts.most = most;
        if !is_found && !is_moved {
            self.decide(new);
            return Vec::new();
        }
        let before = self.reasons[..new].to_vec();
        self.days.clear();
        self.decide(0);
        let now = &self.reasons;
        before.into_iter().enumerate().filter(|(place, was)| now[*place] != *was).collect()
    }

    /// What is wrong with a vote whatever the others are.
    fn own_reason(&self, vote: &CastVote) -> Option<DropReason> {
        match &vote.fault {
            _ if !vote.blind && !self.cleaning.named => Some(DropReason::NotBlind),
            Some(fault) => Some(DropReason::Text(fault.clone())),
            None => None,
        }
    }

    fn is_flagged(&self, user: Option<u32>) -> bool {
        let Some(tested) = &self.tested else { return false };
        user.is_some_and(|user| tested.is_flagged(user))
    }

    /// Counts the prompts of the votes from a place on.
    fn count_prompts(&mut self, from: usize) {
        if self.cleaning.prompt_percentile.is_none() {
            return;
        }
        for place in from..self.votes.len() {
            let Seen { user, prompt, .. } = self.votes[place];
            let matters = !is_own(&self.reasons[place]) && !self.is_flagged(user);
            self.votes[place].nth = prompt.filter(|_| matters).map_or(0, |prompt| self.prompts.add(prompt));
        }
    }

    /// Decides on the votes from a place on; those before it are decided.
    fn decide(&mut self, from: usize) {
        for place in from..self.votes.len() {
            if is_own(&self.reasons[place]) {
                continue;
            }
            let Seen { user, day, nth, .. } = self.votes[place];
            self.reasons[place] = if self.is_flagged(user) {
                Some(DropReason::AnomalousUser)
            } else if nth > self.prompts.most {
                Some(DropReason::RepeatedPrompt)
            } else {
                self.is_too_many(user, day).then_some(DropReason::ManyVotes)
            };
        }
    }

    /// Counts a vote of a user's day; the first ones count.
    fn is_too_many(&mut self, user: Option<u32>, day: i64) -> bool {
        let (Some(most), Some(user)) = (self.cleaning.daily_votes, user) else { return false };
        let count = self.days.entry((user, day)).or_default();
        *count += 1;
        *count > most
    }
}

/// Whether no other vote changes this reason.
fn is_own(reason: &Option<DropReason>) -> bool {
    matches!(reason, Some(DropReason::NotBlind | DropReason::Text(_)))
}

impl Prompts {
    /// Counts a prompt; how often it came.
    fn add(&mut self, prompt: u64) -> u32 {
        let count = self.counts.entry(prompt).or_default();
        if *count > 0
            && let Some(prompts) = self.by_count.get_mut(count)
        {
            *prompts -= 1;
            if *prompts == 0 {
                self.by_count.remove(count);
            }
        }
        *count += 1;
        *self.by_count.entry(*count).or_default() += 1;
        *count
    }

    /// How often a prompt may come: as often as this share of all different ones do not exceed.
    fn most(&self, share: f64) -> u32 {
        let Some((&largest, _)) = self.by_count.last_key_value() else { return u32::MAX };
        // From the largest down: the share is near one.
        let nth = |place: usize| {
            let mut first = self.counts.len();
            let at = self.by_count.iter().rev().find(|(_, prompts)| {
                first -= **prompts;
                first <= place
            });
            at.map_or(f64::from(largest), |(&count, _)| f64::from(count))
        };
        quantile_of(self.counts.len(), share, nth).ceil() as u32
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::battles::Outcome;
    use crate::cleaning::{AnomalyTest, TextFault};

    /// Votes of some honest users and of one who is not, with faults and favourite prompts here and there.
    fn votes(seed: u64) -> Vec<CastVote> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let vote = |number: u32| {
            let user = rng.random_range(0..12);
            let (a, b) = if rng.random::<bool>() { (0, 1) } else { (2, 0) };
            let usual = rng.random::<f64>() < 0.9;
            let outcome = match (a, usual != (user == 11)) {
                (0, true) | (2, false) => Outcome::ModelA,
                _ => Outcome::ModelB,
            };
            let prompt = if rng.random_range(0..5) == 0 { 7 } else { 100 + rng.random_range(0..400) };
            CastVote {
                a,
                b,
                outcome,
                user: (rng.random_range(0..20) > 0).then_some(user),
                prompt: (rng.random_range(0..30) > 0).then_some(prompt),
                timestamp: f64::from(number) * 600.0,
                blind: rng.random_range(0..25) > 0,
                fault: (rng.random_range(0..25) == 0).then_some(TextFault::Unfinished),
            }
        };
        (0..900).map(vote).collect()
    }

    #[test]
    fn votes_one_by_one_are_judged_as_all_of_them_at_once() {
        let kinds = |reasons: &[Option<DropReason>]| -> BTreeMap<&str, usize> {
            let mut kinds = BTreeMap::new();
            reasons.iter().flatten().for_each(|reason| *kinds.entry(reason.kind()).or_default() += 1);
            kinds
        };
        let mut changed = 0;
        for (seed, percentile) in [(0, 0.99), (1, 0.95), (2, 1.0), (3, 0.0)] {
            let votes = votes(seed);
            let anomaly = Some(AnomalyTest { alpha: 0.3, ..AnomalyTest::default() });
            let prompt_percentile = Some(percentile);
            let cleaning = Cleaning { daily_votes: Some(9), prompt_percentile, anomaly, named: false };
            let mut cleaner = Cleaner::new(cleaning.clone()).unwrap();
            let mut known: Vec<Option<DropReason>> = Vec::new();
            let mut rest = &votes[..];
            while !rest.is_empty() {
                let (next, later) = rest.split_at(rest.len().min(1 + known.len() % 7));
                rest = later;
                for (place, was) in cleaner.extend(next) {
                    assert_eq!(known[place], was);
                    known[place].clone_from(&cleaner.reasons()[place]);
                    changed += 1;
                }
                known.extend_from_slice(&cleaner.reasons()[known.len()..]);
                assert_eq!(known, cleaner.reasons(), "every change is told");
                assert_eq!(known, cleaning.reasons(&votes[..known.len()]).unwrap(), "seed {seed}");
            }
            assert_eq!(
                kinds(&known).contains_key("repeated prompt"),
                percentile < 1.0,
                "{:?}",
                kinds(&known)
            );
            assert!(kinds(&known).contains_key("anomalous user") && kinds(&known).contains_key("many votes"));
        }
        assert!(changed > 100, "{changed}");
    }
}
