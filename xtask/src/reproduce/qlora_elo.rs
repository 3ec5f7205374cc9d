//! QLoRA's Table 1 (Dettmers et al. 2023): Elo ratings of eight models from GPT-4's published
//! pairwise judgments of their answers to the 80 Vicuna questions.
//!
//! The paper starts every model at 1000 points, takes K = 32 and averages over 10,000 random
//! orderings. It does not say how many matches an ordering has. Two readings stand side by side:
//! every match in each ordering, and a number of matches that is inferred from the table itself.

mod evidence;
mod plots;
mod report;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_ratings::{
    AveragedRatings, Battles, Bootstrap, BradleyTerry, Elo, EloErrors, FileOrder, Interval, Orderings,
    PairCounts, PositionEffect, Ratings, Replicates, SequentialRatings, TieRule, Unit, WinMatrix,
    read_reviews,
};
use camelid_recipe::claims::ClaimsFile;
use camelid_recipe::compare::Z95;
use clap::Args;

use super::Ending;
use crate::workspace::workspace;

/// The judgments in the catalogue.
const SOURCE: &str = "qlora-vicuna-judgments";
/// Orderings where the ratings are only an aid: per replicate of a bootstrap, and per point of the
/// profile over the number of matches.
const FEW_ORDERINGS: usize = 100;
const PROFILE_ORDERINGS: usize = 1_000;
/// Numbers of matches in the profile; all of them come last.
const PROFILE: [usize; 11] = [80, 160, 240, 320, 400, 450, 500, 550, 600, 800, 1600];

/// Table 1: the paper's name, our name, the published rating.
const PUBLISHED: [(&str, &str, f64); 8] = [
    ("GPT-4", "gpt4", 1348.0),
    ("Guanaco 65B", "65b-guanaco", 1022.0),
    ("Guanaco 33B", "30b-guanaco", 992.0),
    ("Vicuna 13B", "vicuna-13b", 974.0),
    ("ChatGPT", "gpt35", 966.0),
    ("Guanaco 13B", "13b-guanaco", 916.0),
    ("Bard", "bard", 902.0),
    ("Guanaco 7B", "7b-guanaco", 879.0),
];

/// Options of the Elo recipe.
#[derive(Args, Clone)]
pub struct QloraEloArguments {
    /// Folder of the 56 review files [default: the catalogue's, from a mirror, the cache or the network]
    #[arg(long, value_name = "DIR")]
    pub judgments: Option<PathBuf>,
    /// Random orderings to average over
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub orderings: u32,
    /// Matches per ordering in the inferred reading
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub matches: u32,
    /// Replicates of each bootstrap
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub replicates: u32,
    /// Seed of orderings and bootstraps
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    pub offline: bool,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
}

/// Everything that is computed from the judgments.
struct Measured {
    battles: Battles,
    orders: Vec<FileOrder>,
    /// One pass in the order of the files.
    file_order: SequentialRatings,
    /// Every match in each ordering.
    full: Reading,
    /// Part of the matches in each ordering.
    inferred: Reading,
    /// The full reading if the scores of files named `generations` followed the other order.
    reversed: AveragedRatings,
    /// Largest gap to the table by matches per ordering.
    profile: Vec<(usize, [f64; PUBLISHED.len()])>,
    fitted: Ratings,
    sandwich: Vec<Interval>,
    replicates: Replicates,
    matrix: WinMatrix,
    position: PositionEffect,
}

/// One way to read how the table was made.
struct Reading {
    rated: AveragedRatings,
    /// Over questions drawn anew.
    errors: EloErrors,
}

