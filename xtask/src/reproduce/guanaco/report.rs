//! From what was measured to the report.

use std::path::PathBuf;
use std::time::Instant;

use camelid_eval::exact_match::accuracy;
use camelid_kernels::device_label;
use camelid_recipe::claims::ClaimsFile;
use camelid_recipe::{ClaimRow, Report, RunFacts, rounded};
use camelid_report::{Outcomes, environment, outcome_bars, text_table};
use serde::Serialize;

use super::arms::{self, Arm};
use super::evidence::{Measured, loss_pair, share_correct};
use super::judged::Judged;
use super::measure::{ArmOutcome, FormatOutcome, token_mean};
use super::rows::{ArmRow, Curve, FormatRow, PlanRow, Sample};
use super::scale::Scale;
use super::setup::{self, Study};
use super::{GuanacoArguments, plots};

/// Conversations or questions shown with their answers.
const SAMPLES: usize = 6;

/// What the recipe measured.
#[derive(Debug, Clone, Serialize)]
struct Details {
    /// What each arm reached.
    arms: Vec<ArmRow>,
    /// Arms that were not run, and why.
    not_run: Vec<String>,
    /// Storage formats of the untuned base.
    formats: Vec<FormatRow>,
    /// Training loss by step.
    curves: Vec<Curve>,
    /// The tuned model's answers judged against the untuned base's.
    judged: Option<Judged>,
    /// Answers before and after.
    samples: Vec<Sample>,
    /// Memory by part, planned for each scale.
    plans: Vec<PlanRow>,
}

/// Decides the claims, prints the report and writes it; returns the path of its page.
#[expect(clippy::too_many_arguments, reason = "each is said once, by the one caller")]
pub fn report(
    study: &Study,
    claims: &ClaimsFile,
    measured: &Measured,
    chosen: &[Arm],
    judged: Option<Judged>,
    arguments: &GuanacoArguments,
    started: Instant,
    reused_arms: usize,
) -> anyhow::Result<PathBuf> {
    let scale = arguments.scale;
    // The test size answers for nano.
    let tested_as = if scale == Scale::Check { Scale::Nano.name() } else { scale.name() };
    let evidence = measured.evidence();
    let decided = |claim: &camelid_recipe::claims::Claim| {
        ClaimRow::decided(claim, evidence.get(claim.id.as_str()), tested_as, scale.is_the_papers())
    };
    let report = Report {
        recipe: "guanaco".to_owned(),
        scale: scale.name().to_owned(),
        command: arguments.command(),
        run: RunFacts::of(started, reused_arms, &device_label(&study.device)),
        paper: claims.paper.clone(),
        claims: claims.claims.iter().map(decided).collect(),
        errata: claims.errata.clone(),
        inputs: study.opened.about.clone(),
        details: Details {
            arms: chosen.iter().filter_map(|arm| arm_row(*arm, measured)).collect(),
            not_run: not_run(chosen),
            formats: measured.formats.iter().filter_map(|f| format_row(f, measured)).collect(),
            curves: measured.arms.iter().map(curve).collect(),
            judged,
            samples: samples(study, measured),
            plans: paper_plans()?,
        },
        settings: study.comparison.experiment.to_toml()?,
    };
    print(&report);
    Ok(report.write(&study.comparison.folder, &body(&report.details)?)?)
}

/// The part of the page between the claims and the errata.
fn body(details: &Details) -> anyhow::Result<String> {
    let mut environment = environment();
    environment.add_filter("mib", |bytes: u64| format!("{:.1}", bytes as f64 / (1 << 20) as f64));
    environment.add_filter("within", |value: f64, error: f64| rounded(value, error));
    environment.add_filter("thousands", |count: u64| match count {
        1_000_000.. => format!("{:.1} M", count as f64 / 1e6),
        _ => format!("{:.0} k", count as f64 / 1e3),
    });
    environment.add_template("body.html", include_str!("body.html.j2"))?;
    Ok(environment.get_template("body.html")?.render(minijinja::context! {
        report => minijinja::Value::from(minijinja::value::Serde(details)),
        plot_curves => plots::loss_curves(&details.curves)?,
        plot_formats => plots::error_against_bits(&details.formats)?,
        plot_matches => plots::matches(&details.arms)?,
        plot_memory => plots::weight_bytes(&details.arms)?,
        plot_judged => details.judged.as_ref().map_or(Ok(String::new()), |judged| {
            outcome_bars(&[Outcomes { name: "tuned against base", counts: judged.wins_ties_losses }])
        })?,
        judged_words => details.judged.as_ref().map(Judged::words),
        plot_plans => plots::plans(&details.plans)?,
    })?)
}

