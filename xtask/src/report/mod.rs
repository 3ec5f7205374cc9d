//! The report of a reproduction: `report.json` for machines, `report.html` for
//! people, both made from one [`Report`].

pub mod plots;

use std::path::{Path, PathBuf};

use camelid_eval::claims::{Claim, Decision, Erratum, Evidence, Paper, Verdict};
use camelid_files::write_whole;
use camelid_report::{Outcomes, PAGE_STYLE, environment, outcome_bars};
use serde::{Deserialize, Serialize};

use crate::reproduce::Comparison;

/// Everything a report says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The recipe, e.g. `guanaco`.
    pub recipe: String,
    /// The scale it ran at.
    pub scale: String,
    /// The command that repeats it.
    pub command: String,
    /// What the run used: date, versions, machine, time.
    pub run: RunFacts,
    /// The paper.
    pub paper: Paper,
    /// Claim by claim.
    pub claims: Vec<ClaimRow>,
    /// Known disagreements between paper and code.
    pub errata: Vec<Erratum>,
    /// The base model and the data, as short lines.
    pub inputs: Vec<String>,
    /// What each arm reached.
    pub arms: Vec<ArmRow>,
    /// Arms that were not run, and why.
    pub not_run: Vec<String>,
    /// Storage formats of the untuned base.
    pub formats: Vec<FormatRow>,
    /// Training loss by step.
    pub curves: Vec<Curve>,
    /// The tuned model's answers judged against the untuned base's.
    pub judged: Option<Comparison>,
    /// Answers before and after.
    pub samples: Vec<Sample>,
    /// Memory by part, planned for each scale.
    pub plans: Vec<PlanRow>,
    /// The resolved settings as TOML.
    pub settings: String,
}

/// Where and when a report was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFacts {
    /// Seconds since the Unix epoch.
    pub finished_unix: u64,
    /// Date of the same, UTC, `YYYY-MM-DD`.
    pub date: String,
    /// Version of Camelid.
    pub camelid: String,
    /// Version of burn and its device.
    pub backend: String,
    /// Processor, cores, memory.
    pub machine: String,
    /// Seconds from start to report; finished arms that were reused count nothing.
    pub seconds: f64,
    /// Arms taken from an earlier run of the same settings.
    pub reused_arms: usize,
}

/// One row of the claims table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimRow {
    /// The claim.
    pub claim: Claim,
    /// Its verdict.
    pub decision: Decision,
    /// `held`, `direction`, `refuted` or `open`, for the page's colours.
    pub class: String,
    /// The verdict in words.
    pub words: String,
    /// What was measured.
    pub evidence: Option<Evidence>,
}

impl ClaimRow {
    /// The verdict that `evidence`, gathered at `scale`, supports ([`Claim::decide`]).
    pub fn decided(claim: &Claim, evidence: Option<&Evidence>, scale: &str, paper_scale: bool) -> Self {
        let decision = claim.decide(evidence, scale, paper_scale);
        let class = match decision.verdict {
            Verdict::Held => "held",
            Verdict::HeldInDirection => "direction",
            Verdict::RefutedHere => "refuted",
            Verdict::NotTestable => "open",
        };
        Self {
            claim: claim.clone(),
            class: class.to_owned(),
            words: decision.verdict.words().to_owned(),
            decision,
            evidence: evidence.cloned(),
        }
    }
}

/// One arm, averaged over its seeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArmRow {
    /// Name, e.g. `qlora-nf4-dq`.
    pub name: String,
    /// What it is, in words.
    pub label: String,
    /// Seeds that were run.
    pub seeds: Vec<u64>,
    /// Trainable parameters.
    pub trainable: usize,
    /// Bytes of the model's weights as stored.
    pub weight_bytes: u64,
    /// Held-out loss before tuning, nats per supervised token.
    pub loss_before: f64,
    /// Held-out loss after tuning, mean over seeds.
    pub loss_after: f64,
    /// Half the range over seeds (zero with one seed).
    pub loss_spread: f64,
    /// Share of exact matches before tuning, where the scale has such tasks.
    pub match_before: Option<f64>,
    /// The same after tuning, mean over seeds.
    pub match_after: Option<f64>,
    /// Standard error of one seed's `match_after` over its questions.
    pub match_error: Option<f64>,
    /// Median training speed.
    pub tokens_per_second: f64,
    /// Peak resident memory of the process while the arm ran, MiB.
    pub peak_memory_mib: f64,
    /// Training seconds, mean over seeds.
    pub seconds: f64,
}

