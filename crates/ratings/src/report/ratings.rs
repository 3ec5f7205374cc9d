//! The report of a set of battles: leaderboard, win matrix, position effect, what was dropped.

mod text;

use camelid_report::{PAGE_STYLE, Report, ReportError, environment};
use serde::Serialize;

use super::plots::{RatingRow, rating_intervals, win_matrix};
use super::position::{add_position, position_context};
use crate::{
    Battles, FileOrder, Format, Interval, Leaderboard, LeaderboardOptions, Method, Outcome, PositionEffect,
    RatingsError, RejectedRow, Selection, SourceFile, Sources, Standing, TieRule, WinMatrix,
};

pub(super) use text::dropped;

/// Everything a report of ratings says.
#[derive(Debug, Clone, Serialize)]
pub struct RatingsReport {
    /// Version of Camelid.
    pub camelid: &'static str,
    /// The command that repeats it.
    pub command: String,
    /// The files that were read.
    pub files: Vec<SourceFile>,
    /// Whose answer stood first in each review file.
    pub orders: Vec<FileOrder>,
    /// Rows that were no battles, all of them.
    pub dropped: Vec<RejectedRow>,
    /// Battles that were read.
    pub read: u64,
    /// What looks like a mistake and is none for sure.
    pub notices: Vec<String>,
    /// Whether rows stand for many votes each, in a table of counts.
    pub counted: bool,
    /// Whether the text names every judge.
    #[serde(skip)]
    pub all_judges: bool,
    /// Which of them count.
    pub selection: Selection,
    /// How many of them are ties.
    pub ties: u64,
    /// Their questions.
    pub questions: usize,
    /// The ratings.
    pub leaderboard: Leaderboard,
    /// Models in the order of the matrix: those of the leaderboard, then the unrated.
    pub models: Vec<String>,
    /// What the row's model scores against the column's, a tie as half.
    pub win_matrix: Vec<Vec<Option<f64>>>,
    /// The position effect, models in the same order.
    pub position: PositionEffect,
    /// Whether the places of the answers mean nothing: an annotator shuffled them.
    pub places_shuffled: bool,
}

impl RatingsReport {
    /// Rates the battles of `sources` that `selection` keeps; `step` is told what comes next.
    ///
    /// # Errors
    /// Those of [`Selection::apply`] and [`Leaderboard::new`].
    pub fn new(
        sources: &Sources,
        selection: &Selection,
        options: &LeaderboardOptions,
        command: String,
        mut step: impl FnMut(&str),
    ) -> Result<Self, RatingsError> {
        step("choosing battles");
        let battles = selection.apply(&sources.battles)?;
        step("rating, and drawing battles anew for the intervals");
        let leaderboard = Leaderboard::new(&battles, options)?;
        step("win matrix and position effect");
        let rated = leaderboard.rows.iter().map(|row| row.model.clone());
        let models: Vec<String> = rated.chain(leaderboard.unrated.iter().cloned()).collect();
        let indices =
            models.iter().map(|m| battles.model(m).map(|i| i as usize)).collect::<Result<Vec<_>, _>>()?;
        let matrix = WinMatrix::new(&battles, TieRule::Half)?;
        let rates = indices.iter().map(|&i| indices.iter().map(|&j| matrix.rate(i, j)).collect());
        let mut position = PositionEffect::new(&battles)?;
        position.models = indices.iter().map(|&i| position.models[i].clone()).collect();
        Ok(Self {
            camelid: env!("CARGO_PKG_VERSION"),
            command,
            files: sources.files.clone(),
            orders: sources.orders.clone(),
            dropped: sources.battles.rejected().to_vec(),
            read: sources.battles.votes(),
            notices: sources.notices.clone(),
            counted: battles.is_counted(),
            all_judges: false,
            selection: selection.clone(),
            ties: ties(&battles),
            questions: battles.questions().all().len(),
            leaderboard,
            models,
            win_matrix: rates.collect(),
            position,
            places_shuffled: sources.files.iter().any(|file| file.format == Format::AlpacaEval),
        })
    }

    /// What the interval beside the bootstrap's is; `None` where the method has none.
    pub(super) fn second_interval(&self) -> Option<&'static str> {
        match self.leaderboard.options.method {
            Method::BradleyTerry | Method::Style => Some("sandwich"),
            Method::WinRate => Some("by variance"),
            Method::Elo | Method::EloAveraged => None,
        }
    }

    fn series(&self) -> Vec<&'static str> {
        std::iter::once("bootstrap").chain(self.second_interval()).collect()
    }
}

impl Report for RatingsReport {
    fn text(&self) -> String {
        text::text(self)
    }

    fn page(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        add_position(&mut environment)?;
        environment.add_template("ratings", include_str!("ratings.html.j2"))?;
        let rows: Vec<RatingRow> = self
            .leaderboard
            .rows
            .iter()
            .map(|row| RatingRow {
                name: &row.model,
                reference: None,
                series: vec![Some(row.bootstrap), row.sandwich],
                bounded: row.standing == Standing::Bounded,
            })
            .collect();
        let names: Vec<&str> = self.models.iter().map(String::as_str).collect();
        let standings: Vec<&str> = self.leaderboard.rows.iter().map(|row| row.standing.words()).collect();
        let formats: Vec<&str> = self.files.iter().map(|file| file.format.words()).collect();
        Ok(environment.get_template("ratings")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            style => PAGE_STYLE,
            method => self.leaderboard.options.words(),
            tie_model => text::tie_model(&self.leaderboard),
            settings => text::settings(self),
            orders => text::orders(&self.orders),
            second_interval => self.second_interval(),
            win_rate_method => self.leaderboard.options.method == Method::WinRate,
            unbounded => rows.iter().any(|row| !row.bounded),
            standings,
            formats,
            plot_ratings => rating_intervals(&rows, &self.series(), None)?,
            plot_matrix => win_matrix(&names, &self.win_matrix)?,
            position => position_context(&self.position)?,
        })?)
    }
}

fn ties(battles: &Battles) -> u64 {
    battles.rows().iter().filter(|row| row.outcome == Outcome::Tie).map(|row| row.votes).sum()
}

/// A share as its interval in per cent, e.g. `63.0 % [61.5, 64.4]`.
pub(super) fn percent(share: &Interval) -> String {
    format!("{:.1} % [{:.1}, {:.1}]", 100.0 * share.value, 100.0 * share.low, 100.0 * share.high)
}
