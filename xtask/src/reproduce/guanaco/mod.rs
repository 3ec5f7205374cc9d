//! Guanaco (QLoRA): the same base tuned on the same conversations in several ways, each measured
//! before and after, and a verdict for each claim.

mod arms;
mod evidence;

use std::time::Instant;

use anyhow::Context;
use camelid_recipe::{
    Children, Compared, Experiment, Measured, PRETRAINING, PlanRow, RunOptions, Study, Tuning,
    TuningArm as Arm, watch_for_interrupt,
};

use self::arms::{ALL, ATTENTION, FORMATS, FULL, LORA, PAGED, QLORA};
use super::Ending;
use super::scale::Scale;
use super::tuning::{Found, TuningArguments, part};

/// Raised whenever the recipe measures something in another way.
const RECIPE: &str = "guanaco 3";

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &TuningArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let options = arguments.options()?;
    let experiment = arguments.experiment("guanaco")?;
    if arguments.dry_run {
        return arguments.print_plan(&experiment);
    }
    if let Some((part, seed)) = arguments.part() {
        return one_part(part, seed, experiment, &options);
    }

    // 1. The base model and the conversations; nano pre-trains its base here, once.
    let chosen = chosen(arguments);
    arguments.refuse_what_cannot_fit(&experiment, &chosen)?;
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);
    if !Study::make_base(&experiment, &options, &children, part)? {
        return arguments.interrupted();
    }
    let study = Study::prepare(experiment, &options, RECIPE)?;
    if options.fresh {
        study.forget()?;
    }

    // 2. The untuned base in every storage format.
    let names: Vec<&str> = chosen.iter().map(|arm| arm.name).collect();
    println!("arms: {} ({} of {}; --all runs every arm)", names.join(", "), names.len(), ALL.len());
    let Some(untuned) = study.untuned(&FORMATS, &chosen, &interrupted)? else {
        return arguments.interrupted();
    };

    // 3. Each arm, each seed, in a process of its own, so that its peak memory is its own.
    let seeded: Vec<(Arm, u64)> = chosen.iter().map(|arm| (*arm, seeds(arguments, *arm))).collect();
    let Some(ran) = study.run(&seeded, &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 4. Claim by claim, and the tuned model's answers beside the base's.
    let paged_difference = study.adapter_difference(&PAGED, &QLORA, &ran.outcomes)?;
    let measured = Measured::of(&study, &chosen, untuned, ran.outcomes);
    let evidence = evidence::by_claim(&measured, paged_difference, study.opened.is_requantised());
    let Compared::Done(judged) = study.judge(&QLORA, &measured, arguments.judge().as_ref(), &interrupted)?
    else {
        return arguments.interrupted();
    };
    let page = arguments.report(Found {
        recipe: "guanaco",
        paper: "qlora",
        started,
        reused: ran.reused,
        device: &study.device,
        evidence,
        inputs: study.opened.about.clone(),
        details: Tuning::of(&study, &measured, &chosen, &ALL, judged, plans()?),
        settings: study.comparison.experiment.to_toml()?,
        folder: &study.comparison.folder,
    })?;
    println!("\nreport: {}", page.display());
    Ok(Ending::Finished)
}

/// The base's pre-training, or one arm.
fn one_part(part: &str, seed: u64, experiment: Experiment, options: &RunOptions) -> anyhow::Result<Ending> {
    let finished = if part == PRETRAINING {
        Study::pretrain(&experiment, options)?
    } else {
        let arm = ALL.iter().find(|arm| arm.name == part);
        let arm = arm.with_context(|| format!("there is no arm named `{part}`"))?;
        Study::prepare(experiment, options, RECIPE)?.tune(arm, seed)?
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}

/// The arms that fit the default time, or all.
fn chosen(arguments: &TuningArguments) -> Vec<Arm> {
    match arguments.scale {
        _ if arguments.all => ALL.to_vec(),
        Scale::Nano | Scale::Check => vec![QLORA, LORA, FULL, ATTENTION, PAGED],
        Scale::Smol => vec![QLORA, LORA],
        _ => vec![QLORA],
    }
}

/// How many seeds an arm is run with. That QLoRA matches LoRA and full fine-tuning is a question of
/// the spread between seeds: these three get four where they are quick, which decides it
/// (`papers/qlora/README.md` has the calculation).
fn seeds(arguments: &TuningArguments, arm: Arm) -> u64 {
    let compared = [QLORA, LORA, FULL].contains(&arm);
    arguments.seeds.unwrap_or(match arguments.scale {
        Scale::Nano if arguments.all || compared => 4,
        _ => 1,
    })
}

/// What a step would hold at each of the paper's scales.
fn plans() -> anyhow::Result<Vec<PlanRow>> {
    let row = |scale: Scale| {
        let name = format!("LLaMA {}", scale.name().to_uppercase());
        Ok(PlanRow::of(&name, &scale.experiment("guanaco")?, &scale.shape())?)
    };
    [Scale::B7, Scale::B13, Scale::B33, Scale::B65].into_iter().map(row).collect()
}
