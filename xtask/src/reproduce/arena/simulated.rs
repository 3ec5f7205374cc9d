//! Arenas whose truth is known: what the paper says of its method, on votes that are drawn.

use camelid_ratings::simulation::{
    Coverage, Crowd, Detection, Draw, Needed, Target, Voter, World, coverage, detection, votes_needed,
};
use camelid_ratings::{AnomalyTest, BradleyTerry, PairCounts, Ratings, RatingsError};
use camelid_recipe::claims::{Evidence, ExactFigure, Figure};
use camelid_report::text_table;
use serde::Serialize;

/// The models of the paper's Figure 5, by the leaderboard's names.
const MODELS: [&str; 28] = [
    "zephyr-7b-beta",
    "wizardlm-13b",
    "llama2-70b-steerlm-chat",
    "solar-10.7b-instruct-v1.0",
    "dolphin-2.2.1-mistral-7b",
    "pplx-70b-online",
    "gpt-3.5-turbo-1106",
    "openchat-3.5",
    "llama-2-70b-chat",
    "openhermes-2.5-mistral-7b",
    "vicuna-33b",
    "starling-lm-7b-alpha",
    "gpt-3.5-turbo-0314",
    "wizardlm-70b",
    "tulu-2-dpo-70b",
    "yi-34b-chat",
    "claude-instant-1",
    "gemini-pro",
    "gpt-3.5-turbo-0613",
    "claude-2.1",
    "mixtral-8x7b-instruct-v0.1",
    "gemini-pro-dev-api",
    "claude-2.0",
    "claude-1",
    "mistral-medium",
    "gpt-4-0613",
    "gpt-4-0314",
    "gpt-4-1106-preview",
];
/// The paper's numbers of models, votes of Figure 6, and half-widths of intervals.
const SIZES: [usize; 5] = [4, 7, 10, 15, 20];
const VOTES: usize = 20_000;
const WIN_PRECISION: f64 = 0.2;
const SCORE_PRECISION: f64 = 0.15;
/// The paper's votes.
const BACKGROUND: usize = 213_576;
/// Trials: of coverage, of votes needed, of crowds.
const TRIALS: [usize; 3] = [100, 20, 20];

/// Everything that was simulated.
#[derive(Debug, Clone, Serialize)]
pub struct Simulated {
    pub models: usize,
    pub coverage: Vec<Coverage>,
    pub needed: Vec<VotesNeeded>,
    pub detection: Vec<Found>,
}

/// Votes for one target by three ways to draw.
#[derive(Debug, Clone, Serialize)]
pub struct VotesNeeded {
    pub target: Target,
    pub half_width: f64,
    pub even: f64,
    /// In proportion to how often the arena drew both models.
    pub as_drawn: f64,
    pub active: f64,
}

/// What the test found at one level, over all crowds.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    pub alpha: f64,
    pub voters: Vec<Detection>,
}

/// Runs all simulations, on models as strong and as often drawn as `fitted` and `counts` say; `ties` is
/// Davidson's ν.
pub fn simulate(
    fitted: &Ratings,
    counts: &PairCounts,
    ties: f64,
    seed: u64,
) -> Result<Simulated, RatingsError> {
    let places: Vec<usize> =
        MODELS.iter().filter_map(|name| fitted.models.iter().position(|model| model == name)).collect();
    let points = BradleyTerry::default().scale.points_per_nat();
    let strengths = places.iter().map(|&m| fitted.ratings[m] / points).collect();
    let world = World { strengths, ties: 0.0, position: 0.0 };
    let drawn = as_drawn(&places, counts);
    let needed = |target, precision| -> Result<VotesNeeded, RatingsError> {
        let median = |draw: &Draw| {
            votes_needed(&world, draw, target, precision, TRIALS[1], seed)
                .map(|needed: Needed| needed.median())
        };
        Ok(VotesNeeded {
            target,
            half_width: precision,
            even: median(&Draw::Even)?,
            as_drawn: median(&Draw::Weighted(drawn.clone()))?,
            active: median(&Draw::Active)?,
        })
    };
    // People tie as often as Davidson's model says of the votes; as many voted before as in the paper.
    let tied = World { ties, ..world.clone() };
    let crowd = Crowd { background: BACKGROUND, ..Crowd::default() };
    let found = |alpha| -> Result<Found, RatingsError> {
        let mut voters: Vec<Detection> = Vec::new();
        for number in 0..TRIALS[2] as u64 {
            let test = AnomalyTest { alpha, ..AnomalyTest::default() };
            for (place, row) in detection(&tied, &crowd, test, seed + number)?.into_iter().enumerate() {
                match voters.get_mut(place) {
                    Some(sum) => {
                        (sum.users, sum.flagged) = (sum.users + row.users, sum.flagged + row.flagged)
                    }
                    None => voters.push(row),
                }
            }
        }
        Ok(Found { alpha, voters })
    };
    Ok(Simulated {
        models: places.len(),
        coverage: SIZES
            .into_iter()
            .map(|models| coverage(models, VOTES, TRIALS[0], (0.0, 0.0), seed))
            .collect::<Result<_, _>>()?,
        needed: vec![needed(Target::WinMatrix, WIN_PRECISION)?, needed(Target::Scores, SCORE_PRECISION)?],
        detection: vec![found(0.1)?, found(0.3)?],
    })
}

