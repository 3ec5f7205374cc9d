//! From what was measured to the report.

use camelid_data::nano::Domain;
use camelid_evolve::{EvolveReport, Passed, Rule};
use camelid_recipe::compare::Difference;
use camelid_recipe::rounded;
use camelid_report::{COLOURS, GREY, Line, bar, environment, horizontal_bars, label, line_chart, text_table};
use plotters::prelude::{BLACK, PathElement};
use serde::Serialize;

use super::arms::{Arm, LAST_TOKENS, MIX, ROUNDS, SEEDS, SEEDS_TOKENS, all_arms};
use super::evidence::{Measured, Score};
use super::evolutions::{self, LEVELS};
use super::exam::DRAWS;
use super::rules::{Found, found};
use super::study::Study;
use crate::reproduce::tuning::Shown;

/// What the recipe measured, in the rows of its report.
#[derive(Debug, Clone, Serialize)]
pub struct Details {
    /// Arms on the exam of all rounds.
    pub general: Vec<ArmRow>,
    /// Arms on the exam in arithmetic.
    pub arithmetic: Vec<ArmRow>,
    /// Arms that were not run.
    pub not_run: Vec<String>,
    /// Percent right of the untuned base.
    pub untuned: f64,
    /// The evolution of the main arm, round by round.
    pub rounds: Vec<RoundRow>,
    /// The same by operator.
    pub operators: Vec<OperatorRow>,
    /// What the rules found, by the evolver's share of errors in percent.
    pub faults: Vec<FaultRow>,
    /// Instructions with answers.
    pub samples: Vec<Sample>,
}

/// A figure with its standard error.
pub type Measure = Option<(f64, f64)>;

/// One arm over its seeds; figures in percent.
#[derive(Debug, Clone, Serialize)]
pub struct ArmRow {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub label: String,
    /// How many seeds.
    pub seeds: usize,
    /// Different rows, mean over seeds.
    pub rows: usize,
    /// Tokens tuned on, mean over seeds.
    pub tokens: usize,
    /// Greedy answers that are right.
    pub right: Measure,
    /// Drawn answers that are right.
    pub drawn: Measure,
    /// One of eight drawn answers is right.
    pub drawn_often: Measure,
    /// Greedy answers that are right, by round of the instruction, or by level of the sum.
    pub parts: Vec<Measure>,
    /// Seconds of training, mean over seeds.
    pub seconds: f64,
}

/// One round of the main evolution.
#[derive(Debug, Clone, Serialize)]
pub struct RoundRow {
    /// The round; 0 for the first instructions.
    pub round: usize,
    /// Evolutions made, and those that live.
    pub made: usize,
    /// Those that live.
    pub lives: usize,
    /// Those that ended because nothing was gained.
    pub no_gain: usize,
    /// Mean level of its held-out instructions.
    pub level: f64,
    /// Percent of them that the model tuned on first instructions answers wrongly.
    pub error_of_seeds: Measure,
    /// Percent of them that the model tuned on all rounds answers wrongly.
    pub error_of_mix: Measure,
}

/// One operator in the main evolution.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorRow {
    /// Its name.
    pub name: String,
    /// Evolutions made.
    pub made: usize,
    /// Those that live.
    pub lives: usize,
    /// Those that ended because nothing was gained.
    pub no_gain: usize,
}

/// What the rules found at one share of errors.
#[derive(Debug, Clone, Serialize)]
pub struct FaultRow {
    /// Percent of rows that the evolver spoils.
    pub error: usize,
    /// By kind of fault.
    pub found: Vec<Found>,
    /// Faults that live on.
    pub missed: usize,
    /// Evolved rows that live.
    pub lives: usize,
}

/// One instruction with its answers.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The round that it comes from.
    pub round: usize,
    /// What is asked.
    pub asked: String,
    /// The right answer.
    pub expected: String,
    /// What the model tuned on first instructions says.
    pub seeds: String,
    /// What the model tuned on all rounds says.
    pub mix: String,
}

