//! The report of the Elo recipe: `report.json` and `report.html`, and the table in the terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use camelid_ratings::report::{RatingRow, add_position, position_context, rating_intervals, win_matrix};
use camelid_ratings::{FileOrder, Interval, Order, PositionEffect, ranks};
use camelid_recipe::claims::{ClaimsFile, Paper};
use camelid_recipe::compare::Z95;
use camelid_recipe::{ClaimRow, write_report};
use camelid_report::{PAGE_STYLE, environment};
use serde::Serialize;

use super::{
    Measured, PROFILE_ORDERINGS, PUBLISHED, QloraEloArguments, Reading, evidence, gaps, largest, plots,
};

/// The scale at which the claims of this recipe are tested.
const SCALE: &str = "published judgments";

/// Everything the report says.
#[derive(Debug, Serialize)]
pub struct Report {
    recipe: &'static str,
    scale: &'static str,
    command: String,
    date: String,
    camelid: &'static str,
    machine: String,
    /// From start to report.
    seconds: f64,
    paper: Paper,
    claims: Vec<ClaimRow>,
    judgments: Judgments,
    settings: Settings,
    rows: Vec<Row>,
    /// Largest and root-mean-square gap to the table, by matches per ordering.
    profile: Vec<ProfileRow>,
    /// Largest gap were the scores of files named `generations` in the other order.
    reversed_largest_gap: f64,
    win_matrix: Vec<Vec<Option<f64>>>,
    position: PositionEffect,
    orders: Vec<FileOrder>,
}

#[derive(Debug, Serialize)]
struct Judgments {
    files: usize,
    records: usize,
    matches: usize,
    ties: usize,
    questions: usize,
    /// Every record without a verdict, named.
    dropped: Vec<String>,
    /// Files whose answers' ids agree with the name, contradict it, or say nothing.
    as_named: usize,
    reversed: usize,
    assumed: usize,
}

#[derive(Debug, Serialize)]
struct Settings {
    k: f64,
    initial: f64,
    orderings: usize,
    full_matches: usize,
    inferred_matches: usize,
    replicates: usize,
    seed: u64,
}

/// One model of the table.
#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    published: f64,
    /// One pass in the order of the files.
    file_order: f64,
    full: Rated,
    inferred: Rated,
    bradley_terry: Fitted,
    average_win_rate: Option<Interval>,
}

#[derive(Debug, Serialize)]
struct Rated {
    rating: f64,
    gap: f64,
    /// What shuffling leaves in the mean over orderings, 95 %.
    ordering_half_width: f64,
    /// Over questions drawn anew, 95 %.
    interval: Interval,
}

#[derive(Debug, Serialize)]
struct Fitted {
    sandwich: Interval,
    bootstrap: Interval,
    rank: usize,
    standing: &'static str,
}

#[derive(Debug, Serialize)]
struct ProfileRow {
    matches: usize,
    largest_gap: f64,
    root_mean_square: f64,
}

