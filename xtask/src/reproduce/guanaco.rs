//! Guanaco (QLoRA): the same base tuned on the same conversations in several
//! ways, each measured before and after, and a verdict for each claim.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_eval::claims::ClaimsFile;

use super::arms::{self, Arm};
use super::evidence::Measured;
use super::judged::{self, Compared};
use super::outcome::{self, ArmOutcome};
use super::study::Study;
use super::{Ending, GuanacoArguments, Scale, dry_run, formats, study, summary, tune};
use crate::report::{self, Report};

/// Name of the step before all arms, which runs in a process like them.
const PRETRAINING: &str = "pretraining";

/// Runs the recipe, or one arm of it.
pub fn reproduce(arguments: &GuanacoArguments) -> anyhow::Result<Ending> {
    if arguments.scale.is_made_up() && arguments.base.is_some() {
        bail!("--base has no place at scale {}: its base is made here", arguments.scale.name());
    }
    if arguments.dry_run {
        return dry_run::print(arguments);
    }
    if let Some(name) = &arguments.only_arm {
        if name == PRETRAINING {
            return tune::pretrain(arguments);
        }
        let arm = Arm::named(name).with_context(|| format!("there is no arm named `{name}`"))?;
        return tune::arm(arguments, arm, arguments.only_seed.unwrap_or(0));
    }
    let started = Instant::now();
    let interrupted = watch_for_interrupt()?;
    dry_run::refuse_what_cannot_fit(arguments.scale, &chosen_arms(arguments))?;

    // 1. The base model and the conversations; nano pre-trains its base here, once.
    if !study::base_exists(arguments)? {
        println!("{PRETRAINING:<16} the nano base, once");
        if !in_a_process(arguments, PRETRAINING, 0)? {
            return Ok(say_how_to_go_on(arguments));
        }
    }
    let study = Study::prepare(arguments)?;
    if arguments.fresh {
        study.forget_outcomes()?;
    }

    // 2. The untuned base in every storage format.
    let chosen = chosen_arms(arguments);
    let names: Vec<&str> = chosen.iter().map(|arm| arm.name).collect();
    println!("arms: {} ({} of {}; --all runs every arm)", names.join(", "), names.len(), arms::ALL.len());
    let Some(formats) = formats::measure(&study, &chosen, &interrupted)? else {
        return Ok(say_how_to_go_on(arguments));
    };

    // 3. Each arm, each seed, in a process of its own, so that its peak memory is its own.
    let mut outcomes = Vec::new();
    let mut reused = 0;
    for arm in &chosen {
        for seed in 0..seeds(arguments, *arm) {
            if interrupted.load(Ordering::SeqCst) {
                return Ok(say_how_to_go_on(arguments));
            }
            let path = study.outcome_path(*arm, seed)?;
            if let Some(finished) = outcome::reuse::<ArmOutcome>(&path, &study.arm_key(*arm, seed)?) {
                println!("{:<16} seed {seed}: reused from an earlier run", arm.name);
                outcomes.push(finished);
                reused += 1;
                continue;
            }
            println!("{:<16} seed {seed}: {}", arm.name, arm.label);
            if !in_a_process(arguments, arm.name, seed)? {
                return Ok(say_how_to_go_on(arguments));
            }
            let finished = outcome::reuse::<ArmOutcome>(&path, &study.arm_key(*arm, seed)?)
                .with_context(|| format!("arm `{}` ended without leaving {}", arm.name, path.display()))?;
            outcomes.push(finished);
        }
    }

    // 4. Claim by claim, and the tuned model's answers beside the base's.
    let claims = ClaimsFile::read(&workspace().join("papers/qlora/claims.toml"))?;
    let measured = Measured {
        formats: &formats,
        arms: &outcomes,
        paged_difference: study.paged_difference(&outcomes)?,
        requantised: study.supplies.requantised,
    };
    let judged = match judged::compare(&study, &measured, arguments, &interrupted)? {
        Compared::Interrupted => return Ok(say_how_to_go_on(arguments)),
        Compared::Nothing => None,
        Compared::Done(comparison) => Some(comparison),
    };
    let report = summary::report(&study, &claims, &measured, &chosen, arguments, started, reused)?;
    let report = Report { judged, ..report };
    let page = report::write(&report, &study.folder)?;
    report::print(&report);
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// The arms that fit the default time, or all.
pub fn chosen_arms(arguments: &GuanacoArguments) -> Vec<Arm> {
    if arguments.all {
        return arms::ALL.to_vec();
    }
    match arguments.scale {
        Scale::Nano | Scale::Check => vec![arms::QLORA, arms::LORA, arms::FULL, arms::ATTENTION, arms::PAGED],
        Scale::Smol => vec![arms::QLORA, arms::LORA],
        _ => vec![arms::QLORA],
    }
}

/// How many seeds an arm is run with. Whether QLoRA equals LoRA is a question of the spread
/// between seeds, so these two get three wherever they are quick.
fn seeds(arguments: &GuanacoArguments, arm: Arm) -> u64 {
    let compared = arm == arms::QLORA || arm == arms::LORA;
    arguments.seeds.unwrap_or(match arguments.scale {
        Scale::Nano if arguments.all || compared => 3,
        _ => 1,
    })
}

/// Runs one arm in a child process; `false` when it was interrupted.
fn in_a_process(arguments: &GuanacoArguments, arm: &str, seed: u64) -> anyhow::Result<bool> {
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    let mut child = Command::new(program);
    child.args(["reproduce", "guanaco", "--scale", arguments.scale.name()]);
    child.args(["--only-arm", arm, "--only-seed", &seed.to_string()]);
    if let Some(base) = &arguments.base {
        child.arg("--base").arg(base);
    }
    if let Some(runs) = &arguments.runs {
        child.arg("--runs").arg(runs);
    }
    if arguments.offline {
        child.arg("--offline");
    }
    let status = child.status().with_context(|| format!("cannot start the process of arm `{arm}`"))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(130) => Ok(false),
        _ => bail!(
            "arm `{arm}` (seed {seed}) failed: {status}; what it had finished is kept, run again to go on"
        ),
    }
}

/// Ctrl-C reaches the arm's process too, which saves; this process notes the first and ends at
/// the second.
fn watch_for_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(interrupted)
}

fn say_how_to_go_on(arguments: &GuanacoArguments) -> Ending {
    let command = if arguments.fresh { "the same command without --fresh" } else { "the same command" };
    println!("interrupted; finished arms and the last checkpoint are kept, {command} goes on from there");
    Ending::Interrupted
}

/// The workspace's root, where `papers/` and `experiments/` lie.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
