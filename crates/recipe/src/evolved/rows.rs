//! Arms over their seeds, in the rows of a report.

use camelid_report::{COLOURS, GREY, ReportError, bar, environment, horizontal_bars, label, text_table};
use plotters::prelude::{BLACK, PathElement};
use serde::Serialize;

use super::arm::Arm;
use super::exam::{DRAWS, TEMPERATURE};
use super::lineages::{Exam, Part};
use super::measured::{Measured, Score};
use crate::compare::Difference;
use crate::rounded;

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
    /// One of several drawn answers is right.
    pub drawn_often: Measure,
    /// Of programs, how many were drawn for a problem.
    pub programs: Option<u64>,
    /// What the parts of the exam are.
    pub part: Part,
    /// Greedy answers that are right, by part of the exam.
    pub parts: Vec<(usize, Measure)>,
    /// Seconds of training, mean over seeds.
    pub seconds: f64,
}

impl ArmRow {
    /// The rows of the arms that sat an exam, in their order.
    pub fn all(measured: &Measured, exam: &Exam) -> Vec<Self> {
        let sat = measured.arms.iter().filter(|arm| arm.exam == exam.domain);
        sat.map(|arm| Self::of(arm, measured, exam)).collect()
    }

    /// An arm on an exam.
    pub fn of(arm: &Arm, measured: &Measured, exam: &Exam) -> Self {
        let seeds: Vec<_> = measured.of(arm).collect();
        let n = seeds.len().max(1);
        let measure = |of: Option<Difference>| of.map(|of| (of.mean, of.standard_error));
        let part = |at: usize| match exam.by {
            Part::Round => measured.mean(arm, Score::Greedy, |item| item.round == at),
            Part::Level => measured.mean(arm, Score::Greedy, |item| item.level == at),
            Part::Length => measured.mean(arm, Score::Greedy, |item| item.steps == at),
        };
        Self {
            name: arm.name.to_owned(),
            label: arm.label.to_owned(),
            seeds: seeds.len(),
            rows: seeds.iter().map(|tuned| tuned.rows).sum::<usize>() / n,
            tokens: seeds.iter().map(|tuned| tuned.tokens).sum::<usize>() / n,
            right: measure(measured.mean(arm, Score::Greedy, |_| true)),
            drawn: measure(measured.mean(arm, Score::Drawn(1), |_| true)),
            drawn_often: measure(measured.mean(arm, Score::Drawn(DRAWS), |_| true)),
            programs: seeds.first().and_then(|tuned| Some(tuned.marks.iter().find_map(|mark| mark.drawn)?.n)),
            part: exam.by,
            parts: exam.parts.clone().map(|at| (at, measure(part(at)))).collect(),
            seconds: seeds.iter().map(|tuned| tuned.seconds).sum::<f64>() / n as f64,
        }
    }
}

/// A percentage in the digits that its error supports, two behind the point at most.
fn percent(value: f64, error: f64) -> String {
    rounded(value, error.max(0.1))
}

fn in_short(measure: &Measure) -> String {
    measure.map_or("–".to_owned(), |(mean, error)| percent(mean, error))
}

fn with_error(measure: &Measure) -> String {
    measure.map_or("–".to_owned(), |(mean, error)| {
        format!("{} ± {}", percent(mean, error), percent(error, error))
    })
}

/// The rows as a table for a terminal; nothing of none.
pub fn arms_text(name: &str, rows: &[ArmRow]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let parts: Vec<String> = first.parts.iter().map(|(at, _)| format!("{} {at}", first.part)).collect();
    let mut header = vec![name, "seeds", "rows", "tokens", "all"];
    header.extend(parts.iter().map(String::as_str));
    let often = format!("of {DRAWS} drawn");
    header.extend(["drawn", &often]);
    let row = |row: &ArmRow| {
        let counts = [row.seeds, row.rows, row.tokens].map(|count| count.to_string());
        let mut cells = vec![row.name.clone()];
        cells.extend(counts);
        cells.push(with_error(&row.right));
        cells.extend(row.parts.iter().map(|(_, part)| in_short(part)));
        cells.extend([with_error(&row.drawn), with_error(&row.drawn_often)]);
        cells
    };
    text_table(&header, &rows.iter().map(row).collect::<Vec<_>>(), &[0])
}

/// The rows as a table and a plot for a page; nothing of none.
///
/// # Errors
/// A template that cannot be filled, a plot that cannot be drawn.
pub fn arms_html(rows: &[ArmRow]) -> Result<String, ReportError> {
    if rows.is_empty() {
        return Ok(String::new());
    }
    let mut environment = environment();
    environment.add_filter("within", percent);
    environment.add_template("arms", include_str!("arms.html.j2"))?;
    Ok(environment.get_template("arms")?.render(minijinja::context! {
        rows => minijinja::Value::from(minijinja::value::Serde(rows)),
        draws => DRAWS,
        temperature => TEMPERATURE,
        plot => score_bars(rows)?,
    })?)
}

/// Bars of greedy answers in colour and of one among several drawn in grey.
fn score_bars(arms: &[ArmRow]) -> Result<String, ReportError> {
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