impl Details {
    /// The rows of what was measured.
    pub fn of(study: &Study, measured: &Measured) -> Self {
        let ran = |arm: &&Arm| study.arms.iter().any(|other| other.name == arm.name);
        let of_exam = |exam: Domain| study.arms.iter().filter(move |arm| arm.exam == exam);
        let report = EvolveReport::new(study.lineages.of("evolved"));
        let right = measured.untuned.iter().filter(|mark| mark.right).count();
        Self {
            general: of_exam(Domain::General).map(|arm| arm_row(arm, measured)).collect(),
            arithmetic: of_exam(Domain::Arithmetic).map(|arm| arm_row(arm, measured)).collect(),
            not_run: all_arms()
                .iter()
                .filter(|arm| !ran(arm))
                .map(|arm| format!("{} ({})", arm.name, arm.label))
                .collect(),
            untuned: 100.0 * right as f64 / measured.untuned.len().max(1) as f64,
            rounds: report.rounds.iter().map(|(round, passed)| round_row(*round, passed, measured)).collect(),
            operators: report.operators.iter().map(operator_row).collect(),
            faults: [("faulty-5", 5), ("faulty-20", 20), ("faulty-50", 50)]
                .map(|(name, error)| fault_row(name, error, measured))
                .to_vec(),
            samples: samples(study, measured),
        }
    }

    /// Percent right by round of the instruction, a line an arm.
    fn by_round(&self) -> anyhow::Result<String> {
        let shown = [&SEEDS, &SEEDS_TOKENS, &MIX, &ROUNDS[0], &ROUNDS[3], &LAST_TOKENS].map(|arm| arm.name);
        let line = |row: &'_ ArmRow| {
            let points = row.parts.iter().enumerate();
            points.filter_map(|(round, part)| Some((round as f64, part.as_ref()?.0))).collect()
        };
        let lines: Vec<Line> = self
            .general
            .iter()
            .filter(|row| shown.contains(&row.name.as_str()))
            .map(|row| Line { name: &row.name, points: line(row) })
            .collect();
        Ok(line_chart(&lines, "round that the instruction comes from", "percent right")?)
    }
}

impl Shown for Details {
    fn text(&self) -> String {
        let cell = |measure: &Measure| {
            measure.map_or("–".to_owned(), |(mean, error)| {
                format!("{} ± {}", rounded(mean, error), rounded(error, error))
            })
        };
        let table = |name: &str, part: &str, first: usize, rows: &[ArmRow]| {
            let parts: Vec<String> = (0..rows.first().map_or(0, |row| row.parts.len()))
                .map(|at| format!("{part} {}", at + first))
                .collect();
            let mut header = vec![name, "seeds", "rows", "tokens", "all"];
            header.extend(parts.iter().map(String::as_str));
            header.extend(["drawn", "of 8 drawn"]);
            let row = |row: &ArmRow| {
                let mut cells = vec![
                    row.name.clone(),
                    row.seeds.to_string(),
                    row.rows.to_string(),
                    row.tokens.to_string(),
                    cell(&row.right),
                ];
                cells.extend(
                    row.parts
                        .iter()
                        .map(|part| part.map_or("–".to_owned(), |(mean, error)| rounded(mean, error))),
                );
                cells.extend([cell(&row.drawn), cell(&row.drawn_often)]);
                cells
            };
            text_table(&header, &rows.iter().map(row).collect::<Vec<_>>(), &[0])
        };
        let faults: Vec<Vec<String>> = self
            .faults
            .iter()
            .flat_map(|at| at.found.iter().map(move |of| (at.error, of)))
            .map(|(error, of)| {
                let percent = |share: Option<f64>| {
                    share.map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share))
                };
                vec![
                    format!("{error} %, {}", of.name),
                    format!("{} of {}", of.named.ended, of.named.made),
                    format!("{} of {}", of.unnamed.ended, of.unnamed.made),
                    percent(of.precision()),
                ]
            })
            .collect();
        let faults =
            text_table(&["faults", "found", "worded otherwise, found", "precision, %"], &faults, &[0]);
        let general = table("percent right", "round", 0, &self.general);
        format!("{general}\n{}\n{faults}", table("percent right, sums", "level", 1, &self.arithmetic))
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        environment.add_filter("within", |value: f64, error: f64| rounded(value, error));
        environment.add_template("body", include_str!("body.html.j2"))?;
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            draws => DRAWS,
            plot_general => score_bars(&self.general)?,
            plot_arithmetic => score_bars(&self.arithmetic)?,
            plot_rounds => self.by_round()?,
        })?)
    }
}

