//! What a recipe that tunes has to show: its arms, the formats of the base, curves, answers, memory.

mod plots;
mod rows;

use camelid_eval::exact_match::accuracy;
use camelid_model::LlamaConfig;
use camelid_report::{Outcomes, ReportError, environment, outcome_bars, text_table};
use camelid_train::ExampleLoss;
use serde::Serialize;

pub use self::rows::{ArmRow, Curve, FormatRow, PlanRow, Sample};
use crate::judged::Judged;
use crate::scores::{loss_pair, share_correct, token_mean};
use crate::{Arm, BaseFormat, Experiment, Measured, RecipeError, Study, Tuned, Untuned, rounded};

/// Questions shown with their answers.
const SAMPLES: usize = 6;

/// What a recipe that tunes measured, in the rows of its report.
#[derive(Debug, Clone, Serialize)]
pub struct Tuning {
    /// What each arm reached.
    pub arms: Vec<ArmRow>,
    /// Arms that were not run, and why.
    pub not_run: Vec<String>,
    /// Storage formats of the untuned base.
    pub formats: Vec<FormatRow>,
    /// Training loss by step.
    pub curves: Vec<Curve>,
    /// The tuned model's answers judged against the untuned base's.
    pub judged: Option<Judged>,
    /// Answers before and after.
    pub samples: Vec<Sample>,
    /// Memory by part, planned for each of the paper's scales.
    pub plans: Vec<PlanRow>,
}

impl Tuning {
    /// The rows of what was measured of the `chosen` of `all` arms; answers are the first one's.
    pub fn of(
        study: &Study,
        measured: &Measured,
        chosen: &[impl Arm],
        all: &[impl Arm],
        judged: Option<Judged>,
        plans: Vec<PlanRow>,
    ) -> Self {
        let left_out = |arm: &&_| !chosen.iter().any(|other| other.name() == Arm::name(*arm));
        let dense = measured.format(&BaseFormat::F32.name());
        Self {
            arms: chosen.iter().filter_map(|arm| arm_row(arm, measured)).collect(),
            not_run: all
                .iter()
                .filter(left_out)
                .map(|arm| format!("{} ({}; --all runs it)", arm.name(), arm.label()))
                .collect(),
            formats: measured.untuned.iter().filter_map(|format| format_row(format, dense?)).collect(),
            curves: measured.tuned.iter().map(curve).collect(),
            judged,
            samples: chosen.first().map_or_else(Vec::new, |arm| samples(study, measured, arm)),
            plans,
        }
    }

    /// The part of the page between the claims and the errata.
    ///
    /// # Errors
    /// A plot that cannot be drawn.
    pub fn body(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_filter("mib", |bytes: u64| format!("{:.1}", bytes as f64 / (1 << 20) as f64));
        environment.add_filter("within", |value: f64, error: f64| rounded(value, error));
        environment.add_filter("thousands", |count: u64| match count {
            1_000_000.. => format!("{:.1} M", count as f64 / 1e6),
            _ => format!("{:.0} k", count as f64 / 1e3),
        });
        environment.add_template("body", include_str!("body.html.j2"))?;
        let judged = |judged: &Judged| {
            outcome_bars(&[Outcomes { name: "tuned against base", counts: judged.wins_ties_losses }])
        };
        Ok(environment.get_template("body")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            plot_curves => plots::loss_curves(&self.curves)?,
            plot_formats => plots::error_against_bits(&self.formats)?,
            plot_matches => plots::matches(&self.arms)?,
            plot_memory => plots::weight_bytes(&self.arms)?,
            plot_judged => self.judged.as_ref().map_or(Ok(String::new()), judged)?,
            judged_words => self.judged.as_ref().map(Judged::words),
            plot_plans => plots::plans(&self.plans)?,
            part_colours => plots::part_colours(&self.plans),
        })?)
    }

    /// The arms as a table for a terminal, below what the judge found.
    pub fn text(&self) -> String {
        let percent = |share: Option<f64>, error: Option<f64>| {
            share.map_or("–".to_owned(), |share| rounded(100.0 * share, 100.0 * error.unwrap_or(0.0)))
        };
        let row = |arm: &ArmRow| {
            vec![
                arm.name.clone(),
                arm.seeds.len().to_string(),
                rounded(arm.loss_before, arm.loss_error),
                rounded(arm.loss_after, arm.loss_spread),
                percent(arm.match_before, arm.match_error),
                percent(arm.match_after, arm.match_error),
                format!("{:.0}", arm.tokens_per_second),
                format!("{:.0}", arm.peak_memory_mib),
            ]
        };
        let header =
            ["arm", "seeds", "loss before", "after", "match before, %", "after", "tokens/s", "peak MiB"];
        let judged = self
            .judged
            .as_ref()
            .map_or_else(String::new, |judged| format!("{} (judge: {})\n\n", judged.words(), judged.judge));
        judged + &text_table(&header, &self.arms.iter().map(row).collect::<Vec<_>>(), &[0])
    }
}

