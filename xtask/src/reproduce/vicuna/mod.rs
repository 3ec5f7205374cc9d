//! Vicuna: raw pages cleaned, split and masked; one base tuned on them in several ways, each measured in
//! first and later turns; a context stretched; and a verdict for each claim.

mod arms;
mod context;
mod evidence;
mod exam;
mod pages;
mod report;
mod smol;
mod study;

use std::time::Instant;

use anyhow::bail;
use camelid_recipe::{Children, Experiment, PRETRAINING, RunOptions, Study as Common, watch_for_interrupt};

use self::arms::Arm;
use self::context::{Stage, Stretch};
use self::evidence::Measured;
use self::report::Details;
use self::study::Study;
use super::Ending;
use super::scale::Scale;
use super::tuning::{Found, TuningArguments, part};
use crate::workspace::workspace;

/// Seeds of an arm, where none are asked for.
const SEEDS: u64 = 3;

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &TuningArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let scale = arguments.scale;
    let file = match scale {
        Scale::B30 | Scale::B65 | Scale::B70 => {
            bail!("this recipe has the scales nano, smol, 7b, 13b and 33b")
        }
        Scale::Check | Scale::Nano | Scale::Smol => scale.name().to_owned(),
        // The settings of the weights that were published last on LLaMA.
        _ => format!("v1.3-{}", scale.name()),
    };
    let experiment = experiment(&file)?;
    arguments.refuse_judge(
        "nano questions have one right answer, and scale smol writes its answers to be judged by `camelid eval judge`",
    )?;
    if arguments.dry_run {
        return arguments.print_plan(&experiment);
    }
    if scale == Scale::Smol {
        return smol::reproduce(arguments, experiment);
    }
    if !scale.is_made_up() {
        bail!("tune it with `camelid train experiments/vicuna/{file}.toml`; `--dry-run` shows what it takes");
    }
    let (stretched, options) = (self::experiment(&format!("{file}-context"))?, arguments.options()?);
    if let Some((part, seed)) = arguments.part() {
        return one_part(part, seed, experiment, stretched, &options);
    }
    let seeds = arguments.seeds.unwrap_or(if scale == Scale::Check { 1 } else { SEEDS });
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);

    // 1. The base, pre-trained here on prose, once.
    if !Common::make_base(&experiment, &options, &children, part)? {
        return arguments.interrupted();
    }

    // 2. Raw pages, cleaned and split; what the arms are tuned on; the questions.
    let study = Study::prepare(experiment, &options)?;
    if options.fresh {
        study.comparison.forget(&["arms"])?;
    }
    let untuned = study.untuned()?;

    // 3. Each arm, each seed, on the same number of tokens, one on each core.
    let children = children.one_a_core();
    let seeded: Vec<(Arm, u64)> = study.arms.iter().map(|(arm, _)| (arm.clone(), seeds)).collect();
    let Some(ran) = study.comparison.run(&seeded, &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 4. The context, stretched by four.
    let stretch = Stretch::new(stretched, &options)?;
    let Some(context) = stretch.run(seeds, options.fresh, &children, &interrupted)? else {
        return arguments.interrupted();
    };

    // 5. Claim by claim.
    let measured = Measured { untuned: &untuned, tuned: &ran.outcomes, context: &context };
    let page = arguments.report(Found {
        recipe: "vicuna",
        paper: "vicuna",
        started,
        reused: ran.reused + context.reused,
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

/// The base's pre-training, one arm, or one stage of the context.
fn one_part(
    part: &str,
    seed: u64,
    experiment: Experiment,
    stretched: Experiment,
    options: &RunOptions,
) -> anyhow::Result<Ending> {
    let finished = match Stage::named(part) {
        _ if part == PRETRAINING => Common::pretrain(&experiment, options)?,
        Some(stage) => Stretch::new(stretched, options)?.tune(stage, seed)?,
        None => Study::of_part(experiment, options)?.tune(part, seed)?,
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}

/// `experiments/vicuna/<file>.toml`.
fn experiment(file: &str) -> anyhow::Result<Experiment> {
    Ok(Experiment::read(&workspace().join("experiments/vicuna").join(format!("{file}.toml")))?)
}
