//! How long a leaderboard takes to follow one more vote: `cargo run -p camelid-ratings --example board_times`.

use std::time::{Duration, Instant};

use camelid_ratings::simulation::{Voter, World};
use camelid_ratings::{BradleyTerry, CastVote, Cleaner, Cleaning, VoteTally, Z95};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Votes that are followed one by one.
const FOLLOWED: usize = 99;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("                 all at once      one more vote: median (longest) of {FOLLOWED}");
    println!("votes    models  cleaning, fit    cleaning, counts   fit, intervals     all");
    for (count, models) in [(10_000, 20), (100_000, 20), (100_000, 130), (1_000_000, 130)] {
        let votes = votes(count, models);
        let (first, last) = votes.split_at(votes.len() - FOLLOWED);
        let names: Vec<String> = (0..models).map(|m| format!("model-{m}")).collect();
        let mut board =
            Board { votes: &votes, cleaner: Cleaner::new(Cleaning::default())?, tally: VoteTally::default() };
        let start = Instant::now();
        board.follow(first);
        let opened = board.fit(&names)? + start.elapsed();
        let mut times: Vec<[Duration; 2]> = Vec::new();
        for vote in last {
            let start = Instant::now();
            board.follow(std::slice::from_ref(vote));
            times.push([start.elapsed(), board.fit(&names)?]);
        }
        let shown = |of: &dyn Fn(&[Duration; 2]) -> Duration| {
            let mut times: Vec<f64> = times.iter().map(|time| of(time).as_secs_f64() * 1e3).collect();
            times.sort_by(f64::total_cmp);
            format!("{:.2} ({:.1}) ms", times[FOLLOWED / 2], times[FOLLOWED - 1])
        };
        let opened = format!("{:.0} ms", opened.as_secs_f64() * 1e3);
        let [followed, fit] = [shown(&|time| time[0]), shown(&|time| time[1])];
        let all = shown(&|time| time.iter().sum());
        println!("{count:<9}{models:<8}{opened:<17}{followed:<19}{fit:<19}{all}");
    }
    Ok(())
}

/// What an arena keeps of its votes.
struct Board<'a> {
    votes: &'a [CastVote],
    cleaner: Cleaner,
    tally: VoteTally,
}

impl Board<'_> {
    /// Takes the next votes.
    fn follow(&mut self, new: &[CastVote]) {
        let known = self.cleaner.reasons().len();
        for (place, was) in self.cleaner.extend(new) {
            let CastVote { a, b, outcome, .. } = self.votes[place];
            match (was, &self.cleaner.reasons()[place]) {
                (None, Some(_)) => self.tally.remove(a, b, outcome),
                (Some(_), None) => self.tally.add(a, b, outcome),
                _ => {}
            }
        }
        for (vote, reason) in new.iter().zip(&self.cleaner.reasons()[known..]) {
            if reason.is_none() {
                self.tally.add(vote.a, vote.b, vote.outcome);
            }
        }
    }

    /// How long ratings and intervals take.
    fn fit(&self, names: &[String]) -> Result<Duration, camelid_ratings::RatingsError> {
        let start = Instant::now();
        BradleyTerry::default().sandwich(&self.tally.counts(names)?, Z95)?;
        Ok(start.elapsed())
    }
}

/// Votes of users with twenty each on models that are drawn evenly.
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
