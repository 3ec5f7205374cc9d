//! FastChat's judgment files: single grades (`gpt-4_single.jsonl`) and pairs (`gpt-4_pair.jsonl`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use camelid_ratings::Outcome;
use serde::Serialize;
use serde_json::{Map, Value};

use super::samples::{each, names, number, text};
use super::{Remarks, ScoreError, ScoreReport};
use crate::judge::{Estimated, Judgment, ModelScore, PairScore, Resampling, Verdict, pair_scores, scores};

/// MT-bench's categories, ten questions each from number 81 (FastChat's
/// `data/mt_bench/question.jsonl`).
const MT_BENCH: [&str; 8] =
    ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"];

/// Averages of grades and win rates, best model first.
#[derive(Debug, Clone, Serialize)]
pub struct JudgmentScores {
    /// Of single grades.
    pub grades: Vec<ModelScore>,
    /// Of pairs: a game is won by who wins in both orders, and verdicts that differ are a tie.
    pub pairs: Vec<PairScore>,
    /// What is to be said of some rows.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// Reads judgments ([`read_judgments`]) and scores them as FastChat's `show_result.py` does.
///
/// # Errors
/// [`ScoreError`]: files that cannot be read, not one judgment with a verdict.
pub fn judgments(files: &[PathBuf], resampling: &Resampling) -> Result<JudgmentScores, ScoreError> {
    let (rows, remarks) = read_judgments(files)?;
    let read = rows.iter().filter(|row| row.verdict.is_some()).count();
    if read == 0 && remarks.unreadable.is_empty() && !rows.is_empty() {
        let first = "a judgment without a verdict".to_owned();
        return Err(ScoreError::Nothing { rows: rows.len(), first });
    }
    remarks.check(read)?;
    Ok(JudgmentScores { grades: scores(&rows, resampling), pairs: pair_scores(&rows, resampling), remarks })
}

/// The judgments of FastChat's files, single grades and pairs told apart by their fields. Left out are
/// rows that are no judgment, and those that judge once more what was judged before.
///
/// A grade of −1 and a winner `error` are FastChat's words for a reply that it could not read: rows
/// without a verdict. A pair gives two rows, one for each order. Categories are MT-bench's by the
/// question's number; temperature and prompt text are not in the files.
///
/// # Errors
/// [`ScoreError::File`].
pub fn read_judgments(files: &[PathBuf]) -> Result<(Vec<Judgment>, Remarks), ScoreError> {
    let mut rows: Vec<Judgment> = Vec::new();
    let mut seen = BTreeSet::new();
    let remarks = each(files, |_, fields| {
        let read = if fields.contains_key("g1_winner") || fields.contains_key("g2_winner") {
            pair(&fields)?.to_vec()
        } else {
            vec![single(&fields)?]
        };
        let first = &read[0];
        let judge = if first.opponent.is_none() { first.judge.clone() } else { String::new() };
        let models: BTreeSet<&String> = std::iter::once(&first.model).chain(&first.opponent).collect();
        let names: Vec<String> = models.into_iter().cloned().collect();
        let what = format!("question {}, turn {} of {}", first.question, first.turn, names.join(" and "));
        if !seen.insert((first.question.clone(), first.turn, names, judge)) {
            return Err(format!("{what} is judged twice; the first judgment counts"));
        }
        rows.extend(read);
        Ok(())
    })?;
    Ok((rows, remarks))
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
    let judgment = blank(fields, needed(fields, "model")?, None, "judgment")?;
    Ok(Judgment { verdict, error: verdict.is_none().then(|| "the file says −1".to_owned()), ..judgment })
}

/// Both games of a pair, each with the model shown first in front.
fn pair(fields: &Map<String, Value>) -> Result<[Judgment; 2], String> {
    let (one, two) = (needed(fields, "model_1")?, needed(fields, "model_2")?);
    if one == two {
        return Err(format!("`model_1` and `model_2` are both {one}; expected two models"));
    }
    let game = |order: &str, first: &str, second: &str| -> Result<Judgment, String> {
        let field = format!("{order}_winner");
        let winner = needed(fields, &field)?;
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
        let text = format!("{order}_judgment");
        let judgment = blank(fields, first.to_owned(), Some(second.to_owned()), &text)?;
        Ok(Judgment {
            verdict: verdict.map(Verdict::Winner),
            error: verdict.is_none().then(|| "the file says error".to_owned()),
            ..judgment
        })
    };
    Ok([game("g1", &one, &two)?, game("g2", &two, &one)?])
}

fn needed(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    text(fields, &[name]).ok_or_else(|| format!("no `{name}`; there are: {}", names(fields)))
}

/// A judgment without its verdict; the judge's words are in the field `words`.
fn blank(
    fields: &Map<String, Value>,
    model: String,
    opponent: Option<String>,
    words: &str,
) -> Result<Judgment, String> {
    let turn = match fields.get("turn") {
        None => 1,
        Some(turn) => number(turn)
            .filter(|turn| (1.0..=100.0).contains(turn) && turn.fract() == 0.0)
            .ok_or_else(|| format!("`turn` is {turn}; expected 1 or 2"))? as u32,
    };
    let judge = fields.get("judge").cloned().unwrap_or_default();
    let part = |at: usize| judge.get(at).and_then(Value::as_str).map(str::to_owned);
    let question = needed(fields, "question_id")?;
    Ok(Judgment {
        category: category(&question).to_owned(),
        question,
        turn,
        model,
        opponent,
        text: text(fields, &[words]).unwrap_or_default(),
        judge: part(0).or_else(|| judge.as_str().map(str::to_owned)).unwrap_or_default(),
        prompt: part(1).unwrap_or_default(),
        timestamp: fields.get("tstamp").and_then(number).unwrap_or_default(),
        ..Judgment::default()
    })
}

/// The category of a question of MT-bench; nothing for others.
fn category(question: &str) -> &'static str {
    let place = question.parse::<usize>().ok().and_then(|number| number.checked_sub(81));
    place.and_then(|place| MT_BENCH.get(place / 10)).copied().unwrap_or_default()
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
        text + &self.remarks.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(lines: &[String]) -> Result<JudgmentScores, ScoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpt-4.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        judgments(&[path], &Resampling::default())
    }

    fn grade(question: u32, model: &str, turn: u32, score: f64) -> String {
        format!(
            "{{\"question_id\": {question}, \"model\": \"{model}\", \"judge\": [\"gpt-4\", \"single-v1\"], \
             \"user_prompt\": \"p\", \"judgment\": \"Hm.\", \"score\": {score}, \"turn\": {turn}, \"tstamp\": 1.0}}"
        )
    }

    fn game(question: u32, models: (&str, &str), winners: (&str, &str)) -> String {
        format!(
            "{{\"question_id\": {question}, \"model_1\": \"{}\", \"model_2\": \"{}\", \"g1_winner\": \"{}\", \
             \"g2_winner\": \"{}\", \"judge\": [\"gpt-4\", \"pair-v2\"], \"turn\": 1, \"tstamp\": 1.0}}",
            models.0, models.1, winners.0, winners.1
        )
    }

    #[test]
    fn grades_are_averaged_by_model_turn_and_category() {
        let mut lines = Vec::new();
        for (question, score) in [(81, 8.0), (82, 6.0), (101, 4.0)] {
            lines.push(grade(question, "vicuna", 1, score));
            lines.push(grade(question, "vicuna", 2, score - 2.0));
            lines.push(grade(question, "gpt-3.5", 1, 9.0));
        }
        lines.push(grade(102, "gpt-3.5", 1, -1.0));
        let found = scored(&lines).unwrap();
        let [best, vicuna] = &found.grades[..] else { panic!("{:?}", found.grades) };
        assert_eq!((best.model.as_str(), best.overall.unwrap().value), ("gpt-3.5", 9.0));
        assert_eq!((best.grades, best.errors), (3, 1));
        assert_eq!(vicuna.overall.unwrap().value, 5.0);
        assert_eq!((vicuna.turns[&1].value, vicuna.turns[&2].value), (6.0, 4.0));
        assert_eq!((vicuna.categories["writing"].value, vicuna.categories["reasoning"].value), (6.0, 3.0));
        assert!(vicuna.judged_by.temperatures.is_empty());
    }

    #[test]
    fn a_game_is_won_in_both_orders_and_an_error_leaves_it_out() {
        let pair = ("a", "b");
        let found = scored(&[
            game(1, pair, ("model_1", "model_1")),
            game(2, pair, ("model_1", "model_2")),
            game(3, pair, ("tie", "tie")),
            game(4, pair, ("tie", "model_2")),
            game(5, pair, ("b", "b")),
            game(6, pair, ("error", "model_1")),
            game(7, pair, ("model_3", "tie")),
            // The same question again, in the other order of names.
            game(1, ("b", "a"), ("model_1", "model_1")),
        ])
        .unwrap();
        let a = found.pairs.iter().find(|score| score.model == "a").unwrap();
        assert_eq!((a.wins, a.ties, a.losses, a.errors), (1, 3, 1, 1));
        assert_eq!(a.adjusted_win_rate.unwrap().value, 0.5);
        let left: Vec<String> = found.remarks.unreadable.iter().map(|row| row.problem.clone()).collect();
        assert!(left[0].contains("`g1_winner` is model_3"), "{left:?}");
        assert!(left[1].contains("question 1, turn 1 of a and b is judged twice"), "{left:?}");
    }

    #[test]
    fn what_is_no_judgment_is_named() {
        let said = |line: &str| scored(&[line.to_owned()]).unwrap_err().to_string();
        assert!(said("{\"winner\": \"model_a\"}").contains("neither a single grade"));
        assert!(said(&grade(81, "m", 1, 11.0)).contains("expected a grade from 0 to 10"));
        assert!(said(&grade(81, "m", 0, 1.0)).contains("`turn` is 0"));
        assert!(said(&game(1, ("a", "a"), ("tie", "tie"))).contains("expected two models"));
        assert!(said(&grade(81, "m", 1, -1.0)).contains("without a verdict"));
    }
}
