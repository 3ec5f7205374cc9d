//! Arenas whose truth is known.

use anyhow::Result;
use camelid_files::program::{UsageError, print};
use camelid_ratings::simulation::{Crowd, Draw, Needed, Target, World, coverage, detection, votes_needed};
use camelid_ratings::{AnomalyTest, RatingsError};
use camelid_report::text_table;
use serde_json::{Value, json};

pub const EXAMPLES: &str = "Examples:
  camelid arena simulate
  camelid arena simulate --models 20 --points 500 --trials 20 --json";

#[derive(clap::Args)]
pub struct Args {
    /// Models, at equal distances of strength
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u16).range(2..=200))]
    models: u16,
    /// Points between the weakest and the strongest
    #[arg(long, default_value_t = 400.0)]
    points: f64,
    /// Davidson's ν: 0 has no ties
    #[arg(long, default_value_t = 0.0)]
    ties: f64,
    /// Log-odds that the answer shown first gains
    #[arg(long, default_value_t = 0.0)]
    position: f64,
    /// Votes of each trial of the intervals' coverage
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    votes: u32,
    /// Trials of each simulation
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    trials: u16,
    /// Mean half-width of the win matrix's intervals that is aimed at
    #[arg(long, default_value_t = 0.2)]
    win_precision: f64,
    /// Mean half-width of the strengths' intervals that is aimed at, in log-odds
    #[arg(long, default_value_t = 0.15)]
    score_precision: f64,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let finite = [("--points", args.points), ("--ties", args.ties)];
    for (option, value) in finite {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(UsageError(format!("{option} is {value}; expected a number from 0")).into());
        }
    }
    if !args.position.is_finite() {
        return Err(UsageError(format!("--position is {}; expected a number", args.position)).into());
    }
    let found = args.simulate().map_err(|error| match error {
        RatingsError::Setting { .. } => anyhow::Error::from(UsageError::of(error)),
        error => error.into(),
    })?;
    if args.json {
        print(format!("{:#}\n", found.json()))?;
    } else {
        print(found.text())?;
    }
    Ok(())
}

struct Found {
    coverage: Vec<camelid_ratings::simulation::Coverage>,
    /// By target: even draws, active draws.
    needed: Vec<[Needed; 2]>,
    detection: Vec<(f64, Vec<camelid_ratings::simulation::Detection>)>,
}

impl Args {
    fn simulate(&self) -> Result<Found, RatingsError> {
        let world = World {
            ties: self.ties,
            position: self.position,
            ..World::spaced(usize::from(self.models), self.points)
        };
        let trials = usize::from(self.trials);
        let covered =
            |models| coverage(models, self.votes as usize, trials, (self.ties, self.position), self.seed);
        let needed = |target, precision| -> Result<[Needed; 2], RatingsError> {
            let by = |draw: &Draw| votes_needed(&world, draw, target, precision, trials, self.seed);
            Ok([by(&Draw::Even)?, by(&Draw::Active)?])
        };
        let found_out = |alpha| {
            let test = AnomalyTest { alpha, ..AnomalyTest::default() };
            Ok((alpha, detection(&world, &Crowd::default(), test, self.seed)?))
        };
        Ok(Found {
            coverage: [4, 7, 10, 15, 20].into_iter().map(covered).collect::<Result<_, _>>()?,
            needed: vec![
                needed(Target::WinMatrix, self.win_precision)?,
                needed(Target::Scores, self.score_precision)?,
            ],
            detection: [0.1, 0.3].into_iter().map(found_out).collect::<Result<_, RatingsError>>()?,
        })
    }
}

impl Found {
    fn json(&self) -> Value {
        json!({
            "coverage": self.coverage,
            "votes_needed": self.needed.iter().map(|[even, active]| json!({
                "target": even.target, "precision": even.precision, "even": even, "active": active,
                "even_median": even.median(), "active_median": active.median(),
            })).collect::<Vec<_>>(),
            "detection": self.detection.iter().map(|(alpha, rows)| json!({ "alpha": alpha, "voters": rows }))
                .collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let coverage: Vec<Vec<String>> = self
            .coverage
            .iter()
            .map(|row| {
                vec![
                    row.models.to_string(),
                    row.votes.to_string(),
                    row.trials.to_string(),
                    format!("{:.1} %", 100.0 * row.covered),
                    format!("{:.1}", row.width),
                ]
            })
            .collect();
        let needed: Vec<Vec<String>> = self
            .needed
            .iter()
            .map(|[even, active]| {
                let (even_votes, active_votes) = (even.median(), active.median());
                vec![
                    even.target.words().to_owned(),
                    format!("{}", even.precision),
                    format!("{even_votes:.0}"),
                    format!("{active_votes:.0}"),
                    format!("{:+.1} %", 100.0 * (even_votes / active_votes - 1.0)),
                ]
            })
            .collect();
        let detection: Vec<Vec<String>> = self
            .detection
            .iter()
            .flat_map(|(alpha, rows)| {
                rows.iter().map(move |row| {
                    vec![
                        row.voter.words().to_owned(),
                        format!("{alpha}"),
                        format!("{} of {}", row.flagged, row.users),
                    ]
                })
            })
            .collect();
        format!(
            "95 % intervals that hold the truth\n{}\nVotes until the mean half-width of 95 % intervals is reached (median)\n{}\n\
             Voters called anomalous\n{}",
            text_table(&["Models", "Votes", "Trials", "Held", "Width, points"], &coverage, &[]),
            text_table(&["Of", "Half-width", "Even draws", "Active draws", "Even needs more"], &needed, &[0]),
            text_table(&["Voter", "Alpha", "Called anomalous"], &detection, &[0]),
        )
    }
}
