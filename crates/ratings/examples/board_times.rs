//! How long a leaderboard takes to follow one more vote: `cargo run -p camelid-ratings --example board_times`.

use std::time::{Duration, Instant};

use camelid_ratings::simulation::{Voter, World};
use camelid_ratings::{BradleyTerry, CastVote, Cleaning, PairCounts, Z95};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("votes   models  cleaning  counting  fit and intervals  all (median of 9)");
    for (count, models) in [(10_000, 20), (100_000, 20), (100_000, 130), (1_000_000, 130)] {
        let votes = votes(count, models);
        let names: Vec<String> = (0..models).map(|m| format!("model-{m}")).collect();
        let mut times: Vec<[Duration; 3]> = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            let reasons = Cleaning::default().reasons(&votes)?;
            let cleaned = start.elapsed();
            let kept = votes.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
            let counts =
                PairCounts::tally(names.clone(), kept.map(|(vote, _)| (vote.a, vote.b, vote.outcome)))?;
            let counted = start.elapsed();
            BradleyTerry::default().sandwich(&counts, Z95)?;
            times.push([cleaned, counted - cleaned, start.elapsed() - counted]);
        }
        times.sort_by_key(|parts| parts.iter().sum::<Duration>());
        let [cleaning, counting, fit] = times[times.len() / 2].map(|time| time.as_secs_f64() * 1e3);
        let all = cleaning + counting + fit;
        println!("{count:<9}{models:<6}{cleaning:>7.1} ms{counting:>7.1} ms{fit:>16.1} ms{all:>16.1} ms");
    }
    Ok(())
}

/// Votes of a thousand users on models that are drawn evenly.
fn votes(count: usize, models: usize) -> Vec<CastVote> {
    let world = World { ties: 0.4, position: 0.1, ..World::spaced(models, 500.0) };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let vote = |number: usize| {
        let a = rng.random_range(0..models);
        let b = (a + rng.random_range(1..models)) % models;
        let outcome = world.vote(Voter::Careful, a, b, &mut rng);
        let user = Some(rng.random_range(0..(count as u32 / 20)));
        let prompt = Some(rng.random_range(0..count as u64));
        let timestamp = 30.0 * number as f64;
        CastVote { a: a as u32, b: b as u32, outcome, user, prompt, timestamp, blind: true, fault: None }
    };
    (0..count).map(vote).collect()
}