/// Prints the verdicts and the arms.
fn print(report: &Report<Details>) {
    println!("\n{}", report.verdicts_text());
    if let Some(judged) = &report.details.judged {
        println!("\n{} (judge: {})", judged.words(), judged.judge);
    }
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
    let header = ["arm", "seeds", "loss before", "after", "match before, %", "after", "tokens/s", "peak MiB"];
    println!("\n{}", text_table(&header, &report.details.arms.iter().map(row).collect::<Vec<_>>(), &[0]));
}

/// The plans of the paper's scales.
fn paper_plans() -> anyhow::Result<Vec<PlanRow>> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let row = |scale: Scale| {
        let plan = setup::experiment(scale, None)?.memory_plan(&setup::shape(scale))?;
        Ok(PlanRow {
            name: format!("LLaMA {}", scale.name().to_uppercase()),
            parts: plan.parts().iter().map(|(name, bytes)| ((*name).to_owned(), gib(*bytes))).collect(),
            total: gib(plan.device_total()),
        })
    };
    [Scale::B7, Scale::B13, Scale::B33, Scale::B65].into_iter().map(row).collect()
}

fn arm_row(arm: Arm, measured: &Measured) -> Option<ArmRow> {
    let outcomes: Vec<&ArmOutcome> = measured.arms.iter().filter(|o| o.arm == arm.name).collect();
    let first = outcomes.first()?;
    let base = measured.formats.iter().find(|f| f.name == arm.base.name())?;
    let mean = |value: &dyn Fn(&ArmOutcome) -> f64| {
        outcomes.iter().map(|o| value(o)).sum::<f64>() / outcomes.len() as f64
    };
    let losses: Vec<f64> = outcomes.iter().map(|o| token_mean(&o.losses)).collect();
    let (low, high) =
        (losses.iter().copied().fold(f64::MAX, f64::min), losses.iter().copied().fold(0.0, f64::max));
    let has_questions = !first.answers.is_empty();
    Some(ArmRow {
        name: arm.name.to_owned(),
        label: arm.label.to_owned(),
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

fn format_row(format: &FormatOutcome, measured: &Measured) -> Option<FormatRow> {
    let dense = measured.formats.iter().find(|f| f.name == arms::Base::F32.name())?;
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

fn curve(outcome: &ArmOutcome) -> Curve {
    Curve { label: format!("{} seed {}", outcome.arm, outcome.seed), losses: outcome.step_losses.clone() }
}

/// Questions of different families at nano, held-out prompts elsewhere.
fn samples(study: &Study, measured: &Measured) -> Vec<Sample> {
    let Some(tuned) = measured.arms.iter().find(|o| o.arm == arms::QLORA.name) else { return Vec::new() };
    let Some(base) = measured.formats.iter().find(|f| f.name == arms::QLORA.base.name()) else {
        return Vec::new();
    };
    if study.questions.is_empty() {
        return study
            .samples
            .iter()
            .zip(base.samples.iter().zip(&tuned.samples))
            .map(|(conversation, (before, after))| Sample {
                prompt: conversation.messages[0].content.clone(),
                expected: conversation.messages.get(1).map_or_else(String::new, |m| m.content.clone()),
                before: before.clone(),
                after: after.clone(),
            })
            .collect();
    }
    let every = (study.questions.len() / SAMPLES).max(1);
    study
        .questions
        .iter()
        .zip(base.answers.iter().zip(&tuned.answers))
        .step_by(every)
        .take(SAMPLES)
        .map(|(question, (before, after))| Sample {
            prompt: question.turns.concat(),
            expected: question.reference.concat(),
            before: before.text.clone(),
            after: after.text.clone(),
        })
        .collect()
}

fn not_run(chosen: &[Arm]) -> Vec<String> {
    arms::ALL
        .iter()
        .filter(|arm| !chosen.contains(arm))
        .map(|arm| format!("{} ({}; --all runs it)", arm.name, arm.label))
        .collect()
}

/// Standard error of a mean loss over the conversations.
fn loss_error(losses: &[camelid_train::ExampleLoss]) -> Option<f64> {
    let nothing: Vec<_> =
        losses.iter().map(|l| camelid_train::ExampleLoss { nll: 0.0, ..l.clone() }).collect();
    Some(loss_pair(losses, &nothing)?.standard_error)
}
