//! The board's plots, and its rows as a file.

use std::collections::BTreeMap;

use camelid_ratings::report::{RatingRow, pair_votes, rating_intervals, win_matrix};
use camelid_report::{Line, line_chart};
use serde::Serialize;

use super::standings::Standings;
use super::{Category, Snapshot};
use crate::arena::error::ArenaError;
use crate::arena::player::Card;

/// SVG texts; empty where there is nothing to draw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Ratings with their intervals.
    pub intervals: String,
    /// What each model scores against each other.
    pub wins: String,
    /// Votes of each pair.
    pub votes: String,
    /// Ratings by day.
    pub history: String,
}

impl Figures {
    /// Draws a board; win matrix and history are those of all votes.
    ///
    /// # Errors
    /// [`ArenaError::Plot`].
    pub fn draw(
        snapshot: &Snapshot,
        standings: &Standings,
        history: &[(i64, String, f64)],
    ) -> Result<Self, ArenaError> {
        let failed = |error: camelid_report::DrawError| ArenaError::Plot(error.to_string());
        let has_bootstrap = standings.entries.iter().any(|entry| entry.bootstrap.is_some());
        let rows: Vec<RatingRow> = standings
            .entries
            .iter()
            .map(|entry| RatingRow {
                name: &entry.model,
                reference: None,
                series: if has_bootstrap {
                    vec![Some(entry.interval), entry.bootstrap]
                } else {
                    vec![Some(entry.interval)]
                },
                bounded: entry.is_bounded,
            })
            .collect();
        let series = if has_bootstrap { &["sandwich", "bootstrap"][..] } else { &["sandwich"] };
        let names: Vec<&str> = standings.entries.iter().map(|entry| entry.model.as_str()).collect();
        let mut figures = Self {
            intervals: rating_intervals(&rows, series, None).map_err(failed)?,
            history: days(history)?,
            ..Self::default()
        };
        if let Some(matrix) = &snapshot.matrix {
            let places: Vec<Option<usize>> =
                names.iter().map(|name| matrix.models.iter().position(|model| model == name)).collect();
            let each = |i: usize, j: usize| Some((places[i]?, places[j]?));
            let n = names.len();
            let rates: Vec<Vec<Option<f64>>> = (0..n)
                .map(|i| (0..n).map(|j| each(i, j).and_then(|(i, j)| matrix.rate(i, j))).collect())
                .collect();
            let votes = |(i, j): (usize, usize)| matrix.battles[i * matrix.models.len() + j] as u64;
            let votes: Vec<Vec<u64>> =
                (0..n).map(|i| (0..n).map(|j| each(i, j).map_or(0, votes)).collect()).collect();
            figures.wins = win_matrix(&names, &rates).map_err(failed)?;
            figures.votes = pair_votes(&names, &votes).map_err(failed)?;
        }
        Ok(figures)
    }
}

/// Ratings by day, from the second day on.
fn days(history: &[(i64, String, f64)]) -> Result<String, ArenaError> {
    let Some(first) = history.iter().map(|(day, _, _)| *day).min() else { return Ok(String::new()) };
    let mut models: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (day, model, rating) in history {
        models.entry(model).or_default().push(((day - first) as f64, *rating));
    }
    if history.iter().all(|(day, _, _)| *day == first) {
        return Ok(String::new());
    }
    let lines: Vec<Line> = models.into_iter().map(|(name, points)| Line { name, points }).collect();
    line_chart(&lines, "days", "rating").map_err(|error| ArenaError::Plot(error.to_string()))
}

/// A board as separated values: RFC 4180, and no cell that a spreadsheet would run.
pub fn csv(standings: &Standings, cards: &BTreeMap<String, Card>) -> String {
    let mut text =
        "rank,model,rating,low,high,bootstrap_low,bootstrap_high,style_rating,style_rank,votes,wins,losses,\
                    ties,organization,licence\n"
            .to_owned();
    let none = Card::default();
    for entry in &standings.entries {
        let card = cards.get(&entry.model).unwrap_or(&none);
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
        let cells = [
            entry.rank.to_string(),
            entry.model.clone(),
            number(Some(entry.interval.value)),
            number(Some(entry.interval.low)),
            number(Some(entry.interval.high)),
            number(entry.bootstrap.map(|interval| interval.low)),
            number(entry.bootstrap.map(|interval| interval.high)),
            number(entry.style.map(|interval| interval.value)),
            entry.style_rank.map_or_else(String::new, |rank| rank.to_string()),
            entry.votes.to_string(),
            entry.wins.to_string(),
            entry.losses.to_string(),
            entry.ties.to_string(),
            card.organization.clone(),
            card.licence.clone(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        text += &cells.join(",");
        text.push('\n');
    }
    text
}

fn quoted(cell: &str) -> String {
    let is_number = cell.parse::<f64>().is_ok();
    let cell = match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t') if !is_number => format!("'{cell}"),
        _ => cell.to_owned(),
    };
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The whole board as JSON.
pub fn json(snapshot: &Snapshot, cards: &BTreeMap<String, Card>) -> serde_json::Value {
    let board = |(category, standings): &(Category, Standings)| serde_json::json!({ "id": category.id(), "title": category.title(), "board": standings });
    serde_json::json!({
        "votes": snapshot.votes, "counted": snapshot.counted, "dropped": snapshot.dropped,
        "boards": snapshot.boards.iter().map(board).collect::<Vec<_>>(), "models": cards,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_text() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("=cmd()"), "'=cmd()");
        assert_eq!(quoted("-12.5"), "-12.5");
    }
}
