//! FastChat's judgment files: single grades (`gpt-4_single.jsonl`) and pairs (`gpt-4_pair.jsonl`).

use std::path::PathBuf;

use camelid_ratings::Outcome;
use serde::Serialize;
use serde_json::{Map, Value};

use super::samples::{each, names, number, text};
use super::{ScoreError, ScoreReport, Unreadable, check, left_out};
use crate::judge::{Estimated, Judgment, ModelScore, PairScore, Resampling, Verdict, pair_scores, scores};

/// Averages of grades and win rates, best model first.
#[derive(Debug, Clone, Serialize)]
pub struct JudgmentScores {
    /// Of single grades.
    pub grades: Vec<ModelScore>,
    /// Of pairs: a game is won by who wins in both orders, and verdicts that differ are a tie.
    pub pairs: Vec<PairScore>,
    /// Rows that were left out.
    pub unreadable: Vec<Unreadable>,
}

/// Reads judgments, told apart by their fields, and scores them. A grade of −1 and a winner `error` are
/// FastChat's words for a reply that it could not read: those count as errors, not as grades.
///
/// # Errors
/// [`ScoreError`]: files that cannot be read, not one judgment.
pub fn judgments(files: &[PathBuf], resampling: &Resampling) -> Result<JudgmentScores, ScoreError> {
    let mut rows: Vec<Judgment> = Vec::new();
    let unreadable = each(files, |_, _, fields| {
        if fields.contains_key("g1_winner") {
            rows.extend(pair(&fields)?);
        } else {
            rows.push(single(&fields)?);
        }
        Ok(())
    })?;
    let read = rows.iter().filter(|row| row.verdict.is_some()).count();
    if read == 0 && unreadable.is_empty() && !rows.is_empty() {
        let first = "a judgment without a verdict".to_owned();
        return Err(ScoreError::Nothing { rows: rows.len(), first });
    }
    check(read, &unreadable)?;
    Ok(JudgmentScores {
        grades: scores(&rows, resampling),
        pairs: pair_scores(&rows, resampling),
        unreadable,
    })
}

fn single(fields: &Map<String, Value>) -> Result<Judgment, String> {
    let score = fields.get("score").ok_or_else(|| {
        format!("neither a single grade (`score`) nor a pair (`g1_winner`); there are: {}", names(fields))
    })?;
    let grade = number(score).ok_or_else(|| format!("`score` is {score}; expected a grade"))?;
    let verdict = match grade {
        -1.0 => None,
        grade if (0.0..=10.0).contains(&grade) => Some(Verdict::Rating(grade)),
        _ => return Err(format!("`score` is {grade}; expected a grade from 0 to 10, or −1 for none")),
    };
    Ok(Judgment { verdict, ..blank(fields, needed(fields, "model")?, None)? })
}

/// Both games of a pair, each with the model shown first in front.
fn pair(fields: &Map<String, Value>) -> Result<[Judgment; 2], String> {
    let (one, two) = (needed(fields, "model_1")?, needed(fields, "model_2")?);
    let game = |field: &str, first: &str, second: &str| -> Result<Judgment, String> {
        let winner = needed(fields, field)?;
        let name = match winner.as_str() {
            "model_1" => &one,
            "model_2" => &two,
            other => other,
        };
        let verdict = match name {
            "tie" => Some(Outcome::Tie),
            "error" => None,
            name if name == first => Some(Outcome::ModelA),
            name if name == second => Some(Outcome::ModelB),
            other => return Err(format!("`{field}` is {other}; expected model_1, model_2, tie or error")),
        };
        let judgment = blank(fields, first.to_owned(), Some(second.to_owned()))?;
        Ok(Judgment { verdict: verdict.map(Verdict::Winner), ..judgment })
    };
    Ok([game("g1_winner", &one, &two)?, game("g2_winner", &two, &one)?])
}

fn needed(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    text(fields, &[name]).ok_or_else(|| format!("no `{name}`; there are: {}", names(fields)))
}

fn blank(fields: &Map<String, Value>, model: String, opponent: Option<String>) -> Result<Judgment, String> {
    let turn = match fields.get("turn") {
        None => 1,
        Some(turn) => number(turn)
            .filter(|turn| *turn >= 1.0 && turn.fract() == 0.0)
            .ok_or_else(|| format!("`turn` is {turn}; expected 1 or 2"))? as u32,
    };
    let judge = fields.get("judge").cloned().unwrap_or_default();
    let part = |at: usize| judge.get(at).and_then(Value::as_str).map(str::to_owned);
    Ok(Judgment {
        question: needed(fields, "question_id")?,
        category: String::new(),
        turn,
        model,
        opponent,
        verdict: None,
        error: None,
        contradictory: false,
        text: String::new(),
        judge: part(0).or_else(|| judge.as_str().map(str::to_owned)).unwrap_or_default(),
        judge_version: None,
        temperature: 0.0,
        own_temperature: false,
        prompt: part(1).unwrap_or_default(),
        prompt_hash: String::new(),
        request: None,
        prompt_tokens: None,
        new_tokens: None,
        timestamp: 0.0,
    })
}

impl ScoreReport for JudgmentScores {
    fn text(&self) -> String {
        let bare =
            |figure: Option<&Estimated>| figure.map_or_else(|| "–".into(), |f| format!("{:.2}", f.value));
        let mut text = String::new();
        if !self.grades.is_empty() {
            let turns: std::collections::BTreeSet<u32> =
                self.grades.iter().flat_map(|score| score.turns.keys().copied()).collect();
            let names: Vec<String> = turns.iter().map(|turn| format!("turn {turn}")).collect();
            let mut header = vec!["model", "average"];
            header.extend(names.iter().map(String::as_str));
            header.extend(["grades", "errors"]);
            let row = |score: &ModelScore| {
                let mut cells = vec![score.model.clone(), bare(score.overall.as_ref())];
                cells.extend(turns.iter().map(|turn| bare(score.turns.get(turn))));
                cells.extend([score.grades.to_string(), score.errors.to_string()]);
                cells
            };
            let rows: Vec<Vec<String>> = self.grades.iter().map(row).collect();
            text += &camelid_report::text_table(&header, &rows, &[0]);
        }
        if !self.pairs.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            let percent =
                |f: Option<&Estimated>| f.map_or_else(|| "–".into(), |f| format!("{:.1} %", 100.0 * f.value));
            let row = |score: &PairScore| {
                vec![
                    score.model.clone(),
                    score.opponent.clone().unwrap_or_else(|| "all".to_owned()),
                    score.wins.to_string(),
                    score.ties.to_string(),
                    score.losses.to_string(),
                    percent(score.win_rate.as_ref()),
                    percent(score.loss_rate.as_ref()),
                    percent(score.adjusted_win_rate.as_ref()),
                    score.errors.to_string(),
                ]
            };
            let rows: Vec<Vec<String>> = self.pairs.iter().map(row).collect();
            let header = [
                "model",
                "against",
                "wins",
                "ties",
                "losses",
                "win rate",
                "loss rate",
                "a tie as half",
                "errors",
            ];
            text += &camelid_report::text_table(&header, &rows, &[0, 1]);
        }
        text + &left_out(&self.unreadable)
    }
}
