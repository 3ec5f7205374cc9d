//! Which voters the test of anomalous users finds out (arXiv 2403.04132, Table 5).

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::world::{Voter, World, even_pair};
use crate::cleaning::{AnomalyTest, CastVote};
use crate::error::RatingsError;

/// Who votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowd {
    /// Votes of the many who are not tested, cast before and between those of the tested.
    pub background: usize,
    /// Tested users of each kind; the paper has 25 of either.
    pub tested: usize,
    /// Votes of each tested user; the paper's have at least fifty.
    pub votes: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { background: 20_000, tested: 25, votes: 100 }
    }
}

/// What the test made of the tested users of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Their kind.
    pub voter: Voter,
    /// How many there were.
    pub users: usize,
    /// How many were called anomalous.
    pub flagged: usize,
}

/// Careful users and bad ones of every kind, `crowd.tested` of each, among a careful background, put to
/// the test.
///
/// # Errors
/// [`RatingsError::Setting`] for fewer than two models or a level out of range.
pub fn detection(
    world: &World,
    crowd: &Crowd,
    test: AnomalyTest,
    seed: u64,
) -> Result<Vec<Detection>, RatingsError> {
    test.check()?;
    let models = world.strengths.len();
    if models < 2 {
        return Err(RatingsError::setting("models", models, "at least two"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kinds: Vec<Voter> = std::iter::once(Voter::Careful).chain(Voter::BAD).collect();
    // Everybody's votes, in an order drawn at random; half of the background came before.
    let mut casting: Vec<Option<u32>> = vec![None; crowd.background - crowd.background / 2];
    let tested = (kinds.len() * crowd.tested) as u32;
    casting.extend((0..tested).flat_map(|user| std::iter::repeat_n(Some(user), crowd.votes)));
    for last in (1..casting.len()).rev() {
        casting.swap(last, rng.random_range(0..=last));
    }
    let before = std::iter::repeat_n(None, crowd.background / 2);
    let mut votes = Vec::with_capacity(casting.len() + crowd.background / 2);
    for (number, user) in before.chain(casting).enumerate() {
        let voter = user.map_or(Voter::Careful, |user| kinds[user as usize / crowd.tested]);
        let (a, b) = even_pair(models, &mut rng);
        let outcome = world.vote(voter, a, b, &mut rng);
        let (a, b, timestamp) = (a as u32, b as u32, number as f64);
        votes.push(CastVote { a, b, outcome, user, prompt: None, timestamp, blind: true, fault: None });
    }
    let mut flagged: HashMap<usize, usize> = HashMap::new();
    for user in test.flagged(&votes) {
        *flagged.entry(user as usize / crowd.tested).or_default() += 1;
    }
    let found = |(kind, voter): (usize, &Voter)| {
        let flagged = flagged.get(&kind).copied().unwrap_or(0);
        Detection { voter: *voter, users: crowd.tested, flagged }
    };
    Ok(kinds.iter().enumerate().map(found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_users_are_found_and_careful_ones_left_alone() {
        let world = World { ties: 0.3, ..World::spaced(8, 500.0) };
        let found = detection(&world, &Crowd::default(), AnomalyTest::default(), 5).unwrap();
        let flagged = |voter| found.iter().find(|row| row.voter == voter).unwrap().flagged;
        assert!(flagged(Voter::Careful) <= 6, "{found:?}");
        assert!(flagged(Voter::Contrary) >= 23 && flagged(Voter::Careless) >= 7, "{found:?}");
        let strict = AnomalyTest { alpha: 0.001, ..AnomalyTest::default() };
        let less = detection(&world, &Crowd::default(), strict, 5).unwrap();
        assert!(less.iter().zip(&found).all(|(less, found)| less.flagged <= found.flagged));
        // As printed, careless users go unseen.
        let printed = AnomalyTest { smoothed: false, ..AnomalyTest::default() };
        let printed = detection(&world, &Crowd::default(), printed, 5).unwrap();
        assert!(printed.iter().zip(&found).all(|(printed, found)| printed.flagged <= found.flagged));
        assert!(printed[1].flagged < 3, "{printed:?}");
    }
}
