//! What a run would need: downloads, memory, operations.

use std::path::Path;

use anyhow::{Context, Result};
use camelid_data::catalogue::{Catalogue, FetchOptions};
use camelid_model::DenseStorage;
use camelid_recipe::{Experiment, Length, OpenOptions, Opened, TestSet, known_shape};
use camelid_train::{MemoryPlan, OptimSpill, StepShape};

/// Prints the plan of a run. What the catalogue would have to fetch is not fetched; base and data
/// that are here are read, so that the plan is of what is there. Where they are not, the shape of
/// a well-known base and what the source is said to hold stand in for them.
pub fn print(experiment: &Experiment, fetch: FetchOptions) -> Result<()> {
    let missing = print_downloads(experiment, &fetch)?;
    if missing {
        return print_unseen(experiment);
    }
    // Conversations are tokenised into a folder that goes away again.
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let fetch = FetchOptions { offline: true, ..fetch };
    let opened = experiment.open(&OpenOptions { fetch, cache: cache.path().to_owned() })?;
    opened.about.iter().for_each(|line| println!("{line}"));
    opened.notices.iter().for_each(|notice| eprintln!("warning: {notice}"));

    let rows = opened.train.examples.len();
    println!();
    print_settings(experiment, rows);
    print_plan(&plan(experiment, &opened)?);
    let budget =
        experiment.budget(&opened.weights()?.config()?, rows, Some(opened.train.report.tokens as u64))?;
    print!("{}", budget.text()?);
    if let Some(shortfall) = shortfall(experiment, &opened)? {
        eprintln!("warning: {shortfall}");
    }
    Ok(())
}

/// The plan of a run whose base or data are not here.
fn print_unseen(experiment: &Experiment) -> Result<()> {
    let Some(model) = known_shape(&experiment.model.base) else {
        println!("memory and cost are known once these are here");
        return Ok(());
    };
    let memory = experiment.memory_plan(&model)?;
    let (rows, tokens) = match (experiment.data.expected, experiment.length) {
        (Some(expected), _) => (expected.rows, expected.tokens),
        (None, Length::Steps(_)) => (0, None),
        (None, Length::Epochs(_)) => {
            print_plan(&memory);
            println!(
                "steps and cost are known once the data are here, or with `data.expected = {{ rows = N }}`"
            );
            return Ok(());
        }
    };
    println!("\nby the shape of {} and what the data are said to hold:", experiment.model.base);
    print_settings(experiment, rows);
    print_plan(&memory);
    print!("{}", experiment.budget(&model, rows, tokens)?.text()?);
    Ok(())
}

fn print_settings(experiment: &Experiment, rows: usize) {
    let settings = experiment.train_settings(rows);
    println!(
        "would take {} steps of {} conversations, rate {} ({:?}), warm-up {:.1} %",
        settings.max_steps,
        settings.micro_batch_size * settings.grad_accum,
        settings.learning_rate,
        settings.lr_schedule,
        100.0 * settings.warmup_ratio,
    );
}

fn print_plan(plan: &MemoryPlan) {
    println!("would hold on one device");
    for (name, bytes) in plan.parts() {
        println!("  {name:<22} {:>10.3} GiB", gib(bytes));
    }
    println!("  {:<22} {:>10.3} GiB", "peak of a step", gib(plan.peak()));
    if plan.optimizer_paged > 0 {
        println!("would page out: {:.3} GiB of optimizer state", gib(plan.optimizer_paged));
    }
}

/// Whether something has to be fetched first.
fn print_downloads(experiment: &Experiment, fetch: &FetchOptions) -> Result<bool> {
    let mut names = vec![experiment.model.base.as_str(), experiment.data.source.as_str()];
    if let Some(TestSet::Source(source)) = &experiment.data.test {
        names.push(source);
    }
    let catalogue = Catalogue::builtin()?;
    let offline = FetchOptions { offline: true, progress: false, ..fetch.clone() };
    let mut missing = false;
    for name in names {
        let Ok(source) = catalogue.get(name) else {
            // The nano world is made, not found.
            if name != "nano" && !Path::new(name).exists() {
                println!("would need {name}, which is not here");
                missing = true;
            }
            continue;
        };
        if source.fetch(&offline).is_ok() {
            continue;
        }
        let bytes: Option<u64> = source.files.iter().map(|file| file.size).sum();
        let size = bytes.map_or("of unknown size".to_owned(), |bytes| {
            format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
        });
        println!(
            "would fetch {name}: {} ({} files, {size}, {})",
            source.about,
            source.files.len(),
            source.licence
        );
        missing = true;
    }
    if !missing {
        println!("would fetch nothing");
    }
    Ok(missing)
}

/// The memory of a step on the longest conversations there are.
pub fn plan(experiment: &Experiment, opened: &Opened) -> Result<MemoryPlan> {
    let model = opened.weights()?.config()?;
    let storage = experiment.weight_storage();
    Ok(MemoryPlan::of_step(&model, &storage, experiment.lora.as_ref(), &step(experiment, opened))?)
}

fn step(experiment: &Experiment, opened: &Opened) -> StepShape {
    let longest = opened.train.examples.iter().map(|example| example.ids.len()).max().unwrap_or(0);
    let settings = experiment.train_settings(opened.train.examples.len());
    StepShape {
        micro_batch_size: settings.micro_batch_size,
        grad_accum: settings.grad_accum,
        max_length: longest,
        max_steps: settings.max_steps,
        optimizer_bits: settings.optim,
        optimizer_budget: settings.optim_budget_bytes,
        activation_checkpointing: settings.activation_checkpointing,
        block_inputs_budget: settings.block_inputs_budget_bytes,
        embeddings: DenseStorage::F32,
        stream_budget: None,
    }
}

/// What is missing to hold a step, in a sentence; `None` when nothing is, or nobody knows.
pub fn shortfall(experiment: &Experiment, opened: &Opened) -> Result<Option<String>> {
    let plan = plan(experiment, opened)?;
    let Some(available) = available_memory() else { return Ok(None) };
    // What is paged to host memory is held all the same where the device is this machine.
    let paged = if experiment.train.optim_spill == OptimSpill::Host { plan.optimizer_paged } else { 0 };
    let needed = plan.peak() + paged;
    Ok((needed > available).then(|| {
        format!("a step needs about {:.1} GiB and {:.1} GiB are available", gib(needed), gib(available))
    }))
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// `MemAvailable`; `None` where the system does not say.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}