/// Pairs in proportion to how often the arena drew both models.
fn as_drawn(places: &[usize], counts: &PairCounts) -> Vec<f64> {
    let votes = |model: usize| {
        let own = counts.pairs().iter().filter(|pair| pair.i as usize == model || pair.j as usize == model);
        own.flat_map(|pair| pair.counts).map(|count| count.weight).sum::<f64>()
    };
    let votes: Vec<f64> = places.iter().map(|&model| votes(model)).collect();
    let mut weights = Vec::new();
    for (place, own) in votes.iter().enumerate() {
        weights.extend(votes[place + 1..].iter().map(|other| own * other));
    }
    weights
}

impl Simulated {
    /// All of it in tables, for a terminal.
    pub fn text(&self) -> String {
        let coverage: Vec<Vec<String>> = self
            .coverage
            .iter()
            .map(|row| {
                vec![
                    row.models.to_string(),
                    format!("{:.1} %", 100.0 * row.covered),
                    format!("{:.1}", row.width),
                ]
            })
            .collect();
        let needed: Vec<Vec<String>> = self
            .needed
            .iter()
            .map(|row| {
                let votes = [row.even, row.as_drawn, row.active].map(|votes| format!("{votes:.0}"));
                [vec![row.target.words().to_owned(), row.half_width.to_string()], votes.to_vec()].concat()
            })
            .collect();
        let detection: Vec<Vec<String>> = self
            .detection
            .iter()
            .flat_map(|found| {
                found.voters.iter().map(|row| {
                    let share = format!("{:.0} %", 100.0 * row.flagged as f64 / row.users as f64);
                    vec![row.voter.words().to_owned(), found.alpha.to_string(), share]
                })
            })
            .collect();
        format!(
            "{}\n{}\n{}",
            text_table(&["models", "intervals that hold the truth", "width"], &coverage, &[]),
            text_table(&["votes for", "half-width", "even", "as drawn", "active"], &needed, &[0]),
            text_table(&["voter", "alpha", "called anomalous"], &detection, &[0]),
        )
    }

    /// Evidence by claim.
    pub fn evidence(&self) -> Vec<(&'static str, Evidence)> {
        let figures = |exact: Vec<ExactFigure>, unit: &str, note: String| Evidence {
            figures: exact
                .iter()
                .map(|f| Figure { name: f.name.clone(), value: f.measured, unit: unit.to_owned() })
                .collect(),
            exact,
            note,
            ..Evidence::default()
        };
        let exact = |name: String, measured: f64, expected: f64| ExactFigure { name, measured, expected };
        let covered = self.coverage.iter();
        let covered = covered.map(|row| exact(format!("{} models", row.models), row.covered, 0.95)).collect();
        let more = |row: &VotesNeeded, published: f64| {
            let name = |draws: &str| format!("{draws} over active draws");
            let note = format!(
                "{} models, half-width {}: even {:.0}, as the arena drew {:.0}, active {:.0} votes.",
                self.models, row.half_width, row.even, row.as_drawn, row.active
            );
            figures(vec![exact(name("even"), row.even / row.active, published)], "", note)
        };
        let share = |found: &Found, voter: Voter| {
            let row = found.voters.iter().find(|row| row.voter == voter);
            row.map_or(f64::NAN, |row| row.flagged as f64 / row.users as f64)
        };
        let level = |found: &Found, published: f64| {
            exact(format!("α = {}", found.alpha), share(found, Voter::Careful), published)
        };
        let all = |voter: Voter| {
            let shares = self.detection.iter().map(|found| format!("{:.0} %", 100.0 * share(found, voter)));
            format!("{}: {}", voter.words(), shares.collect::<Vec<_>>().join(", "))
        };
        let kinds: Vec<String> = Voter::BAD.into_iter().map(all).collect();
        // Nobody knows how the paper's anomalous users voted: as many of each kind.
        let bad = |found: &Found, published| {
            let mean = Voter::BAD.into_iter().map(|voter| share(found, voter)).sum::<f64>() / 4.0;
            exact(format!("α = {}", found.alpha), mean, published)
        };
        let [low, high] = &self.detection[..] else { return Vec::new() };
        vec![
            ("coverage", figures(covered, "", format!("{VOTES} votes, {} trials.", TRIALS[0]))),
            ("active-win-matrix", more(&self.needed[0], 6800.0 / 4400.0)),
            ("active-scores", more(&self.needed[1], 17_200.0 / 16_400.0)),
            (
                "normal-users",
                figures(
                    vec![level(low, 1.0 / 25.0), level(high, 8.0 / 25.0)],
                    "share flagged",
                    String::new(),
                ),
            ),
            (
                "anomalous-users",
                figures(
                    vec![bad(low, 13.0 / 25.0), bad(high, 21.0 / 25.0)],
                    "share flagged",
                    format!("At α = 0.1 and 0.3, {}.", kinds.join("; ")),
                ),
            ),
        ]
    }
}
