//! The report of the arena recipe: `report.json` and `report.html`, and the table in the terminal.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use camelid_ratings::Interval;
use camelid_ratings::report::{RatingRow, rating_intervals};
use camelid_recipe::claims::{ClaimsFile, Erratum, Paper};
use camelid_recipe::{ClaimRow, write_report};
use camelid_report::{PAGE_STYLE, environment, text_table};
use serde::Serialize;

use super::simulated::Simulated;
use super::{ANCHOR, ArenaArguments, Measured, Row, TieModel};

/// The scale at which the claims of this recipe are tested.
pub const SCALE: &str = "published votes";
/// Models that the terminal shows.
const SHOWN: usize = 25;

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
    errata: Vec<Erratum>,
    votes: u64,
    both_bad: u64,
    models: usize,
    pairs: usize,
    replicates: u32,
    seed: u64,
    anchor: String,
    rows: Vec<Row>,
    ties: Vec<TieModel>,
    unpublished: Vec<String>,
    simulated: Simulated,
}

impl Report {
    /// The report of a measurement that began at `started`.
    pub fn new(
        measured: Measured,
        claims: &ClaimsFile,
        arguments: &ArenaArguments,
        started: Instant,
    ) -> Self {
        let evidence = measured.evidence();
        let decided = claims.claims.iter();
        let decided =
            decided.map(|claim| ClaimRow::decided(claim, evidence.get(claim.id.as_str()), SCALE, true));
        let mut command = "cargo xtask reproduce arena".to_owned();
        if arguments.replicates != 100 {
            command += &format!(" --replicates {}", arguments.replicates);
        }
        if arguments.seed != 0 {
            command += &format!(" --seed {}", arguments.seed);
        }
        Self {
            recipe: "arena",
            scale: SCALE,
            command,
            date: camelid_recipe::today(),
            camelid: env!("CARGO_PKG_VERSION"),
            machine: camelid_recipe::machine(),
            paper: claims.paper.clone(),
            claims: decided.collect(),
            errata: claims.errata.clone(),
            votes: measured.votes,
            both_bad: measured.both_bad,
            models: measured.models,
            pairs: measured.pairs,
            replicates: arguments.replicates,
            seed: arguments.seed,
            anchor: format!("{} = {}", ANCHOR.0, ANCHOR.1),
            rows: measured.rows,
            ties: measured.ties,
            unpublished: measured.unpublished,
            simulated: measured.simulated,
            seconds: started.elapsed().as_secs_f64(),
        }
    }

    /// Writes `report.json` and `report.html`, each whole or not at all; the page's path.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        Ok(write_report(folder, self, &self.page()?)?)
    }

    fn page(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        environment.add_template("report", include_str!("report.html.j2"))?;
        let shown = self.rows.iter().take(SHOWN);
        let ratings: Vec<RatingRow> = shown
            .map(|row| RatingRow {
                name: &row.model,
                reference: Some(row.published.value),
                series: vec![Some(row.rating), Some(row.published)],
                bounded: true,
            })
            .collect();
        let plot = rating_intervals(&ratings, &["here", "published interval"], Some("published"))?;
        Ok(environment.get_template("report")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            style => PAGE_STYLE,
            plot,
        })?)
    }

    /// The first rows, the tie models and the verdicts, for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} votes ({} that both are bad) on {} pairs of {} models; {}; {} bootstrap draws (seed {}), {:.1} s\n\n",
            self.votes,
            self.both_bad,
            self.pairs,
            self.models,
            self.anchor,
            self.replicates,
            self.seed,
            self.seconds
        );
        let range = |i: &Interval| format!("[{:.1}, {:.1}]", i.low, i.high);
        let row = |row: &Row| {
            vec![
                row.rank.to_string(),
                row.published_rank.to_string(),
                row.model.clone(),
                format!("{:.1}", row.rating.value),
                range(&row.rating),
                range(&row.sandwich),
                format!("{:.1}", row.published.value),
                range(&row.published),
                format!("{:+.2}", row.gap),
                row.votes.to_string(),
            ]
        };
        let header = [
            "rank",
            "published",
            "model",
            "rating",
            "bootstrap",
            "sandwich",
            "published",
            "",
            "gap",
            "votes",
        ];
        text += &text_table(&header, &self.rows.iter().take(SHOWN).map(row).collect::<Vec<_>>(), &[2]);
        if self.rows.len() > SHOWN {
            let _ = writeln!(text, "… and {} more models in the report", self.rows.len() - SHOWN);
        }
        if !self.unpublished.is_empty() {
            let _ = writeln!(text, "with votes, but not published: {}", self.unpublished.join(", "));
        }
        text.push('\n');
        for ties in &self.ties {
            let _ = writeln!(
                text,
                "{}'s ties: ν = {:.4}, mean negative log-likelihood {:.5}",
                ties.name, ties.nu, ties.negative_log_likelihood
            );
        }
        text.push('\n');
        text += &self.simulated.text();
        text.push('\n');
        for row in &self.claims {
            let _ = writeln!(text, "[{}] {}\n    {}", row.words, row.claim.title, row.decision.because);
        }
        text
    }
}
