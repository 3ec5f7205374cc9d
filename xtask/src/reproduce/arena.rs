//! Chatbot Arena's leaderboard of 13 August 2024 from the counts of its votes (Chiang et al. 2024).
//!
//! Bradley–Terry by maximum likelihood, both kinds of tie half a win for each side, one model held
//! at its published rating; intervals by multinomial draws of the counts and by the sandwich estimator.

mod report;
mod simulated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_data::DataError;
use camelid_data::catalogue::{self, FetchOptions};
use camelid_files::{Records, program};
use camelid_ratings::{
    Anchor, Battles, Bootstrap, BradleyTerry, EqualRanks, Interval, NamedBattle, Outcome, PairCounts,
    Ratings, Selection, Ties, Z95, spearman,
};
use camelid_recipe::claims::{ClaimsFile, Evidence, ExactFigure, Figure};
use clap::Args;
use serde::{Deserialize, Serialize};

use simulated::Simulated;

use super::Ending;
use crate::workspace;

/// The counts and the published ratings: names in the catalogue, and files in a folder of the user's.
const COUNTS: (&str, &str) = ("arena-votes-2024-08-14", "chatbotarena_20240814.json");
const PUBLISHED: (&str, &str) = ("arena-ratings-2024-08-13", "published_bt_20240813.csv");
/// The model whose rating the arena holds.
const ANCHOR: (&str, f64) = ("mixtral-8x7b-instruct-v0.1", 1114.0);
/// Names of the votes that the leaderboard writes otherwise.
const RENAMED: [(&str, &str); 1] = [("chatgpt-4o-latest", "chatgpt-4o-latest-2024-08-08")];

/// Options of the arena recipe.
#[derive(Args, Clone)]
pub struct ArenaArguments {
    /// Folder with the counts and the published ratings [default: the catalogue's, from a mirror, the cache or the
    /// network]
    #[arg(long, value_name = "DIR")]
    pub votes: Option<PathBuf>,
    /// Replicates of the bootstrap
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub replicates: u32,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    pub offline: bool,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
}

/// The counts as the package holds them.
#[derive(Deserialize)]
struct Counts {
    models: Vec<String>,
    /// Indices of the two models of each pair.
    #[serde(rename = "X")]
    pairs: Vec<[usize; 2]>,
    /// Votes for the first, for the second, for a tie, and that both are bad.
    #[serde(rename = "Y")]
    votes: Vec<[u64; 4]>,
}

/// A row of the published table.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Published {
    rating: Interval,
    variance: f64,
}

/// A model's rating.
#[derive(Debug, Clone, Serialize)]
struct Row {
    model: String,
    votes: u64,
    /// With its bootstrap interval and rank.
    rating: Interval,
    rank: usize,
    sandwich: Interval,
    published: Option<Compared>,
}

/// The published rating of the same model.
#[derive(Debug, Clone, Copy, Serialize)]
struct Compared {
    /// With its published 95 % interval and the rank that follows from it.
    rating: Interval,
    rank: usize,
    /// What ours is above it.
    gap: f64,
    /// Whether ours lies in its interval.
    inside: bool,
    /// Sandwich standard deviation of the distance to the anchor over the published one; none for the
    /// anchor.
    spread: Option<f64>,
}

/// A model of ties.
#[derive(Debug, Clone, Serialize)]
struct TieModel {
    name: &'static str,
    nu: f64,
    /// Mean negative log-likelihood of a vote.
    negative_log_likelihood: f64,
}

