//! Everything a judged run has to say, for tables, pages and machines.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::judging::Mode;
use super::judgment::{JudgedBy, Judgment, battles};
use super::pairs::{PairScore, pair_scores};
use super::questions::QuestionSet;
use super::resample::{Estimated, Resampling};
use super::scores::{ModelScore, ScoreRatio, score_ratios, scores};
use camelid_ratings::PositionEffect;

/// The scores of a judged run.
#[derive(Debug, Clone, Serialize)]
pub struct Scoreboard {
    /// The question set's name.
    pub question_set: String,
    /// Its questions.
    pub questions: usize,
    /// Its categories in order.
    pub categories: Vec<String>,
    /// What the judge was asked for.
    pub mode: Mode,
    /// Who judged, and by which prompts.
    pub judged_by: JudgedBy,
    /// Intervals are over questions drawn anew.
    pub resampling: Resampling,
    /// Grades of single answers, best model first.
    pub scores: Vec<ModelScore>,
    /// Wins, ties and losses, best model first.
    pub pairs: Vec<PairScore>,
    /// Grades over the baseline's, where there is one.
    pub ratios: Vec<ScoreRatio>,
    /// What being shown first is worth, where answers were compared.
    pub position: Option<PositionEffect>,
    /// All judgments.
    pub judgments: usize,
    /// Judgments without a verdict.
    pub errors: Vec<JudgmentError>,
    /// Verdicts that name more than one winner, of which the last counts.
    pub contradictory: usize,
    /// Tokens of the judge's prompts and replies, where its server counts them.
    pub judge_tokens: (usize, usize),
}

/// A judgment without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgmentError {
    /// The question.
    pub question: String,
    /// The turn.
    pub turn: u32,
    /// The model, or the one shown first.
    pub model: String,
    /// The model shown second.
    pub opponent: Option<String>,
    /// Why there is no verdict.
    pub reason: String,
    /// The reply, or what came in its place.
    pub text: String,
}

impl Scoreboard {
    /// The scores that `rows` give. With a baseline, the ratios to its grades are among them.
    pub fn new(
        questions: &QuestionSet,
        mode: Mode,
        rows: &[Judgment],
        baseline: Option<&str>,
        resampling: Resampling,
    ) -> Self {
        let errors = rows.iter().filter(|row| row.verdict.is_none()).map(|row| JudgmentError {
            question: row.question.clone(),
            turn: row.turn,
            model: row.model.clone(),
            opponent: row.opponent.clone(),
            reason: row.error.clone().unwrap_or_default(),
            text: row.text.clone(),
        });
        let tokens = |of: fn(&Judgment) -> Option<usize>| rows.iter().filter_map(of).sum();
        Self {
            question_set: questions.name.clone(),
            questions: questions.questions.len(),
            categories: questions.categories().into_iter().map(str::to_owned).collect(),
            mode,
            judged_by: JudgedBy::of(rows),
            resampling,
            scores: scores(rows, &resampling),
            pairs: pair_scores(rows, &resampling),
            ratios: baseline.map_or_else(Vec::new, |model| score_ratios(rows, model, &resampling)),
            // Without a verdict on a pair there is no position effect.
            position: PositionEffect::new(&battles(rows)).ok(),
            judgments: rows.len(),
            errors: errors.collect(),
            contradictory: rows.iter().filter(|row| row.contradictory).count(),
            judge_tokens: (tokens(|row| row.prompt_tokens), tokens(|row| row.new_tokens)),
        }
    }

    /// Turns that any model has a grade for.
    pub fn turns(&self) -> BTreeSet<u32> {
        self.scores.iter().flat_map(|score| score.turns.keys().copied()).collect()
    }

