//! How long ratings take:
//! `cargo run --release -p camelid-ratings --example rating_times [battles.csv [review files …]]`.
//!
//! Without a file, 100,000 made-up battles among 50 models, a fifth of them ties: the setting of
//! `benches/peers/ratings.py`, which hands its own file in and reads the JSON lines printed here.
//! Elo plays the battles of the review files, or 4,480 made-up ones among 8 models.
//! Each line is the smallest and the median time of several runs, in seconds, and, where the system
//! tells it, the time that all cores together worked for one.

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use camelid_ratings::{
    Battles, Bootstrap, BradleyTerry, Elo, NamedBattle, Orderings, Outcome, PairCounts, ReadOptions,
    from_frame, read, read_all, to_frame,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let battles = match files.first() {
        Some(path) => read(path)?,
        None => made_up(100_000, 50)?,
    };
    let vicuna = match files.get(1..) {
        Some(reviews) if !reviews.is_empty() => read_all(reviews, &ReadOptions::default(), |_| ())?.battles,
        _ => made_up(4_480, 8)?,
    };
    let frame = to_frame(&battles)?;
    let counts = PairCounts::new(&battles)?;
    let model = BradleyTerry::default();
    let bootstrap = Bootstrap { replicates: 100, ..Bootstrap::default() };
    println!("# {} battles, {} models", battles.rows().len(), battles.models().len());
    time("battles from a frame", || from_frame(&frame, "frame").map(|b| b.rows().len()))?;
    time("counts", || PairCounts::new(&battles).map(|c| c.pairs().len()))?;
    time("Bradley-Terry, one fit from battles", || model.fit(&PairCounts::new(&battles)?))?;
    time("Bradley-Terry with sandwich intervals, from counts", || model.sandwich(&counts, 1.96))?;
    time("100 Bradley-Terry bootstraps, from battles", || bootstrap.bradley_terry(&model, &battles))?;
    time("Elo, sequential", || Elo::default().sequential(&battles))?;
    let orderings = Orderings { orderings: 10_000, matches: None, seed: 0 };
    let elo = Elo { k: 32.0, ..Elo::default() };
    let (rows, models) = (vicuna.rows().len(), vicuna.models().len());
    time(&format!("10,000 Elo orderings of {rows} battles among {models} models"), || {
        elo.averaged(&vicuna, &orderings)
    })?;
    Ok(())
}

fn time<T, E: Error + 'static>(
    what: &str,
    mut run: impl FnMut() -> Result<T, E>,
) -> Result<(), Box<dyn Error>> {
    let mut seconds = Vec::with_capacity(RUNS);
    let before = worked();
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(run()?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let worked = worked().zip(before).map(|(after, before)| (after - before) / RUNS as f64);
    seconds.sort_by(f64::total_cmp);
    let (best, median) = (seconds[0], seconds[RUNS / 2]);
    let line = serde_json::json!({ "what": what, "best": best, "median": median, "worked": worked });
    println!("{line}");
    Ok(())
}

/// Seconds that all threads of this process worked so far, by Linux's count of hundredths.
fn worked() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name, in brackets, may hold anything; after it the 12th and 13th field are ours.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// Battles of models whose strengths lie a normal deviation of 0.7 nats apart, roughly.
fn made_up(battles: usize, models: usize) -> Result<Battles, Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    // Six uniform draws are near enough to a normal one.
    let mut skill = || (0..6).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
    let skills: Vec<f64> = (0..models).map(|_| skill()).collect();
    let names: Vec<String> = (0..models).map(|m| format!("model-{m:02}")).collect();
    let mut all = Battles::new();
    for _ in 0..battles {
        let a = rng.random_range(0..models);
        let b = (a + rng.random_range(1..models)) % models;
        let wins = rng.random_range(0.0..1.0) < 1.0 / (1.0 + (skills[b] - skills[a]).exp());
        let outcome = match rng.random_range(0.0..1.0) {
            u if u < 0.2 => Outcome::Tie,
            _ if wins => Outcome::ModelA,
            _ => Outcome::ModelB,
        };
        all.push(&NamedBattle::new(&names[a], &names[b], outcome)).map_err(|row| row.to_string())?;
    }
    Ok(all)
}