/// Everything that is computed from the votes.
#[derive(Debug, Serialize)]
struct Voted {
    votes: u64,
    both_bad: u64,
    models: usize,
    pairs: usize,
    /// From the highest rating down: the models that the published table has too, or all where it is not
    /// there.
    rows: Vec<Row>,
    ties: Vec<TieModel>,
    /// Models with votes that the published table does not have.
    unpublished: Vec<String>,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Measured {
    /// Where the votes are there.
    voted: Option<Voted>,
    /// What the paper says of its method, on drawn votes.
    simulated: Simulated,
    /// What was left out, why, and how to have it.
    left_out: Vec<String>,
}

/// Rates the models and simulates, as far as there are votes to rate; reports.
pub fn reproduce(arguments: &ArenaArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let mut options = FetchOptions::from_env()?;
    options.offline |= arguments.offline;
    let counts = find(COUNTS, "all ratings of votes", arguments, &options)?;
    let table = find(PUBLISHED, "what compares them with the published ones", arguments, &options)?;
    let left_out: Vec<String> = [&counts, &table].into_iter().filter_map(|file| file.clone().err()).collect();
    if let (Some(folder), 2) = (&arguments.votes, left_out.len()) {
        bail!("--votes {}: neither {} nor {} is in it", folder.display(), COUNTS.1, PUBLISHED.1);
    }
    let voted = counts.ok().map(|counts| voted(&counts, table.ok().as_deref(), arguments)).transpose()?;
    let measured = Measured { voted, simulated: simulated::simulate(arguments.seed)?, left_out };
    let claims = ClaimsFile::read(&workspace().join("papers/arena/claims.toml"))?;
    let report = report::report(measured, claims, arguments, started);
    let folder = arguments.runs.clone().unwrap_or_else(|| workspace().join("runs")).join("arena");
    let page = report.write(&folder, &report.details.body()?)?;
    print!("{}\n{}\n", report.details.text(), report.verdicts_text());
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// An input's file; where it is not to be had, what is left out without it, why, and how to have it.
fn find(
    (source, name): (&str, &str),
    what: &str,
    arguments: &ArenaArguments,
    options: &FetchOptions,
) -> anyhow::Result<Result<PathBuf, String>> {
    let why = match &arguments.votes {
        Some(folder) if folder.join(name).is_file() => return Ok(Ok(folder.join(name))),
        Some(folder) => format!("{} is not there", folder.join(name).display()),
        None => match catalogue::fetch(source, options) {
            Ok(path) => return Ok(Ok(path)),
            Err(
                error @ (DataError::Offline { .. }
                | DataError::Http { .. }
                | DataError::Interrupted { .. }
                | DataError::Package { .. }),
            ) => program::message(&error),
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Err(format!("left out: {what}. {why}. `--votes DIR` takes {name} from a folder of yours")))
}

fn voted(counts: &Path, table: Option<&Path>, arguments: &ArenaArguments) -> anyhow::Result<Voted> {
    // 1. The votes, a row a pair and outcome; nothing is expanded.
    let battles = battles(counts)?;
    let published = table.map(published).transpose()?;
    let counts = PairCounts::new(&battles)?;

    // 2. The arena's ratings, and what other votes would have given.
    let anchor = Some(Anchor { model: ANCHOR.0.to_owned(), rating: ANCHOR.1 });
    let model = BradleyTerry { anchor, ..BradleyTerry::default() };
    let (fitted, sandwich) = model.sandwich(&counts, Z95)?;
    let bootstrap =
        Bootstrap { replicates: arguments.replicates as usize, seed: arguments.seed, ..Bootstrap::default() };
    let drawn = bootstrap.counted(&model, &counts)?.intervals();

    // 3. Ties as an outcome of their own.
    let decided = Selection { without_both_bad: true, ..Selection::default() }.apply(&battles)?;
    let ties = tie_models(&PairCounts::new(&decided)?)?;

    let (rows, unpublished) = rows(&battles, &fitted, &sandwich, &drawn, published.as_ref());
    if let (Some(table), true) = (table, rows.is_empty()) {
        bail!("{}: none of its models has votes", table.display());
    }
    Ok(Voted {
        votes: battles.votes(),
        both_bad: battles.votes() - decided.votes(),
        models: battles.models().len(),
        pairs: counts.pairs().len(),
        rows,
        ties,
        unpublished,
    })
}

/// The counts of a file as battles, by the leaderboard's names.
fn battles(path: &Path) -> anyhow::Result<Battles> {
    let text = camelid_files::Input::open(path)?.text()?;
    let counts: Counts = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected an object of models, X and Y", path.display()))?;
    if counts.pairs.len() != counts.votes.len() {
        bail!("{}: {} pairs, but {} rows of votes", path.display(), counts.pairs.len(), counts.votes.len());
    }
    let name = |index: usize| {
        let name = counts.models.get(index).map(String::as_str);
        let name = name.with_context(|| format!("{}: there is no model {index}", path.display()))?;
        anyhow::Ok(RENAMED.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs))
    };
    let mut battles = Battles::new();
    for (&[i, j], votes) in counts.pairs.iter().zip(&counts.votes) {
        let (model_a, model_b) = (name(i)?, name(j)?);
        let outcomes = [Outcome::ModelA, Outcome::ModelB, Outcome::Tie, Outcome::Tie];
        for (kind, (outcome, &votes)) in
            outcomes.into_iter().zip(votes).enumerate().filter(|row| *row.1.1 > 0)
        {
            let battle =
                NamedBattle { votes, both_bad: kind == 3, ..NamedBattle::new(model_a, model_b, outcome) };
            battles.push(&battle).map_err(|row| anyhow::anyhow!("{}: {row}", path.display()))?;
        }
    }
    Ok(battles)
}

/// The published table by model.
fn published(path: &Path) -> anyhow::Result<BTreeMap<String, Published>> {
    let mut table = BTreeMap::new();
    let mut records = Records::open(path)?;
    while let Some(record) = records.next_record()? {
        let record = record.with_context(|| path.display().to_string())?;
        let text = |field: &str| {
            let value = record.fields.get(field).and_then(serde_json::Value::as_str);
            value.with_context(|| format!("{}, {}: no `{field}`", path.display(), record.place))
        };
        let number = |field: &str| {
            text(field)?
                .trim()
                .parse::<f64>()
                .with_context(|| format!("{}, {}: `{field}` is no number", path.display(), record.place))
        };
        let rating =
            Interval { value: number("rating")?, low: number("rating_q025")?, high: number("rating_q975")? };
        table.insert(text("model")?.to_owned(), Published { rating, variance: number("variance")? });
    }
    Ok(table)
}

fn tie_models(counts: &PairCounts) -> anyhow::Result<Vec<TieModel>> {
    let votes = counts.battles() as f64;
    [("Davidson", Ties::Davidson), ("Rao and Kupper", Ties::RaoKupper)]
        .into_iter()
        .map(|(name, ties)| {
            let fitted = BradleyTerry { ties, ..BradleyTerry::default() }.fit(counts)?;
            Ok(TieModel {
                name,
                nu: fitted.tie_parameter.unwrap_or(f64::NAN),
                negative_log_likelihood: -fitted.log_likelihood / votes,
            })
        })
        .collect()
}

/// The models that both sides know, from the highest rating down, and those that have votes only. Where
/// nothing is published, all of them and none.
fn rows(
    battles: &Battles,
    fitted: &Ratings,
    sandwich: &[Interval],
    drawn: &[Interval],
    published: Option<&BTreeMap<String, Published>>,
) -> (Vec<Row>, Vec<String>) {
    let of = |m: usize| published.and_then(|table| table.get(&fitted.models[m]));
    let (known, unpublished): (Vec<usize>, Vec<usize>) =
        fitted.order().into_iter().partition(|&m| published.is_none() || of(m).is_some());
    let ranks = camelid_ratings::ranks(&known.iter().map(|&m| drawn[m]).collect::<Vec<_>>());
    let published_ranks = camelid_ratings::ranks(
        &known.iter().filter_map(|&m| of(m)).map(|row| row.rating).collect::<Vec<_>>(),
    );
    let votes = battles.battles_by_model();
    let compared = |m: usize, place: usize| {
        let row = of(m)?;
        let rating = fitted.ratings[m];
        let deviation = (sandwich[m].high - sandwich[m].low) / (2.0 * Z95);
        Some(Compared {
            rating: row.rating,
            rank: published_ranks[place],
            gap: rating - row.rating.value,
            inside: (row.rating.low..=row.rating.high).contains(&rating),
            spread: (fitted.models[m] != ANCHOR.0).then(|| deviation / row.variance.sqrt()),
        })
    };
    let row = |(place, &m): (usize, &usize)| Row {
        model: fitted.models[m].clone(),
        votes: votes[m],
        rating: drawn[m],
        rank: ranks[place],
        sandwich: sandwich[m],
        published: compared(m, place),
    };
    let rows = known.iter().enumerate().map(row).collect();
    (rows, unpublished.into_iter().map(|m| fitted.models[m].clone()).collect())
}

impl Voted {
    /// The models with what is published of each.
    fn compared(&self) -> Vec<(&Row, Compared)> {
        self.rows.iter().filter_map(|row| Some((row, row.published?))).collect()
    }

    fn mean_gap(&self) -> f64 {
        let gaps: Vec<f64> = self.compared().iter().map(|(_, published)| published.gap.abs()).collect();
        gaps.iter().sum::<f64>() / gaps.len() as f64
    }

    /// The model furthest from what is published, and how far.
    fn largest(&self) -> Option<(&str, f64)> {
        let gaps =
            self.compared().into_iter().map(|(row, published)| (row.model.as_str(), published.gap.abs()));
        gaps.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    fn inside(&self) -> usize {
        self.compared().iter().filter(|(_, published)| published.inside).count()
    }

    fn median_spread(&self) -> f64 {
        let mut spreads: Vec<f64> =
            self.compared().iter().filter_map(|(_, published)| published.spread).collect();
        spreads.sort_by(f64::total_cmp);
        if spreads.is_empty() { f64::NAN } else { camelid_ratings::quantile(&spreads, 0.5) }
    }

    fn spearman(&self) -> f64 {
        let compared = self.compared();
        let ours: Vec<f64> = compared.iter().map(|(row, _)| row.rating.value).collect();
        let theirs: Vec<f64> = compared.iter().map(|(_, published)| published.rating.value).collect();
        spearman(&ours, &theirs, EqualRanks::Mean).unwrap_or(f64::NAN)
    }

    /// Evidence by claim.
    fn evidence(&self) -> BTreeMap<&'static str, Evidence> {
        let one = |name: &str, unit: &str, measured: f64, expected: f64, note: String| Evidence {
            exact: vec![ExactFigure { name: name.to_owned(), measured, expected }],
            figures: vec![Figure::of(name, measured, unit)],
            note,
            ..Evidence::default()
        };
        let tie = |index: usize| self.ties.get(index).map_or(f64::NAN, |ties| ties.negative_log_likelihood);
        let nu = |index: usize| {
            let words = |ties: &TieModel| format!("ν = {:.4}, {:.5} nats a vote.", ties.nu, tie(index));
            self.ties.get(index).map_or_else(String::new, words)
        };
        let mut evidence = BTreeMap::from([
            ("davidson", one("Davidson", "nats a vote", tie(0), 1.0100, nu(0))),
            ("rao-kupper", one("Rao and Kupper", "nats a vote", tie(1), 1.0095, nu(1))),
        ]);
        let Some((furthest, largest)) = self.largest() else { return evidence };
        let all = self.compared().len();
        let common = format!("{all} models in common.");
        evidence.extend([
            ("mean-gap", one("mean absolute gap", "points", self.mean_gap(), 0.0, common.clone())),
            (
                "largest-gap",
                one("largest absolute gap", "points", largest, 0.0, format!("Furthest is {furthest}.")),
            ),
            ("intervals", one("models inside", "models", self.inside() as f64, all as f64, common.clone())),
            ("ranking", one("Spearman", "", self.spearman(), 1.0, common)),
            (
                "spread",
                one("median ratio", "", self.median_spread(), 1.0, "The anchor has no spread.".to_owned()),
            ),
        ]);
        evidence
    }
}

impl Measured {
    /// Evidence by claim; of what was left out that it is not there.
    fn evidence<'a>(&self, claims: &'a ClaimsFile) -> BTreeMap<&'a str, Evidence> {
        let missing = || Evidence {
            undecidable: Some("left out, for what it is measured from is not there".to_owned()),
            ..Evidence::default()
        };
        let mut evidence: BTreeMap<&str, Evidence> =
            claims.claims.iter().map(|claim| (claim.id.as_str(), missing())).collect();
        for (claim, found) in self.voted.iter().flat_map(Voted::evidence).chain(self.simulated.evidence()) {
            evidence.insert(claim, found);
        }
        evidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_four_kinds_become_battles_and_damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(COUNTS.1);
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write(r#"{"models": ["chatgpt-4o-latest", "b"], "X": [[1, 0]], "Y": [[5, 3, 0, 2]]}"#);
        let read = battles(&path).unwrap();
        assert_eq!((read.votes(), read.rows().len()), (10, 3));
        assert_eq!(read.models(), ["b", "chatgpt-4o-latest-2024-08-08"]);
        assert!(read.rows()[2].both_bad);
        write(r#"{"models": ["a"], "X": [[0, 1]], "Y": [[5, 3, 0, 2]]}"#);
        assert!(battles(&path).unwrap_err().to_string().contains("there is no model 1"));
        write(r#"{"models": ["a"], "X": [], "Y": [[5, 3, 0, 2]]}"#);
        assert!(battles(&path).unwrap_err().to_string().contains("0 pairs, but 1 rows"));
    }

    #[test]
    fn the_leaderboard_of_august_2024_is_found_again() {
        let Some(oracles) = camelid_tests::oracles() else { return };
        let arguments = ArenaArguments { votes: None, replicates: 10, seed: 0, offline: true, runs: None };
        let file = |(_, name): (&str, &str)| oracles.join("arena").join(name);
        let voted = voted(&file(COUNTS), Some(&file(PUBLISHED)), &arguments).unwrap();
        assert_eq!((voted.votes, voted.models, voted.rows.len()), (1_670_250, 129, 128));
        assert!((voted.mean_gap() - 0.2012).abs() < 5e-4, "{}", voted.mean_gap());
        let (furthest, largest) = voted.largest().unwrap();
        assert_eq!(furthest, "athene-70b-0725");
        assert!((largest - 2.6256).abs() < 2e-3, "{largest}");
        assert_eq!(voted.inside(), 128);
        assert!((voted.spearman() - 0.99998).abs() < 1e-5, "{}", voted.spearman());
        assert!((voted.median_spread() - 0.986).abs() < 2e-3, "{}", voted.median_spread());
        let claims = ClaimsFile::read(&workspace().join("papers/arena/claims.toml")).unwrap();
        let evidence = voted.evidence();
        // The simulated claims may fall either way; `simulated` has tests of its own.
        for claim in claims.claims.iter().filter(|claim| !claim.place.contains("simulated")) {
            let decision = claim.decide(evidence.get(claim.id.as_str()), report::SCALE, true);
            assert_eq!(
                decision.verdict,
                camelid_recipe::claims::Verdict::Held,
                "{}: {}",
                claim.id,
                decision.because
            );
        }
        // What is simulated rests on these votes, and needs none of them.
        assert!((voted.ties[0].nu - simulated::TIES).abs() < 1e-4, "{}", voted.ties[0].nu);
        for (model, rating, votes) in simulated::MODELS {
            let row = voted.rows.iter().find(|row| row.model == model).unwrap();
            assert!((row.rating.value - rating).abs() < 0.06 && row.votes as f64 == votes, "{row:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_left_out_with_the_way_to_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let votes = folder.path().to_owned();
        let counts = r#"{"models": ["a", "b", "mixtral-8x7b-instruct-v0.1"],
            "X": [[0, 1], [1, 2], [2, 0]], "Y": [[5, 3, 1, 2], [4, 4, 0, 1], [2, 6, 3, 0]]}"#;
        std::fs::write(votes.join(COUNTS.1), counts).unwrap();
        let arguments =
            ArenaArguments { votes: Some(votes), replicates: 10, seed: 0, offline: true, runs: None };
        let options = FetchOptions::new(folder.path());
        let counts = find(COUNTS, "all", &arguments, &options).unwrap().unwrap();
        let table = find(PUBLISHED, "the comparison", &arguments, &options).unwrap().unwrap_err();
        assert!(table.starts_with("left out: the comparison. ") && table.contains(PUBLISHED.1), "{table}");
        let voted = voted(&counts, None, &arguments).unwrap();
        assert!(voted.rows.len() == 3 && voted.unpublished.is_empty() && voted.largest().is_none());
        let offline = ArenaArguments { votes: None, ..arguments };
        let options = FetchOptions { offline: true, ..options };
        let left_out = find(COUNTS, "all", &offline, &options).unwrap().unwrap_err();
        assert!(left_out.contains("--votes DIR") && left_out.contains(COUNTS.1), "{left_out}");

        let claims = ClaimsFile::read(&workspace().join("papers/arena/claims.toml")).unwrap();
        let simulated =
            simulated::Simulated { models: 0, coverage: vec![], needed: vec![], detection: vec![] };
        let measured = Measured { voted: Some(voted), simulated, left_out: vec![table] };
        let report = report::report(measured, claims, &offline, Instant::now());
        let row = |id: &str| report.claims.iter().find(|row| row.claim.id == id).unwrap();
        assert!(row("mean-gap").class == "open" && row("davidson").class != "open");
        let (text, page) = (report.details.text(), report.page(&report.details.body().unwrap()).unwrap());
        assert!(text.contains("left out: the comparison") && page.contains("left out: the comparison"));
        assert!(page.contains("<svg") && page.contains("mixtral-8x7b-instruct-v0.1"));
    }
}