    /// Scores, judge and errors as Markdown tables, for a terminal.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}: {} questions, {} judgments, {} without a verdict\njudge: {}\nintervals: {:.0} % over {} draws \
             of the questions\n",
            self.question_set,
            self.questions,
            self.judgments,
            self.errors.len(),
            self.judged_by,
            100.0 * self.resampling.level,
            self.resampling.replicates
        );
        self.score_table(&mut text);
        self.pair_table(&mut text);
        self.ratio_table(&mut text);
        if let Some(position) = &self.position
            && let Some(first) = position.overall.rate()
        {
            let _ = write!(text, "\nthe answer shown first scores {:.1} %", 100.0 * first.value);
            if let Some(same) = position.consistency.rate() {
                let _ = write!(text, "; both orders agree in {:.1} % of games", 100.0 * same.value);
            }
            text.push('\n');
        }
        if self.contradictory > 0 {
            let _ =
                writeln!(text, "{} verdicts name more than one winner; the last counts", self.contradictory);
        }
        self.error_lines(&mut text);
        text
    }

    /// A line for each reason that there is no verdict, the first few of them.
    fn error_lines(&self, text: &mut String) {
        const SHOWN: usize = 5;
        let mut reasons: Vec<(&JudgmentError, usize)> = Vec::new();
        for error in &self.errors {
            match reasons.iter_mut().find(|(first, _)| first.reason == error.reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((error, 1)),
            }
        }
        for (error, count) in reasons.iter().take(SHOWN) {
            let others = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let _ = writeln!(
                text,
                "no verdict on question {}, turn {}, {}{others}: {}",
                error.question,
                error.turn,
                error.subject(),
                error.reason
            );
        }
        if reasons.len() > SHOWN {
            let _ = writeln!(text, "… and {} more reasons", reasons.len() - SHOWN);
        }
    }

    fn score_table(&self, text: &mut String) {
        if self.scores.is_empty() {
            return;
        }
        let turns = self.turns();
        text.push_str("\n| model | score |");
        for turn in &turns {
            let _ = write!(text, " turn {turn} |");
        }
        for category in &self.categories {
            let _ = write!(text, " {category} |");
        }
        let _ = writeln!(text, " errors |\n|{}", "---|".repeat(turns.len() + self.categories.len() + 3));
        for score in &self.scores {
            let _ = write!(text, "| {} | {} |", score.model, grade(score.overall.as_ref()));
            for turn in &turns {
                let _ = write!(text, " {} |", bare(score.turns.get(turn)));
            }
            for category in &self.categories {
                let _ = write!(text, " {} |", bare(score.categories.get(category)));
            }
            let _ = writeln!(text, " {} |", score.errors);
        }
    }

    fn pair_table(&self, text: &mut String) {
        if self.pairs.is_empty() {
            return;
        }
        text.push_str(
            "\n| model | against | wins | ties (contradictory) | losses | win rate, a tie as half | errors |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for pair in &self.pairs {
            let rate = pair.adjusted_win_rate.as_ref().map_or_else(
                || "–".to_owned(),
                |rate| {
                    let interval = rate.low.zip(rate.high).map_or_else(String::new, |(low, high)| {
                        format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high)
                    });
                    format!("{:.1} %{interval}", 100.0 * rate.value)
                },
            );
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} ({}) | {} | {rate} | {} |",
                pair.model,
                pair.opponent.as_deref().unwrap_or("all"),
                pair.wins,
                pair.ties,
                pair.inconsistent,
                pair.losses,
                pair.errors
            );
        }
    }

    fn ratio_table(&self, text: &mut String) {
        for ratio in &self.ratios {
            let _ = writeln!(
                text,
                "\n{}: {} of the grades of {}",
                ratio.model,
                grade(Some(&ratio.ratio)),
                ratio.baseline
            );
        }
    }
}

impl JudgmentError {
    /// The model, or the two in their order.
    pub fn subject(&self) -> String {
        match &self.opponent {
            Some(opponent) => format!("{} before {opponent}", self.model),
            None => self.model.clone(),
        }
    }
}

/// A figure with its interval.
fn grade(estimated: Option<&Estimated>) -> String {
    match estimated {
        Some(Estimated { value, low: Some(low), high: Some(high), .. }) => {
            format!("{value:.2} [{low:.2}, {high:.2}]")
        }
        other => bare(other),
    }
}

/// A figure alone.
fn bare(estimated: Option<&Estimated>) -> String {
    estimated.map_or_else(|| "–".to_owned(), |estimated| format!("{:.2}", estimated.value))
}