/// One storage format of the untuned base.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FormatRow {
    /// E.g. `nf4-dq`.
    pub name: String,
    /// Stored bits per parameter of the packed layers.
    pub bits: f64,
    /// Root-mean-square error over root mean square, mean over layers.
    pub relative_error: f64,
    /// Loss on held-out text, nats per token.
    pub loss: f64,
    /// Standard error of its difference to f32.
    pub loss_error: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
}

/// A training-loss curve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    /// Arm and seed.
    pub label: String,
    /// Loss of steps 1, 2, 3, …
    pub losses: Vec<f64>,
}

/// One prompt with its answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// What was asked.
    pub prompt: String,
    /// The right answer or the human reference, where there is one.
    pub expected: String,
    /// The untuned base's answer.
    pub before: String,
    /// The tuned model's answer.
    pub after: String,
}

/// Planned memory of a QLoRA step at one scale, in GiB by part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanRow {
    /// Scale or model.
    pub name: String,
    /// Part → GiB.
    pub parts: Vec<(String, f64)>,
    /// Sum.
    pub total: f64,
}

/// Writes `report.json` and `report.html` into `directory`, each whole or not
/// at all, and returns the path of the page.
///
/// # Errors
/// When a plot cannot be drawn or a file cannot be written.
pub fn write(report: &Report, directory: &Path) -> anyhow::Result<PathBuf> {
    let json = serde_json::to_vec_pretty(report)?;
    write_whole(&directory.join("report.json"), &json)?;
    let page = directory.join("report.html");
    write_whole(&page, render(report)?.as_bytes())?;
    Ok(page)
}

fn render(report: &Report) -> anyhow::Result<String> {
    let mut environment = environment();
    environment.add_filter("mib", |bytes: u64| format!("{:.1}", bytes as f64 / (1 << 20) as f64));
    environment.add_template("report", include_str!("report.html.j2"))?;
    let page = environment.get_template("report")?.render(minijinja::context! {
        report => minijinja::Value::from(minijinja::value::Serde(report)),
        style => PAGE_STYLE,
        plot_curves => plots::loss_curves(&report.curves)?,
        plot_formats => plots::error_against_bits(&report.formats)?,
        plot_matches => plots::matches(&report.arms)?,
        plot_memory => plots::weight_bytes(&report.arms)?,
        plot_judged => report.judged.as_ref().map_or(Ok(String::new()), |judged| {
            outcome_bars(&[Outcomes { name: "tuned against base", counts: judged.wins_ties_losses }])
        })?,
        judged_words => report.judged.as_ref().map(Comparison::words),
        plot_plans => plots::plans(&report.plans)?,
    })?;
    Ok(page)
}

/// Prints the verdicts and the arms.
pub fn print(report: &Report) {
    println!("\n{} at scale {}\n", report.paper.title, report.scale);
    for row in &report.claims {
        println!("{:<27} {}", format!("[{}]", row.words), row.claim.title);
        println!("{:<27} {}", "", row.decision.because);
    }
    if let Some(judged) = &report.judged {
        println!("\n{} (judge: {})", judged.words(), judged.judge);
    }
    println!(
        "\n{:<18} {:>17} {:>15} {:>10} {:>10}",
        "arm", "held-out loss", "exact match", "tokens/s", "peak MiB"
    );
    for arm in &report.arms {
        let matches = match (arm.match_before, arm.match_after) {
            (Some(before), Some(after)) => format!("{:.1} → {:.1} %", before * 100.0, after * 100.0),
            _ => "–".to_owned(),
        };
        println!(
            "{:<18} {:>17} {:>15} {:>10.0} {:>10.0}",
            arm.name,
            format!("{:.4} → {:.4}", arm.loss_before, arm.loss_after),
            matches,
            arm.tokens_per_second,
            arm.peak_memory_mib
        );
    }
}