impl Report {
    /// The report of a measurement that began at `started`.
    pub fn new(
        measured: &Measured,
        claims: &ClaimsFile,
        arguments: &QloraEloArguments,
        started: Instant,
    ) -> anyhow::Result<Self> {
        let battles = &measured.battles;
        let evidence = evidence::evidence(measured);
        let claims_rows = claims.claims.iter().filter_map(|claim| {
            let evidence = evidence.get(claim.id.as_str())?;
            Some(ClaimRow::decided(claim, Some(evidence), SCALE, true))
        });
        let indices = PUBLISHED
            .iter()
            .map(|(_, model, _)| battles.model(model).map(|index| index as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let count = |order: Order| measured.orders.iter().filter(|file| file.order == order).count();
        let mut position = measured.position.clone();
        position.models = indices.iter().map(|&i| position.models[i].clone()).collect();
        for (row, (paper, ..)) in position.models.iter_mut().zip(PUBLISHED) {
            paper.clone_into(&mut row.model);
        }
        Ok(Self {
            recipe: "qlora-elo",
            scale: SCALE,
            command: command(arguments),
            date: camelid_recipe::today(),
            camelid: env!("CARGO_PKG_VERSION"),
            machine: camelid_recipe::machine(),
            paper: claims.paper.clone(),
            claims: claims_rows.collect(),
            judgments: Judgments {
                files: measured.orders.len(),
                records: battles.rows().len() + battles.rejected().len(),
                matches: battles.rows().len(),
                ties: battles.rows().iter().filter(|row| row.outcome.score() == 0.5).count(),
                questions: battles.questions().all().len(),
                dropped: battles.rejected().iter().map(ToString::to_string).collect(),
                as_named: count(Order::AsNamed),
                reversed: count(Order::Reversed),
                assumed: count(Order::Assumed),
            },
            settings: Settings {
                k: 32.0,
                initial: 1000.0,
                orderings: measured.full.rated.orderings,
                full_matches: measured.full.rated.matches,
                inferred_matches: measured.inferred.rated.matches,
                replicates: measured.replicates.replicates.len(),
                seed: arguments.seed,
            },
            rows: rows(measured, &indices),
            profile: measured.profile.iter().map(|(matches, gaps)| profile_row(*matches, gaps)).collect(),
            reversed_largest_gap: largest(&gaps(battles, &measured.reversed.ratings)),
            win_matrix: indices
                .iter()
                .map(|&i| indices.iter().map(|&j| measured.matrix.rate(i, j)).collect())
                .collect(),
            position,
            orders: measured.orders.clone(),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Writes `report.json` and `report.html`, each whole or not at all; the page's path.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        Ok(write_report(folder, self, &self.page()?)?)
    }

    fn page(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        add_position(&mut environment)?;
        environment.add_template("report", include_str!("report.html.j2"))?;
        let names: Vec<&str> = PUBLISHED.iter().map(|(paper, ..)| *paper).collect();
        let ratings: Vec<RatingRow> = self
            .rows
            .iter()
            .map(|row| RatingRow {
                name: row.model,
                reference: Some(row.published),
                series: vec![Some(row.inferred.interval), Some(row.full.interval)],
                bounded: true,
            })
            .collect();
        let profile: Vec<(usize, f64)> =
            self.profile.iter().map(|row| (row.matches, row.largest_gap)).collect();
        Ok(environment.get_template("report")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            style => PAGE_STYLE,
            profile_orderings => PROFILE_ORDERINGS,
            plot_ratings => rating_intervals(&ratings, &["inferred matches", "all matches"], Some("published"))?,
            plot_profile => plots::profile(&profile)?,
            plot_matrix => win_matrix(&names, &self.win_matrix)?,
            position => position_context(&self.position)?,
        })?)
    }

    /// The table, the verdicts, what was dropped and the position effect, for a terminal.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let (j, s) = (&self.judgments, &self.settings);
        let _ = writeln!(
            text,
            "{} files, {} judgments: {} matches ({} ties), {} without a verdict dropped\norder of the answers by \
             their ids: {} files as named, {} reversed, {} unknown; in the other order the table would be off by {:.0}\n",
            j.files,
            j.records,
            j.matches,
            j.ties,
            j.dropped.len(),
            j.as_named,
            j.reversed,
            j.assumed,
            self.reversed_largest_gap
        );
        let _ = writeln!(
            text,
            "Elo, K {}, from {}, {} orderings; intervals over {} draws of {} questions\n",
            s.k, s.initial, s.orderings, s.replicates, j.questions
        );
        let _ = writeln!(
            text,
            "| model | published | all {} matches | {} matches (inferred) | file order | Bradley–Terry | first − second |",
            s.full_matches, s.inferred_matches
        );
        let _ = writeln!(text, "|---|---|---|---|---|---|---|");
        for (row, position) in self.rows.iter().zip(&self.position.models) {
            let rated = |r: &Rated| {
                format!("{:.1} [{:.0}, {:.0}] {:+.1}", r.rating, r.interval.low, r.interval.high, r.gap)
            };
            let fitted = row.bradley_terry.bootstrap;
            let advantage = position.advantage.map_or_else(
                || "–".to_owned(),
                |a| format!("{:+.1} % [{:+.1}, {:+.1}]", 100.0 * a.value, 100.0 * a.low, 100.0 * a.high),
            );
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} | {} | {:.0} | {:.0} [{:.0}, {:.0}] | {advantage} |",
                row.model,
                row.published,
                rated(&row.full),
                rated(&row.inferred),
                row.file_order,
                fitted.value,
                fitted.low,
                fitted.high
            );
        }
        if let (Some(all), Some(decided)) =
            (self.position.overall.rate(), self.position.overall.decided_rate())
        {
            let _ = writeln!(
                text,
                "\nthe answer shown first scores {} [{}, {}], and wins {} of the decided matches",
                percent(all.value),
                percent(all.low),
                percent(all.high),
                percent(decided.value)
            );
        }
        if let Some(same) = self.position.consistency.rate() {
            let _ = writeln!(text, "both orders give the same verdict in {} of pairs", percent(same.value));
        }
        text.push('\n');
        for row in &self.claims {
            let _ = writeln!(text, "[{}] {}\n    {}", row.words, row.claim.title, row.decision.because);
            if let Some(evidence) = &row.evidence {
                let _ = writeln!(text, "    {}", evidence.note);
            }
        }
        text
    }
}

fn rows(measured: &Measured, indices: &[usize]) -> Vec<Row> {
    let ranks = ranks(&measured.replicates.intervals());
    let bootstrap = measured.replicates.intervals();
    PUBLISHED
        .iter()
        .zip(indices)
        .map(|(&(model, _, published), &i)| Row {
            model,
            published,
            file_order: measured.file_order.ratings[i],
            full: rated(&measured.full, i, published),
            inferred: rated(&measured.inferred, i, published),
            bradley_terry: Fitted {
                sandwich: measured.sandwich[i],
                bootstrap: bootstrap[i],
                rank: ranks[i],
                standing: measured.fitted.standing[i].words(),
            },
            average_win_rate: measured.matrix.average_interval(i),
        })
        .collect()
}

fn rated(reading: &Reading, i: usize, published: f64) -> Rated {
    let rating = reading.rated.ratings[i];
    Rated {
        rating,
        gap: rating - published,
        ordering_half_width: Z95 * reading.rated.ordering_error()[i],
        interval: Interval::normal(rating, reading.errors.standard_error[i], Z95),
    }
}

fn profile_row(matches: usize, gaps: &[f64]) -> ProfileRow {
    let squares: f64 = gaps.iter().map(|gap| gap * gap).sum();
    let root_mean_square = (squares / gaps.len() as f64).sqrt();
    ProfileRow { matches, largest_gap: largest(gaps), root_mean_square }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The command that repeats a run, without this machine's paths.
fn command(arguments: &QloraEloArguments) -> String {
    let mut command = "cargo xtask reproduce qlora-elo".to_owned();
    for (option, value, default) in [
        ("--orderings", u64::from(arguments.orderings), 10_000),
        ("--matches", u64::from(arguments.matches), 500),
        ("--replicates", u64::from(arguments.replicates), 200),
        ("--seed", arguments.seed, 0),
    ] {
        if value != default {
            command += &format!(" {option} {value}");
        }
    }
    if arguments.judgments.is_some() {
        command += " --judgments DIR";
    }
    command
}
