//! WizardLM: easy instructions evolved round after round by a model whose errors are known, one base tuned on the
//! rows in several ways, each measured on held-out instructions of every round; and a verdict for each claim.

mod arms;
mod evidence;
mod plans;
mod report;
mod smol;

use std::time::Instant;

use anyhow::bail;
use camelid_chat::requests::Prices;
use camelid_data::nano::Domain;
use camelid_recipe::evolved::{Arm, Design, Measured, Study};
use camelid_recipe::{
    Children, EvolutionPlan, Experiment, ModelPrices, PRETRAINING, RunOptions, Study as Common,
    watch_for_interrupt,
};
use clap::Args;

use self::arms::{BOTH, MIX, SEEDS_TOKENS, all_arms, default_arms};
use self::plans::design;
use self::report::Details;
use super::Ending;
use super::scale::Scale;
use super::tuning::{Found, TuningArguments, part};

/// Where a judge comes in.
const JUDGED_LATER: &str = "nano instructions have one right answer, and scale smol writes its answers to be judged by `camelid eval judge`";
/// Seeds of an arm, where none are asked for.
const SEEDS: u64 = 5;

/// Options of a recipe that evolves.
#[derive(Args, Clone)]
pub struct EvolvingArguments {
    #[command(flatten)]
    tuning: TuningArguments,
    /// At scale smol, who evolves: [NAME=]PATH of a model's files, or [NAME=]URL#MODEL at an OpenAI-compatible
    /// endpoint [default: the base itself, in this process]
    #[arg(long, value_name = "MODEL")]
    evolver: Option<String>,
    /// At scale smol, rounds of evolution [default: 2; the paper's are four]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=16))]
    rounds: Option<u64>,
    /// Prices of the evolver's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT", requires = "evolver")]
    evolver_price: Option<Prices>,
    /// Environment variable with the API key of the evolver's endpoint
    #[arg(long, value_name = "VARIABLE", requires = "evolver")]
    evolver_api_key_env: Option<String>,
    /// Most that evolving may cost, in the currency of the prices
    #[arg(long, value_name = "AMOUNT", requires = "evolver_price")]
    evolver_limit: Option<f64>,
}

/// Runs the recipe, or one part of it.
pub fn reproduce(evolving: &EvolvingArguments) -> anyhow::Result<Ending> {
    let (started, arguments) = (Instant::now(), &evolving.tuning);
    let scale = arguments.scale;
    let experiment = arguments.experiment("wizardlm")?;
    if (evolving.evolver.is_some() || evolving.rounds.is_some()) && scale != Scale::Smol {
        bail!(
            "--evolver and --rounds have their place at scale smol; at nano the world evolves, and others evolve by `camelid evolve`"
        );
    }
    arguments.refuse_judge(JUDGED_LATER)?;
    if scale == Scale::Smol {
        return smol::reproduce(evolving, experiment);
    }
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
    let (options, design) = (arguments.options()?, design(scale));
    if let Some((part, seed)) = arguments.part() {
        return one_part(part, seed, experiment, &options, &design);
    }
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);

    // 1. The base, pre-trained here on prose, once.
    if !Common::make_base(&experiment, &options, &children, part)? {
        return arguments.interrupted();
    }

    // 2. The evolutions, and the exams from held-out instructions.
    let (chosen, all) = (chosen(arguments), all_arms().len());
    println!("{} of {all} arms; --all runs every one", chosen.len());
    let study = Study::prepare(experiment, &options, &design, chosen)?;
    if options.fresh {
        study.comparison.forget(&["arms"])?;
    }
    let untuned = study.untuned(Domain::General)?;

    // 3. Each arm, each seed, one on each core.
    let seeds = arguments.seeds.unwrap_or(if scale == Scale::Check { 1 } else { SEEDS });
    let Some(ran) = study.run(seeds, &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 4. Claim by claim.
    let (tuned, arms, lineages) = (&ran.outcomes, &study.arms, &study.lineages);
    let measured = Measured { lineages, untuned: &untuned, tuned, arms, development: false };
    let page = arguments.report(Found {
        recipe: "wizardlm",
        paper: "wizardlm",
        started,
        reused: ran.reused,
        device: &study.device,
        evidence: evidence::by_claim(&measured),
        inputs: study.opened.about.clone(),
        details: Details::of(&study, &design, &measured),
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
    design: &Design,
) -> anyhow::Result<Ending> {
    let finished = match part {
        PRETRAINING => Common::pretrain(&experiment, options)?,
        name => {
            let design = Design { measured: &[], ..design.clone() };
            let study = Study::prepare(experiment, options, &design, vec![arms::named(name)?])?;
            study.tune(&study.arms[0], seed)?
        }
    };
    Ok(if finished { Ending::Finished } else { Ending::Interrupted })
}
