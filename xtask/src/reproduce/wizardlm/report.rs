//! From what was measured to the report.

use camelid_data::nano::Domain;
use camelid_evolve::{EvolveReport, Passed, Rule};
use camelid_recipe::evolved::{
    Arm, ArmRow, Design, Found, Measure, Measured, Score, Study, arms_html, arms_text, found,
};
use camelid_recipe::rounded;
use camelid_report::{Line, environment, line_chart, text_table};
use serde::Serialize;

use super::arms::{LAST_TOKENS, MIX, ROUNDS, SEEDS, SEEDS_TOKENS, all_arms};
use super::evidence::ended;
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
    pub operators: Vec<Eliminated>,
    /// What the rules found, by the evolver's share of errors in percent.
    pub faults: Vec<FaultRow>,
    /// Instructions with answers.
    pub samples: Vec<Sample>,
}

/// What became of the evolutions of a round or an operator.
#[derive(Debug, Clone, Serialize)]
pub struct Eliminated {
    /// The round or the operator.
    pub name: String,
    /// Evolutions made.
    pub made: usize,
    /// Those that live.
    pub lives: usize,
    /// Those that ended because nothing was gained.
    pub no_gain: usize,
}

/// One round of the main evolution.
#[derive(Debug, Clone, Serialize)]
pub struct RoundRow {
    /// What became of its evolutions.
    #[serde(flatten)]
    pub eliminated: Eliminated,
    /// Mean level of its held-out instructions.
    pub level: f64,
    /// Percent of them that the model tuned on first instructions answers wrongly.
    pub error_of_seeds: Measure,
    /// Percent of them that the model tuned on all rounds answers wrongly.
    pub error_of_mix: Measure,
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
    pub fn of(study: &Study, design: &Design, measured: &Measured) -> Self {
        let ran = |arm: &&Arm| study.arms.iter().any(|other| other.name == arm.name);
        let sat = |domain: Domain| {
            let exam = design.exams.iter().find(|exam| exam.domain == domain);
            exam.map_or_else(Vec::new, |exam| ArmRow::all(measured, exam))
        };
        let report = EvolveReport::new(study.lineages.of("evolved"));
        let right = measured.untuned.iter().filter(|mark| mark.right).count();
        let every = all_arms();
        let not_run = every.iter().filter(|arm| !ran(arm));
        Self {
            general: sat(Domain::General),
            arithmetic: sat(Domain::Arithmetic),
            not_run: not_run.map(|arm| format!("{} ({})", arm.name, arm.label)).collect(),
            untuned: 100.0 * right as f64 / measured.untuned.len().max(1) as f64,
            rounds: report.rounds.iter().map(|(round, passed)| round_row(*round, passed, measured)).collect(),
            operators: report.operators.iter().map(|(name, passed)| eliminated(name, passed)).collect(),
            faults: [5, 20, 50].map(|error| fault_row(error, measured)).to_vec(),
            samples: samples(study, measured),
        }
    }

    /// Percent right by round of the instruction, a line an arm.
    fn by_round(&self) -> anyhow::Result<String> {
        let shown = [&SEEDS, &SEEDS_TOKENS, &MIX, &ROUNDS[0], &ROUNDS[3], &LAST_TOKENS].map(|arm| arm.name);
        let rows = self.general.iter().filter(|row| shown.contains(&row.name.as_str()));
        let points = |row: &ArmRow| {
            row.parts.iter().filter_map(|(round, part)| Some((*round as f64, part.as_ref()?.0))).collect()
        };
        let lines: Vec<Line> = rows.map(|row| Line { name: &row.name, points: points(row) }).collect();
        Ok(line_chart(&lines, "round that the instruction comes from", "percent right")?)
    }
}

impl Shown for Details {
    fn text(&self) -> String {
        let row = |error: usize, of: &Found| {
            let precision = of.precision().map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share));
            let count = |of: camelid_recipe::evolved::Count| format!("{} of {}", of.ended, of.made);
            vec![format!("{error} %, {}", of.name), count(of.named), count(of.unnamed), precision]
        };
        let faults: Vec<_> =
            self.faults.iter().flat_map(|at| at.found.iter().map(|of| row(at.error, of))).collect();
        format!(
            "{}\n{}\n{}",
            arms_text("percent right", &self.general),
            arms_text("percent right, sums", &self.arithmetic),
            text_table(&["faults", "found", "worded otherwise, found", "precision, %"], &faults, &[0])
        )
    }

    fn body(&self) -> anyhow::Result<String> {
        let mut environment = environment();
        environment.add_filter("within", |value: f64, error: f64| rounded(value, error));
        environment.add_template("body", include_str!("body.html.j2"))?;
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            general => arms_html(&self.general)?,
            arithmetic => arms_html(&self.arithmetic)?,
            plot_rounds => self.by_round()?,
        })?)
    }
}

fn eliminated(name: &str, passed: &Passed) -> Eliminated {
    let no_gain = ended(passed, &[Rule::NoGain, Rule::Unchanged]);
    Eliminated { name: name.to_owned(), made: passed.made, lives: passed.lives, no_gain }
}

fn round_row(round: usize, passed: &Passed, measured: &Measured) -> RoundRow {
    let error = |arm: &Arm| {
        let right = measured.mean(arm, Score::Greedy, |item| item.round == round)?;
        Some((100.0 - right.mean, right.standard_error))
    };
    RoundRow {
        eliminated: eliminated(&round.to_string(), passed),
        level: measured.level(Domain::General, round),
        error_of_seeds: error(&SEEDS),
        error_of_mix: error(&MIX),
    }
}

fn fault_row(error: usize, measured: &Measured) -> FaultRow {
    let rows = measured.lineages.of(&format!("faulty-{error}"));
    let found = found(rows, error as f64 / 100.0);
    let missed = |of: &Found| of.named.made + of.unnamed.made - of.named.ended - of.unnamed.ended;
    let lives = rows.iter().filter(|row| row.round > 0 && row.lives()).count();
    FaultRow { error, missed: found.iter().map(missed).sum(), lives, found }
}

fn samples(study: &Study, measured: &Measured) -> Vec<Sample> {
    let (Some(seeds), Some(mix)) = (measured.of(&SEEDS).next(), measured.of(&MIX).next()) else {
        return Vec::new();
    };
    let answers = seeds.samples.iter().zip(&mix.samples);
    let sample = |(item, (seeds, mix)): (&camelid_recipe::evolved::Item, (&String, &String))| Sample {
        round: item.round,
        asked: item.instruction.clone(),
        expected: item.answer.clone(),
        seeds: seeds.clone(),
        mix: mix.clone(),
    };
    study.answered(Domain::General).zip(answers).map(sample).collect()
}
