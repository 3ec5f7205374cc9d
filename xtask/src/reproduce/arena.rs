//! Chatbot Arena's leaderboard of 13 August 2024 from the counts of its votes (Chiang et al. 2024).
//!
//! Bradley–Terry by maximum likelihood, both kinds of tie half a win for each side, one model held
//! at its published rating; intervals by multinomial draws of the counts and by the sandwich estimator.

mod report;
mod simulated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_files::Records;
use camelid_ratings::{
    Anchor, Battles, Bootstrap, BradleyTerry, Interval, NamedBattle, Outcome, PairCounts, Ratings, Selection,
    Ties, Z95,
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

/// A model with both ratings.
#[derive(Debug, Clone, Serialize)]
struct Row {
    model: String,
    votes: u64,
    /// With its published 95 % interval and the rank that follows from it.
    published: Interval,
    published_rank: usize,
    /// With its bootstrap interval and rank.
    rating: Interval,
    rank: usize,
    sandwich: Interval,
    gap: f64,
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
struct Measured {
    votes: u64,
    both_bad: u64,
    models: usize,
    pairs: usize,
    rows: Vec<Row>,
    ties: Vec<TieModel>,
    /// Models with votes that the published table does not have.
    unpublished: Vec<String>,
    /// What the paper says of its method, on drawn votes.
    simulated: Simulated,
}

/// Reads the counts, rates the models, reports.
pub fn reproduce(arguments: &ArenaArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let mut options = FetchOptions::from_env()?;
    options.offline |= arguments.offline;
    let file = |(source, name): (&str, &str)| match &arguments.votes {
        Some(folder) => Ok(folder.join(name)),
        None => catalogue::fetch(source, &options),
    };
    let measured = measure(&file(COUNTS)?, &file(PUBLISHED)?, arguments)?;
    let claims = ClaimsFile::read(&workspace().join("papers/arena/claims.toml"))?;
    let report = report::Report::new(measured, &claims, arguments, started);
    let folder = arguments.runs.clone().unwrap_or_else(|| workspace().join("runs")).join("arena");
    let page = report.write(&folder)?;
    print!("{}", report.text());
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

fn measure(counts: &Path, table: &Path, arguments: &ArenaArguments) -> anyhow::Result<Measured> {
    // 1. The votes, a row a pair and outcome; nothing is expanded.
    let battles = battles(counts)?;
    let published = published(table)?;
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

    // 4. The method on votes whose truth is known, among models as strong as the paper's.
    let nu = ties.first().map_or(0.0, |davidson| davidson.nu);
    let simulated = simulated::simulate(&fitted, &counts, nu, arguments.seed)?;

    let (rows, unpublished) = rows(&battles, &fitted, &sandwich, &drawn, &published);
    ensure!(!rows.is_empty(), "{}: none of its models has votes", table.display());
    Ok(Measured {
        votes: battles.votes(),
        both_bad: battles.votes() - decided.votes(),
        models: battles.models().len(),
        pairs: counts.pairs().len(),
        rows,
        ties,
        unpublished,
        simulated,
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

/// The models that both sides know, from the highest rating down, and those that have votes only.
fn rows(
    battles: &Battles,
    fitted: &Ratings,
    sandwich: &[Interval],
    drawn: &[Interval],
    published: &BTreeMap<String, Published>,
) -> (Vec<Row>, Vec<String>) {
    let known: Vec<(usize, Published)> = fitted
        .order()
        .into_iter()
        .filter_map(|m| published.get(&fitted.models[m]).map(|row| (m, *row)))
        .collect();
    let unpublished = fitted.models.iter().filter(|model| !published.contains_key(*model)).cloned().collect();
    let ranks = camelid_ratings::ranks(&known.iter().map(|(m, _)| drawn[*m]).collect::<Vec<_>>());
    let published_ranks =
        camelid_ratings::ranks(&known.iter().map(|(_, row)| row.rating).collect::<Vec<_>>());
    let votes = battles.battles_by_model();
    let rows = known.iter().zip(ranks.into_iter().zip(published_ranks));
    let rows = rows.map(|((m, row), (rank, published_rank))| {
        let rating = fitted.ratings[*m];
        let deviation = (sandwich[*m].high - sandwich[*m].low) / (2.0 * Z95);
        Row {
            model: fitted.models[*m].clone(),
            votes: votes[*m],
            published: row.rating,
            published_rank,
            rating: drawn[*m],
            rank,
            sandwich: sandwich[*m],
            gap: rating - row.rating.value,
            inside: (row.rating.low..=row.rating.high).contains(&rating),
            spread: (fitted.models[*m] != ANCHOR.0).then(|| deviation / row.variance.sqrt()),
        }
    });
    (rows.collect(), unpublished)
}

impl Measured {
    fn mean_gap(&self) -> f64 {
        self.rows.iter().map(|row| row.gap.abs()).sum::<f64>() / self.rows.len() as f64
    }

    fn largest(&self) -> Option<&Row> {
        self.rows.iter().max_by(|a, b| a.gap.abs().total_cmp(&b.gap.abs()))
    }

    fn inside(&self) -> usize {
        self.rows.iter().filter(|row| row.inside).count()
    }

    /// Spearman's correlation of both orders, which have no ties.
    fn spearman(&self) -> f64 {
        let places = |of: fn(&Row) -> f64| {
            let mut order: Vec<usize> = (0..self.rows.len()).collect();
            order.sort_by(|&i, &j| of(&self.rows[j]).total_cmp(&of(&self.rows[i])));
            let mut place = vec![0.0; order.len()];
            for (rank, index) in order.into_iter().enumerate() {
                place[index] = rank as f64;
            }
            place
        };
        let (ours, theirs) = (places(|row| row.rating.value), places(|row| row.published.value));
        let squares: f64 = ours.iter().zip(&theirs).map(|(a, b)| (a - b) * (a - b)).sum();
        let n = self.rows.len() as f64;
        1.0 - 6.0 * squares / (n * (n * n - 1.0))
    }

    fn median_spread(&self) -> f64 {
        let mut spreads: Vec<f64> = self.rows.iter().filter_map(|row| row.spread).collect();
        spreads.sort_by(f64::total_cmp);
        if spreads.is_empty() { f64::NAN } else { camelid_ratings::quantile(&spreads, 0.5) }
    }

    /// Evidence by claim.
    fn evidence(&self) -> BTreeMap<&'static str, Evidence> {
        let one = |name: &str, unit: &str, measured: f64, expected: f64, note: String| Evidence {
            exact: vec![ExactFigure { name: name.to_owned(), measured, expected }],
            figures: vec![Figure { name: name.to_owned(), value: measured, unit: unit.to_owned() }],
            note,
            ..Evidence::default()
        };
        let common = format!("{} models in common.", self.rows.len());
        let furthest = self.largest().map_or_else(String::new, |row| format!("Furthest is {}.", row.model));
        let largest = self.largest().map_or(f64::NAN, |row| row.gap.abs());
        let tie = |index: usize| self.ties.get(index).map_or(f64::NAN, |ties| ties.negative_log_likelihood);
        let nu = |index: usize| {
            self.ties.get(index).map_or_else(String::new, |ties| format!("ν = {:.4}.", ties.nu))
        };
        let all = self.rows.len() as f64;
        let mut evidence = BTreeMap::from([
            ("mean-gap", one("mean absolute gap", "points", self.mean_gap(), 0.0, common.clone())),
            ("largest-gap", one("largest absolute gap", "points", largest, 0.0, furthest)),
            ("intervals", one("models inside", "models", self.inside() as f64, all, common.clone())),
            ("ranking", one("Spearman", "", self.spearman(), 1.0, common)),
            (
                "spread",
                one("median ratio", "", self.median_spread(), 1.0, "The anchor has no spread.".to_owned()),
            ),
            ("davidson", one("Davidson", "nats a vote", tie(0), 1.0100, nu(0))),
            ("rao-kupper", one("Rao and Kupper", "nats a vote", tie(1), 1.0095, nu(1))),
        ]);
        evidence.extend(self.simulated.evidence());
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
        let measured = measure(&file(COUNTS), &file(PUBLISHED), &arguments).unwrap();
        assert_eq!((measured.votes, measured.models, measured.rows.len()), (1_670_250, 129, 128));
        assert!((measured.mean_gap() - 0.2012).abs() < 5e-4, "{}", measured.mean_gap());
        let largest = measured.largest().unwrap();
        assert_eq!(largest.model, "athene-70b-0725");
        assert!((largest.gap.abs() - 2.6256).abs() < 2e-3, "{}", largest.gap);
        assert_eq!(measured.inside(), 128);
        assert!((measured.spearman() - 0.99998).abs() < 1e-5, "{}", measured.spearman());
        assert!((measured.median_spread() - 0.986).abs() < 2e-3, "{}", measured.median_spread());
        assert!((measured.ties[0].nu - 0.5476).abs() < 1e-4, "{}", measured.ties[0].nu);
        let claims = ClaimsFile::read(&workspace().join("papers/arena/claims.toml")).unwrap();
        let evidence = measured.evidence();
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
    }
}
