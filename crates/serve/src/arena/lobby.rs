//! Who plays next: pairs are drawn, and models that fail stay out for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use camelid_ratings::{Contestant, PairCounts, PairRule, draw_pair, pair_weights};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::player::Player;

/// Failures in a row after which a model stays out.
const PATIENCE: u32 = 3;
/// How long it stays out the first time; twice as long each further time, up to the longest.
const FIRST_OUTAGE: Duration = Duration::from_secs(60);
const LONGEST_OUTAGE: Duration = Duration::from_secs(3600);

/// The models and their state of health.
#[derive(Debug)]
pub struct Lobby {
    players: Vec<Player>,
    rule: PairRule,
    health: Mutex<Vec<Health>>,
    rng: Mutex<ChaCha8Rng>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    failures: u32,
    outages: u32,
    out_until: Option<Instant>,
}

impl Lobby {
    /// Models that are drawn by `rule`, with this seed.
    pub fn new(players: Vec<Player>, rule: PairRule, seed: [u8; 32]) -> Self {
        let health = Mutex::new(vec![Health::default(); players.len()]);
        Self { players, rule, health, rng: Mutex::new(ChaCha8Rng::from_seed(seed)) }
    }

    /// All models.
    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// The place of a model.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.players.iter().position(|player| player.name == name)
    }

    /// Two different models, left and right; `None` where fewer than two may play.
    pub fn draw(&self, counts: Option<&PairCounts>, now: Instant) -> Option<(usize, usize)> {
        let contestants = self.contestants(now);
        let pairs = pair_weights(&contestants, counts, self.rule);
        draw_pair(&pairs, &mut *self.rng())
    }

    /// Another model instead of `failed`, against `other`.
    pub fn replace(&self, failed: usize, other: usize, now: Instant) -> Option<usize> {
        let may_play = |(place, one): (usize, Contestant)| {
            (place != failed && place != other && one.weight > 0.0).then_some(place)
        };
        let left: Vec<usize> = self.contestants(now).into_iter().enumerate().filter_map(may_play).collect();
        (!left.is_empty()).then(|| left[self.rng().random_range(0..left.len())])
    }

    /// A seed for one answer.
    pub fn seed(&self) -> u64 {
        self.rng().next_u64()
    }

    /// Notes that a model answered, or failed to.
    pub fn note(&self, place: usize, answered: bool, now: Instant) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(health) = health.get_mut(place) else { return };
        if answered {
            *health = Health::default();
            return;
        }
        health.failures += 1;
        if health.failures >= PATIENCE {
            let long = FIRST_OUTAGE.saturating_mul(1 << health.outages.min(10)).min(LONGEST_OUTAGE);
            health.out_until = Some(now + long);
            health.outages += 1;
            health.failures = 0;
            camelid_files::say!("{}: out of battles for {} s", self.players[place].name, long.as_secs());
        }
    }

    fn contestants(&self, now: Instant) -> Vec<Contestant> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let contestant = |(player, health): (&Player, &Health)| Contestant {
            name: player.name.clone(),
            weight: if health.out_until.is_some_and(|until| now < until) { 0.0 } else { player.card.weight },
        };
        self.players.iter().zip(health.iter()).map(contestant).collect()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, ChaCha8Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::demo;

    #[test]
    fn a_model_that_fails_thrice_stays_out_for_a_while_and_comes_back() {
        let lobby = Lobby::new(demo::players(Duration::ZERO), PairRule::Weights, [1; 32]);
        let start = Instant::now();
        let plays = |now| (0..200).any(|_| lobby.draw(None, now).is_some_and(|(a, b)| a == 0 || b == 0));
        lobby.note(0, false, start);
        lobby.note(0, false, start);
        assert!(plays(start));
        lobby.note(0, false, start);
        assert!(!plays(start) && lobby.replace(1, 2, start) == Some(3));
        let later = start + FIRST_OUTAGE;
        assert!(plays(later));
        (0..3).for_each(|_| lobby.note(0, false, later));
        assert!(!plays(later + FIRST_OUTAGE) && plays(later + 2 * FIRST_OUTAGE));
        lobby.note(0, true, later);
        assert!(plays(later));
    }
}
