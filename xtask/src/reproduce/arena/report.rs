//! The report of the arena recipe: `report.json` and `report.html`, and the tables in the terminal.

use std::fmt::Write as _;
use std::time::Instant;

use camelid_ratings::Interval;
use camelid_ratings::report::{RatingRow, rating_intervals};
use camelid_recipe::claims::ClaimsFile;
use camelid_recipe::{Report, RunFacts};
use camelid_report::{environment, text_table};
use serde::Serialize;

use super::{ANCHOR, ArenaArguments, Measured, Row, Voted};

/// The scale at which the claims of this recipe are tested.
pub const SCALE: &str = "published votes";
/// Models that the terminal and the plot show.
const SHOWN: usize = 25;

/// What was measured, and with which settings.
#[derive(Debug, Serialize)]
pub struct Details {
    replicates: u32,
    seed: u64,
    anchor: String,
    #[serde(flatten)]
    measured: Measured,
}

/// The report of a measurement that began at `started`.
pub fn report(
    measured: Measured,
    claims: ClaimsFile,
    arguments: &ArenaArguments,
    started: Instant,
) -> Report<Details> {
    let mut command = "cargo xtask reproduce arena".to_owned();
    if arguments.replicates != 100 {
        command += &format!(" --replicates {}", arguments.replicates);
    }
    if arguments.seed != 0 {
        command += &format!(" --seed {}", arguments.seed);
    }
    let mut inputs: Vec<String> = measured.voted.iter().map(Voted::words).collect();
    inputs.extend(measured.left_out.iter().cloned());
    let decided = claims.decided(&measured.evidence(&claims), SCALE, true);
    let (replicates, seed) = (arguments.replicates, arguments.seed);
    Report {
        recipe: "arena".to_owned(),
        scale: SCALE.to_owned(),
        command,
        run: RunFacts { backend: "no model runs".to_owned(), ..RunFacts::of(started, 0, "") },
        claims: decided,
        paper: claims.paper,
        errata: claims.errata,
        inputs,
        details: Details { replicates, seed, anchor: format!("{} = {}", ANCHOR.0, ANCHOR.1), measured },
        settings: format!("replicates = {replicates}\nseed = {seed}\n"),
    }
}

impl Voted {
    /// How many votes on how many models.
    fn words(&self) -> String {
        let Self { votes, both_bad, models, pairs, .. } = self;
        format!(
            "{votes} votes, {both_bad} of them that both answers are bad, on {pairs} pairs of {models} models"
        )
    }
}

impl Details {
    /// What the page says between the claims and the errata.
    pub fn body(&self) -> anyhow::Result<String> {
        let plot = self.measured.voted.as_ref().map(plot).transpose()?;
        let simulated = &self.measured.simulated;
        let needed: Vec<&str> = simulated.needed.iter().map(|row| row.target.words()).collect();
        let voters = simulated.detection.iter().take(1).flat_map(|found| &found.voters);
        let voters: Vec<&str> = voters.map(|row| row.voter.words()).collect();
        let mut environment = environment();
        environment.add_template("body", include_str!("body.html.j2"))?;
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            plot,
            needed,
            voters,
        })?)
    }

    /// The first ratings, the tie models, what was simulated and what was left out, for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(voted) = &self.measured.voted {
            let _ = writeln!(
                text,
                "{}; {}; {} bootstrap draws (seed {})\n",
                voted.words(),
                self.anchor,
                self.replicates,
                self.seed
            );
            text += &table(voted);
            text.push('\n');
        }
        text += &self.measured.simulated.text();
        for line in &self.measured.left_out {
            let _ = writeln!(text, "\n{line}");
        }
        text
    }
}

/// The first models with their intervals.
fn plot(voted: &Voted) -> anyhow::Result<String> {
    let rows: Vec<RatingRow> = voted
        .rows
        .iter()
        .take(SHOWN)
        .map(|row| RatingRow {
            name: &row.model,
            reference: row.published.map(|published| published.rating.value),
            series: vec![Some(row.rating), row.published.map(|published| published.rating)],
            bounded: true,
        })
        .collect();
    let is_compared = voted.rows.iter().any(|row| row.published.is_some());
    let series = if is_compared { &["here", "published interval"][..] } else { &["here"] };
    Ok(rating_intervals(&rows, series, is_compared.then_some("published"))?)
}

/// The first ratings and the tie models.
fn table(voted: &Voted) -> String {
    let range = |i: &Interval| format!("[{:.1}, {:.1}]", i.low, i.high);
    let row = |row: &Row| {
        let published = match &row.published {
            Some(p) => [
                p.rank.to_string(),
                format!("{:.1}", p.rating.value),
                range(&p.rating),
                format!("{:+.2}", p.gap),
            ],
            None => [const { String::new() }; 4],
        };
        let [rank, rating, interval, gap] = published;
        vec![
            row.rank.to_string(),
            rank,
            row.model.clone(),
            format!("{:.1}", row.rating.value),
            range(&row.rating),
            range(&row.sandwich),
            rating,
            interval,
            gap,
            row.votes.to_string(),
        ]
    };
    let header =
        ["rank", "published", "model", "rating", "bootstrap", "sandwich", "published", "", "gap", "votes"];
    let mut text = text_table(&header, &voted.rows.iter().take(SHOWN).map(row).collect::<Vec<_>>(), &[2]);
    if voted.rows.len() > SHOWN {
        let _ = writeln!(text, "… and {} more models in the report", voted.rows.len() - SHOWN);
    }
    if !voted.unpublished.is_empty() {
        let _ = writeln!(text, "with votes, but not published: {}", voted.unpublished.join(", "));
    }
    text.push('\n');
    for ties in &voted.ties {
        let _ = writeln!(
            text,
            "{}'s ties: ν = {:.4}, mean negative log-likelihood {:.5}",
            ties.name, ties.nu, ties.negative_log_likelihood
        );
    }
    text
}
