//! `--dry-run`: what would be fetched, what a step would hold, what a run would
//! cost; and the refusal of runs that this machine cannot hold.

use anyhow::bail;
use camelid_data::catalogue::Catalogue;
use camelid_model::{DenseStorage, LlamaConfig, WeightStorage};
use camelid_train::{Cost, MemoryPlan, OptimSpill, StepShape};
use camelid_train::{Experiment, Storage};

use super::arms::QLORA;
use super::{Ending, GuanacoArguments, Scale, guanaco, nano, study};
use crate::report::PlanRow;

/// Prints the plan of a scale.
pub fn print(arguments: &GuanacoArguments) -> anyhow::Result<Ending> {
    let experiment = study::experiment(arguments.scale)?;
    let model = shape(arguments.scale);
    println!("{} ({} parameters)\n", experiment.name, grouped(model.parameter_count() as u64));
    print_sources(arguments, &experiment)?;
    let plan = plan(arguments.scale, &experiment)?;
    print_memory(&plan);
    print_cost(&model, &experiment);
    match shortfall(&experiment, &plan) {
        None => println!("\nThis machine can hold it."),
        Some(sentence) => println!("\nThis machine cannot hold it: {sentence}."),
    }
    Ok(Ending::Finished)
}

/// Refuses a run whose step does not fit into what is free.
pub fn refuse_what_cannot_fit(arguments: &GuanacoArguments) -> anyhow::Result<()> {
    let common = study::experiment(arguments.scale)?;
    for arm in guanaco::chosen_arms(arguments) {
        let experiment = arm.experiment(&common, 0);
        if let Some(sentence) = shortfall(&experiment, &plan(arguments.scale, &experiment)?) {
            bail!(
                "scale {} does not fit this machine: {sentence} (arm `{}`); `--dry-run` shows the plan part by part",
                arguments.scale.name(),
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
            let plan = plan(scale, &study::experiment(scale)?)?;
            Ok(PlanRow {
                name: format!("LLaMA {}", scale.name().to_uppercase()),
                parts: plan.parts().iter().map(|(name, bytes)| ((*name).to_owned(), gib(*bytes))).collect(),
                total: gib(plan.device_total()),
            })
        })
        .collect()
}

fn print_sources(arguments: &GuanacoArguments, experiment: &Experiment) -> anyhow::Result<()> {
    println!("would fetch");
    if arguments.scale.is_made_up() {
        let exists = nano::base_exists(arguments.scale, &study::runs(arguments));
        let made = if exists { "is made already" } else { "is made here first" };
        println!("  nothing: the world is generated, and its base model {made}\n");
        return Ok(());
    }
    let mut names = vec![experiment.data.source.as_str()];
    match &arguments.base {
        Some(path) => println!("  base weights: {} (given)", path.display()),
        None => names.insert(0, &experiment.model.base),
    }
    let catalogue = Catalogue::builtin()?;
    for name in names {
        let source = catalogue.get(name)?;
        let bytes: Option<u64> = source.files.iter().map(|file| file.size).sum();
        let size = bytes
            .map_or("size not recorded".to_owned(), |b| format!("{:.1} MiB", b as f64 / f64::from(1 << 20)));
        let place = source.hub.as_ref().map_or("its URL".to_owned(), |hub| format!("hub {}", hub.repo));
        println!(
            "  {name}: {} ({place}, {} files, {size}, {})",
            source.about,
            source.files.len(),
            source.licence
        );
    }
    println!();
    Ok(())
}

fn print_memory(plan: &MemoryPlan) {
    let line = |name: &str, bytes: u64| {
        println!("  {name:<22} {:>10.3} GiB", bytes as f64 / f64::from(1 << 30));
    };
    println!("would hold on the device (the CPU), for the arm {}", QLORA.name);
    for (name, bytes) in plan.parts() {
        line(name, bytes);
    }
    line("total", plan.device_total());
    println!("would page out to host memory or a file");
    line("optimizer", plan.optimizer_paged);
}

fn print_cost(model: &LlamaConfig, experiment: &Experiment) {
    let cost = Cost::of_run(model, experiment.lora.is_some(), &step(experiment));
    println!("\nwould cost, for each arm and seed");
    println!("  {} tokens at most, {:.3e} floating-point operations", grouped(cost.tokens), cost.flops);
}

/// What is missing to hold the plan, as a clause; `None` when nothing is.
fn shortfall(experiment: &Experiment, plan: &MemoryPlan) -> Option<String> {
    let available = available_memory()?;
    // The device is this machine: what is paged to host memory is held all the same.
    let paged = if experiment.train.optim_spill == OptimSpill::Host { plan.optimizer_paged } else { 0 };
    let needed = plan.device_total() + paged;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    (needed > available)
        .then(|| format!("a step needs {:.1} GiB and {:.1} GiB are available", gib(needed), gib(available)))
}

/// `MemAvailable`; `None` where the system does not say.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn plan(scale: Scale, experiment: &Experiment) -> anyhow::Result<MemoryPlan> {
    let storage = match experiment.model.storage {
        Storage::F32 => WeightStorage::F32,
        Storage::Bf16 => WeightStorage::Bf16,
        Storage::F16 => WeightStorage::F16,
        Storage::Quantized => WeightStorage::Quantized(experiment.quant.unwrap_or_default()),
    };
    Ok(MemoryPlan::of_step(&shape(scale), &storage, experiment.lora.as_ref(), &step(experiment))?)
}

fn step(experiment: &Experiment) -> StepShape {
    let train = &experiment.train;
    StepShape {
        micro_batch_size: train.micro_batch_size,
        grad_accum: train.grad_accum,
        max_length: experiment.data.max_length,
        max_steps: train.max_steps,
        optimizer_bits: train.optim,
        optimizer_budget: train.optim_budget_bytes,
        activation_checkpointing: train.activation_checkpointing,
        block_inputs_budget: train.block_inputs_budget_bytes,
        embeddings: DenseStorage::F32,
        stream_budget: None,
    }
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

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