/// Reads the judgments, rates the models, reports.
pub fn reproduce(arguments: &QloraEloArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let measured = measure(arguments)?;
    let claims = ClaimsFile::read(&workspace().join("papers/qlora/claims.toml"))?;
    let report = report::Report::new(&measured, &claims, arguments, started)?;
    let folder = arguments.runs.clone().unwrap_or_else(|| workspace().join("runs")).join("qlora-elo");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let page = report.write(&folder)?;
    print!("{}", report.markdown());
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

fn measure(arguments: &QloraEloArguments) -> anyhow::Result<Measured> {
    // 1. The judgments; whose answer stood first is settled by the answers' ids.
    let files = review_files(arguments)?;
    let reviews = read_reviews(&files)?;
    let battles = reviews.battles;
    for (paper, model, _) in PUBLISHED {
        battles.model(model).with_context(|| format!("the judgments say nothing of {paper}"))?;
    }

    // 2. Elo as the paper describes it, in both readings.
    let elo = Elo { k: 32.0, ..Elo::default() };
    let orderings =
        Orderings { orderings: arguments.orderings as usize, matches: None, seed: arguments.seed };
    let bootstrap = Bootstrap {
        replicates: arguments.replicates as usize,
        seed: arguments.seed,
        unit: Unit::Questions,
        level: 0.95,
    };
    let reading = |matches: Option<usize>| -> anyhow::Result<Reading> {
        let rated = elo.averaged(&battles, &Orderings { matches, ..orderings })?;
        let few = Orderings { orderings: FEW_ORDERINGS, matches, seed: arguments.seed };
        Ok(Reading { rated, errors: bootstrap.elo(&elo, &battles, &few)? })
    };
    let full = reading(None)?;
    let inferred = reading(Some(arguments.matches as usize))?;
    let mut profile = Vec::new();
    let all = battles.rows().len();
    for matches in PROFILE.into_iter().filter(|m| *m < all).chain([all]) {
        let orderings =
            Orderings { orderings: PROFILE_ORDERINGS, matches: Some(matches), seed: arguments.seed };
        profile.push((matches, gaps(&battles, &elo.averaged(&battles, &orderings)?.ratings)));
    }

    // 3. The trap: what scores in the other order would give.
    let swapped = swap_doubtful(&battles, &reviews.orders)?;
    let reversed = elo.averaged(&swapped, &Orderings { orderings: PROFILE_ORDERINGS, ..orderings })?;

    // 4. The same judgments by maximum likelihood, and what being shown first is worth.
    let model = BradleyTerry::default();
    let (fitted, sandwich) = model.sandwich(&PairCounts::new(&battles)?, Z95)?;
    Ok(Measured {
        file_order: elo.sequential(&battles)?,
        full,
        inferred,
        reversed,
        profile,
        fitted,
        sandwich,
        replicates: bootstrap.bradley_terry(&model, &battles)?,
        matrix: WinMatrix::new(&battles, TieRule::Half)?,
        position: PositionEffect::new(&battles)?,
        orders: reviews.orders,
        battles,
    })
}

/// The review files, sorted by name.
fn review_files(arguments: &QloraEloArguments) -> anyhow::Result<Vec<PathBuf>> {
    let folder = match &arguments.judgments {
        Some(folder) => folder.clone(),
        None => {
            let mut options = FetchOptions::from_env()?;
            options.offline |= arguments.offline;
            catalogue::fetch(SOURCE, &options)?
        }
    };
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} holds no .jsonl file; expected the 56 review files of {SOURCE}", folder.display());
    }
    files.sort();
    Ok(files)
}

/// The battles with swapped verdicts for every file whose name contains `generations`: what the
/// table would be if those scores followed the other order.
fn swap_doubtful(battles: &Battles, orders: &[FileOrder]) -> anyhow::Result<Battles> {
    let doubtful: HashSet<(&str, &str)> = orders
        .iter()
        .filter(|file| file.file.contains("generations"))
        .map(|file| (file.models.0.as_str(), file.models.1.as_str()))
        .collect();
    let mut swapped = Battles::new();
    for row in battles.rows() {
        let mut named = battles.named(row);
        let (a, b) = (named.model_a, named.model_b);
        if doubtful.contains(&(a, b)) || doubtful.contains(&(b, a)) {
            named.outcome = named.outcome.swapped();
        }
        swapped.push(&named).map_err(|row| anyhow::anyhow!("{row}"))?;
    }
    Ok(swapped)
}

/// Ratings less the published ones, in the order of the table.
fn gaps(battles: &Battles, ratings: &[f64]) -> [f64; PUBLISHED.len()] {
    PUBLISHED.map(|(_, model, published)| match battles.model(model) {
        Ok(index) => ratings[index as usize] - published,
        Err(_) => f64::NAN,
    })
}

/// The largest of several gaps, without its sign.
fn largest(gaps: &[f64]) -> f64 {
    gaps.iter().fold(0.0, |largest: f64, gap| if gap.is_nan() { f64::NAN } else { largest.max(gap.abs()) })
}
