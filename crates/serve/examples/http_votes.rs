//! Simulated people vote through an arena's HTTP interface, and the ratings are held to the truth:
//! `cargo run -p camelid-serve --example http_votes -- 10000`.

#[path = "../tests/arena_http/mod.rs"]
mod arena_http;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arena_http::{Running, player};
use camelid_ratings::simulation::{Voter, World};
use camelid_ratings::{BradleyTerry, Outcome, quantile};
use camelid_serve::arena::ArenaOptions;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const MODELS: usize = 8;
const VISITORS: u64 = 4;
/// Between two looks at the leaderboard.
const LOOK: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let votes: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let world = World { ties: 0.4, position: 0.2, ..World::spaced(MODELS, 400.0) };
    let script = |strength: usize| {
        player(&format!("m{strength}"), move |_| Ok(format!("Strength {strength} of what was asked.")))
    };
    let options = ArenaOptions {
        trusted_proxies: vec!["127.0.0.1".parse()?],
        prompts_per_minute: 0,
        votes_per_minute: 0,
        ..ArenaOptions::default()
    };
    let running = Running::start((0..MODELS).map(script).collect(), options);
    let (start, cast) = (Instant::now(), AtomicUsize::new(0));
    let (mut battles, mut votings, mut boards) = (Vec::new(), Vec::new(), Vec::new());
    let visit = |visitor: u64| {
        let (mut battles, mut votings) = (Vec::new(), Vec::new());
        let mut rng = ChaCha8Rng::seed_from_u64(visitor);
        loop {
            let number = cast.fetch_add(1, Ordering::Relaxed);
            if number >= votes {
                return (battles, votings);
            }
            let from = format!("2001:db8:{:x}:{visitor:x}::1", rng.random_range(0..votes / 40 + 1));
            let begun = Instant::now();
            let played = running.battle(&from, &format!("Question number {number}?"));
            battles.push(begun.elapsed());
            let [left, right] = played.answers.map(|answer| (answer.as_bytes()[9] - b'0') as usize);
            let verdict = match world.vote(Voter::Careful, left, right, &mut rng) {
                Outcome::ModelA => "left",
                Outcome::ModelB => "right",
                Outcome::Tie => "tie",
            };
            let begun = Instant::now();
            let (status, said) = running.vote(&from, &played.battle, verdict);
            votings.push(begun.elapsed());
            assert_eq!(status, 200, "{said}");
        }
    };
    std::thread::scope(|scope| -> Result<(), &'static str> {
        let visit = &visit;
        let visitors: Vec<_> = (0..VISITORS).map(|visitor| scope.spawn(move || visit(visitor))).collect();
        // Somebody looks at the leaderboard all the while.
        while !visitors.iter().all(|visitor| visitor.is_finished()) {
            let begun = Instant::now();
            assert_eq!(running.get("/leaderboard?part=true").0, 200);
            boards.push(begun.elapsed());
            std::thread::sleep(LOOK);
        }
        for visitor in visitors {
            let (own_battles, own_votings) = visitor.join().map_err(|_| "a visitor could not vote")?;
            battles.extend(own_battles);
            votings.extend(own_votings);
        }
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    for (what, times) in [("a battle", battles), ("a vote", votings), ("the leaderboard", boards)] {
        println!("{what}: {}", shown(times));
    }
    let took = running.arena.board().last().took.map(|part| part.as_secs_f64() * 1e3);
    println!("the last votes cleaned in {:.2} ms, the boards fitted in {:.2} ms", took[0], took[1]);
    let board = running.board();
    println!(
        "{votes} battles and votes in {seconds:.0} s, {:.0} a second; {} count",
        votes as f64 / seconds,
        board["counted"]
    );
    println!("dropped: {}", board["dropped"]);
    let truth = world.ratings(&BradleyTerry::default())?;
    let mut held = 0;
    for entry in board["boards"][0]["board"]["entries"].as_array().into_iter().flatten() {
        let model = entry["model"].as_str().unwrap_or_default();
        let number = |end: &str| entry["interval"][end].as_f64().unwrap_or(f64::NAN);
        let expected = truth[model[1..].parse::<usize>()?];
        let is_held = (number("low")..=number("high")).contains(&expected);
        held += usize::from(is_held);
        println!(
            "{model}: {:.1} [{:.1}, {:.1}], truth {expected:.1}{}",
            number("value"),
            number("low"),
            number("high"),
            if is_held { "" } else { "  outside" }
        );
    }
    println!("{held} of {MODELS} intervals hold the truth");
    Ok(())
}

/// Median, 99th percentile and longest of some times.
fn shown(times: Vec<Duration>) -> String {
    let mut times: Vec<f64> = times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let at = |share| quantile(&times, share);
    format!(
        "{:.1} ms half the time, {:.1} ms at the 99th percentile, {:.1} ms at most",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