impl PlanRow {
    /// Planned memory of a step of `experiment` on a model of this shape.
    ///
    /// # Errors
    /// Adapter targets that cannot be understood.
    pub fn of(name: &str, experiment: &Experiment, model: &LlamaConfig) -> Result<Self, RecipeError> {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let plan = experiment.preflight(model, 0)?.plan;
        Ok(Self {
            name: name.to_owned(),
            parts: plan.parts().iter().map(|(name, bytes)| ((*name).to_owned(), gib(*bytes))).collect(),
            total: gib(plan.device_total()),
        })
    }
}

fn arm_row(arm: &impl Arm, measured: &Measured) -> Option<ArmRow> {
    let outcomes: Vec<&Tuned> = measured.seeds_of(arm).collect();
    let first = outcomes.first()?;
    let base = measured.base_of(arm)?;
    let mean = |value: &dyn Fn(&Tuned) -> f64| {
        outcomes.iter().map(|o| value(o)).sum::<f64>() / outcomes.len() as f64
    };
    let losses: Vec<f64> = outcomes.iter().map(|o| token_mean(&o.losses)).collect();
    let (low, high) =
        (losses.iter().copied().fold(f64::MAX, f64::min), losses.iter().copied().fold(0.0, f64::max));
    let has_questions = !first.answers.is_empty();
    Some(ArmRow {
        name: arm.name().to_owned(),
        label: arm.label().to_owned(),
        seeds: outcomes.iter().map(|o| o.seed).collect(),
        trainable: first.trainable,
        weight_bytes: base.weight_bytes,
        loss_before: token_mean(&base.losses),
        loss_error: loss_error(&base.losses)?,
        loss_after: mean(&|o| token_mean(&o.losses)),
        loss_spread: (high - low) / 2.0,
        match_before: has_questions.then(|| share_correct(&base.answers)),
        match_after: has_questions.then(|| mean(&|o| share_correct(&o.answers))),
        match_error: has_questions.then(|| mean(&|o| accuracy(&o.answers).map_or(0.0, |(_, error)| error))),
        tokens_per_second: mean(&|o| o.tokens_per_second),
        peak_memory_mib: outcomes.iter().map(|o| o.peak_memory_mib).fold(0.0, f64::max),
        seconds: mean(&|o| o.seconds),
    })
}

fn format_row(format: &Untuned, dense: &Untuned) -> Option<FormatRow> {
    let loss = token_mean(&format.text_losses);
    let errors = &format.layer_errors;
    Some(FormatRow {
        name: format.name.clone(),
        bits: format.bits,
        relative_error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
        loss,
        loss_error: loss_pair(&format.text_losses, &dense.text_losses)?.standard_error,
        perplexity: loss.exp(),
    })
}

fn curve(tuned: &Tuned) -> Curve {
    Curve { arm: tuned.arm.clone(), seed: tuned.seed, losses: tuned.step_losses.clone() }
}

/// Questions of different families where there are some, held-out prompts elsewhere.
fn samples(study: &Study, measured: &Measured, arm: &impl Arm) -> Vec<Sample> {
    let (Some(tuned), Some(base)) = (measured.seeds_of(arm).next(), measured.base_of(arm)) else {
        return Vec::new();
    };
    if study.questions.is_empty() {
        let replies = base.samples.iter().zip(&tuned.samples);
        return study
            .samples
            .iter()
            .zip(replies)
            .map(|(conversation, (before, after))| Sample {
                prompt: conversation.messages[0].content.clone(),
                expected: conversation.messages.get(1).map_or_else(String::new, |m| m.content.clone()),
                before: before.clone(),
                after: after.clone(),
            })
            .collect();
    }
    let answers = base.answers.iter().zip(&tuned.answers);
    study
        .questions
        .iter()
        .zip(answers)
        .step_by((study.questions.len() / SAMPLES).max(1))
        .take(SAMPLES)
        .map(|(question, (before, after))| Sample {
            prompt: question.turns.concat(),
            expected: question.reference.concat(),
            before: before.text.clone(),
            after: after.text.clone(),
        })
        .collect()
}

/// Standard error of a mean loss over the conversations.
fn loss_error(losses: &[ExampleLoss]) -> Option<f64> {
    let nothing: Vec<_> = losses.iter().map(|l| ExampleLoss { nll: 0.0, ..l.clone() }).collect();
    Some(loss_pair(losses, &nothing)?.standard_error)
}
