//! WizardLM: easy instructions evolved round after round by a model whose errors are known, one base tuned on the
//! rows in several ways, each measured on held-out instructions of every round; and a verdict for each claim.

mod arms;
mod evidence;
mod plans;
mod report;
mod smol;

use anyhow::bail;
use camelid_chat::requests::Prices;
use camelid_data::nano::Domain;
use camelid_recipe::{EvolutionPlan, ModelPrices};
use clap::Args;

use self::arms::{BOTH, MIX, SEEDS_TOKENS, all_arms, default_arms};
use self::plans::design;
use self::report::Details;
use super::Ending;
use super::evolved::{self, Recipe};
use super::scale::Scale;
use super::tuning::TuningArguments;

/// Where a judge comes in.
const JUDGED_LATER: &str = "nano instructions have one right answer, and scale smol writes its answers to be judged by `camelid eval judge`";

const RECIPE: Recipe = Recipe {
    name: "wizardlm",
    design,
    exam: Domain::General,
    arms: all_arms,
    default: default_arms,
    checked: || vec![MIX, arms::SEEDS, SEEDS_TOKENS, BOTH],
    seeds: 5,
};

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
    let (arguments, scale) = (&evolving.tuning, evolving.tuning.scale);
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
    evolved::run(&RECIPE, arguments, experiment, |study, design, measured| {
        Ok((evidence::by_claim(measured), Details::of(study, design, measured)))
    })
}
