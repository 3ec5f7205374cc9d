//! From what was measured to the report.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use camelid_eval::claims::ClaimsFile;
use camelid_eval::exact_match::accuracy;

use super::arms::{self, Arm};
use super::evidence::{Measured, share_correct, token_mean};
use super::outcome::{ArmOutcome, FormatOutcome};
use super::study::Study;
use super::{GuanacoArguments, Scale, dry_run};
use crate::report::{ArmRow, ClaimRow, Curve, FormatRow, Report, RunFacts, Sample};

/// Conversations or questions shown with their answers.
const SAMPLES: usize = 6;

/// The report of a run.
pub fn report(
    study: &Study,
    claims: &ClaimsFile,
    measured: &Measured,
    chosen: &[Arm],
    arguments: &GuanacoArguments,
    started: Instant,
    reused_arms: usize,
) -> anyhow::Result<Report> {
    let scale = study.scale.name();
    // The test size answers for nano.
    let tested_as = if study.scale == Scale::Check { Scale::Nano.name() } else { scale };
    let evidence = measured.evidence();
    let claim_rows = claims
        .claims
        .iter()
        .map(|claim| {
            let evidence = evidence.get(claim.id.as_str());
            ClaimRow::decided(claim, evidence, tested_as, study.scale.is_the_papers())
        })
        .collect();
    let finished = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Ok(Report {
        recipe: "guanaco".to_owned(),
        scale: scale.to_owned(),
        command: command(arguments),
        run: RunFacts {
            finished_unix: finished,
            date: date(finished),
            camelid: env!("CARGO_PKG_VERSION").to_owned(),
            backend: "burn 0.22.1, flex (CPU)".to_owned(),
            machine: machine(),
            seconds: started.elapsed().as_secs_f64(),
            reused_arms,
        },
        paper: claims.paper.clone(),
        claims: claim_rows,
        errata: claims.errata.clone(),
        inputs: study.supplies.inputs.clone(),
        arms: chosen.iter().filter_map(|arm| arm_row(*arm, measured)).collect(),
        not_run: not_run(chosen),
        formats: measured.formats.iter().filter_map(|f| format_row(f, measured)).collect(),
        curves: measured.arms.iter().map(curve).collect(),
        judged: None,
        samples: samples(study, measured),
        plans: dry_run::paper_plans()?,
        settings: toml::to_string(&study.experiment)?,
    })
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
        weight_bytes: first.weight_bytes,
        loss_before: token_mean(&base.losses),
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
        loss_error: super::evidence::loss_pair(&format.text_losses, &dense.text_losses)?.standard_error,
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
    if study.supplies.questions.is_empty() {
        return study
            .supplies
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
    let every = (study.supplies.questions.len() / SAMPLES).max(1);
    study
        .supplies
        .questions
        .iter()
        .zip(base.answers.iter().zip(&tuned.answers))
        .step_by(every)
        .take(SAMPLES)
        .map(|(question, (before, after))| Sample {
            prompt: question.messages.last().map_or_else(String::new, |m| m.content.clone()),
            expected: question.expected.clone(),
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

/// The command that repeats a run, without this machine's paths.
fn command(arguments: &GuanacoArguments) -> String {
    let mut command = "cargo xtask reproduce guanaco".to_owned();
    if arguments.scale != Scale::Nano {
        command += &format!(" --scale {}", arguments.scale.name());
    }
    if arguments.all {
        command += " --all";
    }
    if let Some(seeds) = arguments.seeds {
        command += &format!(" --seeds {seeds}");
    }
    if arguments.base.is_some() {
        command += " --base PATH";
    }
    if let Some(judge) = &arguments.judge {
        command += &format!(" --judge {}=MODEL", judge.name);
    }
    command
}

/// Processor, cores and memory of this machine.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let processor =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(String::new(), |kib| format!(", {:.0} GiB", kib / f64::from(1 << 20)));
    format!("{processor}, {cores} cores{memory}")
}

/// `YYYY-MM-DD` of a Unix time, UTC (days to civil date, Hinnant's algorithm).
pub fn date(unix: u64) -> String {
    let days = (unix / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_of_known_times() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_684_800_000), "2023-05-23");
    }
}
