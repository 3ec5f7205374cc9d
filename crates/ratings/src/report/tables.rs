//! The main tables of the reports as polars frames.

use camelid_report::Tabular;
use polars::prelude::{Column, DataFrame, PolarsResult};

use super::{AgreementReport, AgreementRow, RatingsReport};
use crate::{LeaderboardRow, ModelPosition};

impl Tabular for RatingsReport {
    fn frame(&self) -> PolarsResult<DataFrame> {
        let rows = &self.leaderboard.rows;
        let numbers = |name: &str, of: fn(&LeaderboardRow) -> Option<f64>| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let counts = |name: &str, of: fn(&LeaderboardRow) -> u64| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let positions = |name: &str, of: fn(&ModelPosition) -> Option<f64>| {
            Column::new(name.into(), self.position.models.iter().take(rows.len()).map(of).collect::<Vec<_>>())
        };
        let texts = |name: &str, of: fn(&LeaderboardRow) -> &str| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let columns = vec![
            counts("rank", |row| row.rank as u64),
            texts("model", |row| &row.model),
            numbers("rating", |row| Some(row.rating)),
            numbers("bootstrap_low", |row| Some(row.bootstrap.low)),
            numbers("bootstrap_high", |row| Some(row.bootstrap.high)),
            numbers("sandwich_low", |row| row.sandwich.map(|i| i.low)),
            numbers("sandwich_high", |row| row.sandwich.map(|i| i.high)),
            numbers("ordering_error", |row| row.ordering_error),
            texts("standing", |row| row.standing.words()),
            counts("part", |row| u64::from(row.part)),
            counts("battles", |row| row.battles),
            counts("wins", |row| row.wins),
            counts("losses", |row| row.losses),
            counts("ties", |row| row.ties),
            numbers("win_rate", |row| row.win_rate.map(|i| i.value)),
            numbers("win_rate_low", |row| row.win_rate.map(|i| i.low)),
            numbers("win_rate_high", |row| row.win_rate.map(|i| i.high)),
            positions("shown_first", |m| m.shown_first.map(|i| i.value)),
            positions("shown_second", |m| m.shown_second.map(|i| i.value)),
            positions("advantage", |m| m.advantage.map(|i| i.value)),
            positions("advantage_low", |m| m.advantage.map(|i| i.low)),
            positions("advantage_high", |m| m.advantage.map(|i| i.high)),
        ];
        DataFrame::new(rows.len(), columns)
    }
}

impl Tabular for AgreementReport {
    fn frame(&self) -> PolarsResult<DataFrame> {
        let rows = &self.rows;
        let texts = |name: &str, of: fn(&AgreementRow) -> &str| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let counts = |name: &str, of: fn(&AgreementRow) -> u64| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let numbers = |name: &str, of: fn(&AgreementRow) -> Option<f64>| {
            Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
        };
        let columns = vec![
            texts("left", |row| &row.counts.left),
            texts("right", |row| &row.counts.right),
            Column::new("turn".into(), rows.iter().map(|row| row.counts.turn).collect::<Vec<_>>()),
            counts("agreed_with_ties", |row| row.counts.with_ties.agreed),
            counts("compared_with_ties", |row| row.counts.with_ties.compared),
            numbers("with_ties", |row| row.with_ties_rate.map(|i| i.value)),
            numbers("with_ties_low", |row| row.with_ties_rate.map(|i| i.low)),
            numbers("with_ties_high", |row| row.with_ties_rate.map(|i| i.high)),
            counts("agreed_without_ties", |row| row.counts.without_ties.agreed),
            counts("compared_without_ties", |row| row.counts.without_ties.compared),
            numbers("without_ties", |row| row.without_ties_rate.map(|i| i.value)),
            numbers("without_ties_low", |row| row.without_ties_rate.map(|i| i.low)),
            numbers("without_ties_high", |row| row.without_ties_rate.map(|i| i.high)),
        ];
        DataFrame::new(rows.len(), columns)
    }
}
