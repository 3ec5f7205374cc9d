//! Simulated people vote through an arena's HTTP interface, and the ratings are held to the truth:
//! `cargo run -p camelid-serve --example http_votes -- 10000`.

#[path = "../tests/arena_http/mod.rs"]
mod arena_http;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arena_http::{Running, player};
use camelid_ratings::simulation::{Voter, World};
use camelid_ratings::{BradleyTerry, Outcome};
use camelid_serve::arena::ArenaOptions;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const MODELS: usize = 8;
const VISITORS: u64 = 4;

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
    std::thread::scope(|scope| {
        for visitor in 0..VISITORS {
            let (running, world, cast) = (&running, &world, &cast);
            scope.spawn(move || {
                let mut rng = ChaCha8Rng::seed_from_u64(visitor);
                loop {
                    let number = cast.fetch_add(1, Ordering::Relaxed);
                    if number >= votes {
                        return;
                    }
                    let from = format!("2001:db8:{:x}:{visitor:x}::1", rng.random_range(0..votes / 40 + 1));
                    let played = running.battle(&from, &format!("Question number {number}?"));
                    let [left, right] = played.answers.map(|answer| (answer.as_bytes()[9] - b'0') as usize);
                    let verdict = match world.vote(Voter::Careful, left, right, &mut rng) {
                        Outcome::ModelA => "left",
                        Outcome::ModelB => "right",
                        Outcome::Tie => "tie",
                    };
                    let (status, said) = running.vote(&from, &played.battle, verdict);
                    assert_eq!(status, 200, "{said}");
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let board = running.board();
    println!(
        "{votes} votes in {seconds:.0} s, {:.0} a second; {} count",
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
