//! WizardLM: easy instructions evolved round after round by a model whose errors are known, one base tuned on the
//! rows in several ways, each measured on held-out instructions of every round; and a verdict for each claim.

mod arms;
mod evidence;
mod evolutions;
mod evolver;
mod exam;
mod report;
mod rules;
mod study;

use std::time::Instant;

use anyhow::bail;
use camelid_recipe::{
    Children, EvolutionPlan, Experiment, ModelPrices, PRETRAINING, RunOptions, Study as Common,
    watch_for_interrupt,
};

use self::arms::{Arm, BOTH, MIX, SEEDS_TOKENS, all_arms, default_arms};
use self::evidence::Measured;
use self::evolutions::Sizes;
use self::report::Details;
use self::study::{Study, Tuned};
use super::Ending;
use super::scale::Scale;
use super::tuning::{Found, TuningArguments, part};

/// Seeds of an arm, where none are asked for.
const SEEDS: u64 = 5;
/// Evolutions that the rules of elimination are measured on.
const RULES_MEASURED_ON: [&str; 4] = ["evolved", "faulty-5", "faulty-20", "faulty-50"];

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &TuningArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let scale = arguments.scale;
    let experiment = arguments.experiment("wizardlm")?;
    if arguments.dry_run {
        arguments.print_plan(&experiment)?;
        if !scale.is_made_up() {
            let evolving = EvolutionPlan::wizardlm().budget(&ModelPrices::builtin()?);
            println!("\nmaking the data, as the paper did:\n{}", evolving.text());
        }
        return Ok(Ending::Finished);
    }
    if !scale.is_made_up() {
        bail!(
            "tune it with `camelid train experiments/wizardlm/{}.toml`; `--dry-run` shows what it takes",
            scale.name()
        );
    }
    let options = arguments.options()?;
    if let Some((part, seed)) = arguments.part() {
        return one_part(part, seed, experiment, &options, Sizes::of(scale));
    }
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);

    // 1. The base, pre-trained here on prose, once.
    if !Common::make_base(&experiment, &options, &children, part)? {
        return arguments.interrupted();
    }

    // 2. The evolutions, and the exams from held-out instructions.
    let (chosen, all) = (chosen(arguments), all_arms().len());
    println!("{} of {all} arms; --all runs every one", chosen.len());
    let study = Study::prepare(experiment, &options, Sizes::of(scale), chosen, &RULES_MEASURED_ON)?;
    if options.fresh {
        study.comparison.forget(&["arms"])?;
    }
    let untuned = study.untuned()?;

    // 3. Each arm, each seed, one on each core.
    let seeds = arguments.seeds.unwrap_or(if scale == Scale::Check { 1 } else { SEEDS });
    let seeded: Vec<(Arm, u64)> = study.arms.iter().map(|arm| (arm.clone(), seeds)).collect();
    let children = children.one_a_core();
    let Some(ran) = study.comparison.run::<_, Tuned>(&seeded, &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 4. Claim by claim.
    let measured = Measured { lineages: &study.lineages, untuned: &untuned, tuned: &ran.outcomes };
    let page = arguments.report(Found {
        recipe: "wizardlm",
        paper: "wizardlm",
        started,
        reused: ran.reused,
        device: &study.device,
        evidence: measured.evidence(),
        inputs: study.opened.about.clone(),
        details: Details::of(&study, &measured),
        settings: study.comparison.experiment.to_toml()?,
        folder: &study.comparison.folder,
    })?;
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// The arms that fit the default time, or all.
fn chosen(arguments: &TuningArguments) -> Vec<Arm> {
    match arguments.scale {
        _ if arguments.all => all_arms(),
        Scale::Check => vec![MIX, arms::SEEDS, SEEDS_TOKENS, BOTH],
        _ => default_arms(),
    }
}

/// The base's pre-training, or one arm.
fn one_part(
    part: &str,
    seed: u64,
    experiment: Experiment,
    options: &RunOptions,
    sizes: Sizes,
) -> anyhow::Result<Ending> {
    let finished = match part {
        PRETRAINING => Common::pretrain(&experiment, options)?,
        name => {
            let study = Study::prepare(experiment, options, sizes, vec![Arm::named(name)?], &[])?;
            study.tune(&study.arms[0], seed)?
        }
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}