/// Bars of greedy answers in colour and of one among eight drawn in grey.
fn score_bars(arms: &[ArmRow]) -> anyhow::Result<String> {
    let most = arms.iter().filter_map(|arm| arm.drawn_often).map(|(mean, _)| mean).fold(20.0, f64::max);
    let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    horizontal_bars(&names, most, "percent right", |canvas, x, y| {
        for (at, arm) in arms.iter().enumerate() {
            let (Some((mean, error)), Some((often, _))) = (arm.right, arm.drawn_often) else { continue };
            bar(canvas, x(0.0), x(mean), y(at), 16, COLOURS[at % COLOURS.len()])?;
            bar(canvas, x(0.0), x(often), y(at) + 18, 7, GREY)?;
            let (low, high, middle) = (x((mean - error).max(0.0)), x(mean + error), y(at) + 8);
            canvas.draw(&PathElement::new([(low, middle), (high, middle)], BLACK))?;
            label(canvas, &format!("{} %", rounded(mean, error)), high + 6, y(at) + 2)?;
        }
        Ok(())
    })
}

fn arm_row(arm: &Arm, measured: &Measured) -> ArmRow {
    let seeds: Vec<_> = measured.of(arm).collect();
    let n = seeds.len().max(1);
    let measure = |of: Option<Difference>| of.map(|of| (of.mean, of.standard_error));
    let part = |at: usize| match arm.exam {
        Domain::General => measured.mean(arm, Score::Greedy, |item| item.round == at),
        Domain::Arithmetic => measured.mean(arm, Score::Greedy, |item| item.level == at + 1),
    };
    let parts = if arm.exam == Domain::General { evolutions::ROUNDS + 1 } else { LEVELS };
    ArmRow {
        name: arm.name.to_owned(),
        label: arm.label.to_owned(),
        seeds: seeds.len(),
        rows: seeds.iter().map(|tuned| tuned.rows).sum::<usize>() / n,
        tokens: seeds.iter().map(|tuned| tuned.tokens).sum::<usize>() / n,
        right: measure(measured.mean(arm, Score::Greedy, |_| true)),
        drawn: measure(measured.mean(arm, Score::Drawn(1), |_| true)),
        drawn_often: measure(measured.mean(arm, Score::Drawn(DRAWS), |_| true)),
        parts: (0..parts).map(|at| measure(part(at))).collect(),
        seconds: seeds.iter().map(|tuned| tuned.seconds).sum::<f64>() / n as f64,
    }
}

fn ended(passed: &Passed, rules: &[Rule]) -> usize {
    rules.iter().filter_map(|rule| passed.ended.get(rule)).sum()
}

fn round_row(round: usize, passed: &Passed, measured: &Measured) -> RoundRow {
    let error = |arm: &Arm| {
        let right = measured.mean(arm, Score::Greedy, |item| item.round == round)?;
        Some((100.0 - right.mean, right.standard_error))
    };
    RoundRow {
        round,
        made: passed.made,
        lives: passed.lives,
        no_gain: ended(passed, &[Rule::NoGain, Rule::Unchanged]),
        level: measured.level(round),
        error_of_seeds: error(&SEEDS),
        error_of_mix: error(&MIX),
    }
}

fn operator_row((name, passed): (&String, &Passed)) -> OperatorRow {
    OperatorRow {
        name: name.clone(),
        made: passed.made,
        lives: passed.lives,
        no_gain: ended(passed, &[Rule::NoGain, Rule::Unchanged]),
    }
}

fn fault_row(name: &str, error: usize, measured: &Measured) -> FaultRow {
    let rows = measured.lineages.of(name);
    let found = found(rows, error as f64 / 100.0);
    FaultRow {
        error,
        missed: found
            .iter()
            .map(|of| of.named.made + of.unnamed.made - of.named.ended - of.unnamed.ended)
            .sum(),
        lives: rows.iter().filter(|row| row.round > 0 && row.lives()).count(),
        found,
    }
}

fn samples(study: &Study, measured: &Measured) -> Vec<Sample> {
    let (Some(seeds), Some(mix)) = (measured.of(&SEEDS).next(), measured.of(&MIX).next()) else {
        return Vec::new();
    };
    let answers = seeds.samples.iter().zip(&mix.samples);
    let sample = |(item, (seeds, mix)): (&evolutions::Item, (&String, &String))| Sample {
        round: item.round,
        asked: item.instruction.clone(),
        expected: item.answer.clone(),
        seeds: seeds.clone(),
        mix: mix.clone(),
    };
    study.shown(Domain::General).zip(answers).map(sample).collect()
}
