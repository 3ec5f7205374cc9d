//! `--dry-run`: what would be fetched, held and paid; and the refusal of what cannot be held.

use anyhow::bail;
use camelid_model::LlamaConfig;
use camelid_recipe::nano;

use super::arms::{Arm, QLORA};
use super::{Ending, GuanacoArguments, Scale, study};
use crate::report::PlanRow;

/// Prints the plan of a scale.
pub fn print(arguments: &GuanacoArguments) -> anyhow::Result<Ending> {
    let mut experiment = QLORA.experiment(&study::experiment(arguments.scale)?, 0);
    if let Some(base) = &arguments.base {
        experiment.model.base = base.display().to_string();
    }
    println!("{}", experiment.plan_text(&shape(arguments.scale), 0)?);
    Ok(Ending::Finished)
}

/// Refuses a run whose step does not fit into what is free.
pub fn refuse_what_cannot_fit(scale: Scale, arms: &[Arm]) -> anyhow::Result<()> {
    let common = study::experiment(scale)?;
    for arm in arms {
        if let Some(sentence) = arm.experiment(&common, 0).memory_shortfall(&shape(scale))? {
            bail!(
                "scale {} does not fit this machine: {sentence} (arm `{}`); `--dry-run` shows the plan part by part",
                scale.name(),
                arm.name
            );
        }
    }
    Ok(())
}

/// The plans of the paper's scales, for the report.
pub fn paper_plans() -> anyhow::Result<Vec<PlanRow>> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    [Scale::B7, Scale::B13, Scale::B33, Scale::B65]
        .into_iter()
        .map(|scale| {
            let plan = study::experiment(scale)?.memory_plan(&shape(scale))?;
            Ok(PlanRow {
                name: format!("LLaMA {}", scale.name().to_uppercase()),
                parts: plan.parts().iter().map(|(name, bytes)| ((*name).to_owned(), gib(*bytes))).collect(),
                total: gib(plan.device_total()),
            })
        })
        .collect()
}

fn shape(scale: Scale) -> LlamaConfig {
    match scale {
        Scale::Nano | Scale::Check => nano::config(nano::VOCABULARY),
        Scale::Smol => LlamaConfig::smollm2_135m(),
        Scale::B7 => LlamaConfig::llama_7b(),
        Scale::B13 => LlamaConfig::llama_13b(),
        Scale::B33 => LlamaConfig::llama_33b(),
        Scale::B65 => LlamaConfig::llama_65b(),
    }
}
