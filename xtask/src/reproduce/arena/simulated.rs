//! Arenas whose truth is known: what the paper says of its method, on votes that are drawn.

use camelid_ratings::simulation::{
    Coverage, Crowd, Detection, Draw, Needed, Target, Voter, World, coverage, detection, votes_needed,
};
use camelid_ratings::{AnomalyTest, BradleyTerry, RatingsError};
use camelid_recipe::claims::{Evidence, ExactFigure, Figure};
use camelid_report::text_table;
use serde::Serialize;

/// The models of the paper's Figure 5, by the leaderboard's names: the ratings and the number of the votes
/// of August 2024, as [`super::voted`] finds them.
pub const MODELS: [(&str, f64, f64); 28] = [
    ("zephyr-7b-beta", 1053.3, 11330.0),
    ("wizardlm-13b", 1058.6, 7192.0),
    ("llama2-70b-steerlm-chat", 1080.5, 3636.0),
    ("solar-10.7b-instruct-v1.0", 1062.3, 4291.0),
    ("dolphin-2.2.1-mistral-7b", 1062.4, 1714.0),
    ("pplx-70b-online", 1078.0, 6890.0),
    ("gpt-3.5-turbo-1106", 1067.9, 17026.0),
    ("openchat-3.5", 1076.4, 8117.0),
    ("llama-2-70b-chat", 1093.1, 39631.0),
    ("openhermes-2.5-mistral-7b", 1074.6, 5091.0),
    ("vicuna-33b", 1090.7, 22938.0),
    ("starling-lm-7b-alpha", 1088.3, 10422.0),
    ("gpt-3.5-turbo-0314", 1106.2, 5655.0),
    ("wizardlm-70b", 1106.1, 8391.0),
    ("tulu-2-dpo-70b", 1099.4, 6660.0),
    ("yi-34b-chat", 1111.3, 15946.0),
    ("claude-instant-1", 1111.3, 20633.0),
    ("gemini-pro", 1110.6, 6565.0),
    ("gpt-3.5-turbo-0613", 1116.9, 38959.0),
    ("claude-2.1", 1118.2, 37702.0),
    ("mixtral-8x7b-instruct-v0.1", 1114.0, 76064.0),
    ("gemini-pro-dev-api", 1131.2, 18790.0),
    ("claude-2.0", 1131.7, 12774.0),
    ("claude-1", 1148.8, 21172.0),
    ("mistral-medium", 1147.7, 35555.0),
    ("gpt-4-0613", 1162.5, 89617.0),
    ("gpt-4-0314", 1186.1, 55979.0),
    ("gpt-4-1106-preview", 1250.8, 92488.0),
];
/// Davidson's ν of the same votes.
pub const TIES: f64 = 0.5476;
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

/// Runs all simulations, on models as strong and as often drawn as those of the votes.
pub fn simulate(seed: u64) -> Result<Simulated, RatingsError> {
    let points = BradleyTerry::default().scale.points_per_nat();
    let strengths = MODELS.iter().map(|(_, rating, _)| rating / points).collect();
    let world = World { strengths, ties: 0.0, position: 0.0 };
    let drawn = as_drawn();
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
    let tied = World { ties: TIES, ..world.clone() };
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
        models: MODELS.len(),
        coverage: SIZES
            .into_iter()
            .map(|models| coverage(models, VOTES, TRIALS[0], (0.0, 0.0), seed))
            .collect::<Result<_, _>>()?,
        needed: vec![needed(Target::WinMatrix, WIN_PRECISION)?, needed(Target::Scores, SCORE_PRECISION)?],
        detection: vec![found(0.1)?, found(0.3)?],
    })
}

/// Pairs in proportion to how often the arena drew both models.
fn as_drawn() -> Vec<f64> {
    let mut weights = Vec::new();
    for (place, (_, _, own)) in MODELS.iter().enumerate() {
        weights.extend(MODELS[place + 1..].iter().map(|(_, _, other)| own * other));
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
