//! `camelid train`: a user's own model on a user's own data.

mod dry_run;
mod report;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use camelid_data::catalogue::FetchOptions;
use camelid_files::digest;
use camelid_kernels::ProductRates;
use camelid_lora::LoraConfig;
use camelid_recipe::{Compute, Experiment, OpenOptions, Opened, TestSet};
use camelid_train::{Interrupt, Progress, Trainer};

use crate::device::DeviceArg;

/// The experiment of a run, every default filled in.
const EXPERIMENT: &str = "experiment.toml";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Experiment file: base model, data, adapters, settings
    #[arg(value_name = "FILE.toml", required_unless_present = "resume")]
    experiment: Option<PathBuf>,
    /// Folder of the run; new, empty, or with a run of the same experiment, which then goes on
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "dry_run"])]
    run: Option<PathBuf>,
    /// Go on with a run that was interrupted. --set may change what leaves the steps done as they
    /// are: length, and where state is kept or when something is saved or measured
    #[arg(long, value_name = "RUN", conflicts_with_all = ["experiment", "run"])]
    resume: Option<PathBuf>,
    /// Change a setting of the file, as in train.learning_rate=1e-4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Say what would be fetched, held in memory and computed; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Use only what is on this machine
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    device: DeviceArg,
}

const EXAMPLES: &str = "Examples:
  camelid train mine.toml --run runs/mine
  camelid train mine.toml --run runs/short --set length.steps=20 --set train.learning_rate=1e-4
  camelid train mine.toml --dry-run
  camelid train --resume runs/mine
  camelid train --resume runs/mine --set length.steps=3000
  tensorboard --logdir runs";

pub fn run(args: &Args) -> Result<ExitCode> {
    let mut experiment = match (&args.resume, &args.experiment) {
        (Some(run), _) => resumed(run, &args.set)?,
        (None, Some(file)) => absolute(Experiment::read_with(file, &args.set)?)?,
        (None, None) => bail!("an experiment file or --resume is needed"),
    };
    let mut fetch = FetchOptions::from_env()?;
    fetch.offline |= args.offline;
    if args.dry_run {
        dry_run::print(&experiment, fetch)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(folder) = args.resume.as_ref().or(args.run.as_ref()) else {
        bail!("--run is needed: the folder of the run")
    };
    let device = args.device.open()?;
    if args.resume.is_none() {
        check_folder(folder, &mut experiment)?;
    }
    if let Some(ProductRates { f32, bf16 }) = experiment.settle_compute(&device) {
        let compute = experiment.compute_type()?;
        camelid_files::say!("compute: {compute} (f32 {f32:.0} GFLOP/s here, bf16 {bf16:.0})");
    }
    let cache = fetch.cache_dir.clone();
    let opened = experiment.open(&OpenOptions { fetch, cache })?;
    opened.about.iter().for_each(|line| camelid_files::say!("{line}"));
    opened.notices.iter().for_each(|notice| camelid_files::say!("warning: {notice}"));
    if let Some(shortfall) = opened.preflight(&experiment)?.shortfall() {
        camelid_files::say!("warning: {shortfall}");
    }
    let model = opened.model(&experiment, &device.autodiff())?;
    let settings = experiment.train_settings(opened.train.examples.len());
    let max_steps = settings.max_steps;
    let progress = Box::new(Progress::new(&experiment.name));
    let trainer = Trainer::new(model, settings, opened.train.clone(), opened.test.clone(), folder, progress)?
        .belonging_to(key(&experiment)?)
        .with_interrupt(Interrupt::from_ctrl_c()?);
    // The run's own experiment stays as it is where the trainer refuses the new one.
    if args.resume.is_some() {
        results::set_aside(folder, trainer.steps_done()?, max_steps)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    experiment.save(&folder.join(EXPERIMENT))?;
    let outcome = trainer.run()?;
    if !outcome.finished {
        camelid_files::say!("go on with: camelid train --resume {}", folder.display());
        return Ok(ExitCode::from(130));
    }
    results::write(&experiment, &opened, &outcome, folder)?;
    Ok(ExitCode::SUCCESS)
}

/// The experiment of a run, with the changes that leave its steps as they are.
fn resumed(run: &Path, set: &[String]) -> Result<Experiment> {
    let file = run.join(EXPERIMENT);
    if !file.is_file() {
        bail!("{} holds no run: {EXPERIMENT} is not there", run.display());
    }
    let experiment = Experiment::read(&file)?;
    if set.is_empty() {
        return Ok(experiment);
    }
    let mut changed = absolute(Experiment::read_with(&file, set)?)?;
    keep_compute(&mut changed, &experiment);
    changed.check_goes_on(&experiment)?;
    Ok(changed)
}

/// The experiment with its paths made absolute, so that its run can be resumed from anywhere.
fn absolute(mut experiment: Experiment) -> Result<Experiment> {
    let whole = |name: &mut String| -> Result<()> {
        if Path::new(name.as_str()).exists() {
            let path = fs::canonicalize(name.as_str()).with_context(|| format!("cannot find {name}"))?;
            let path = path.into_os_string().into_string();
            *name = path.map_err(|path| anyhow::anyhow!("{} is no UTF-8 path", path.display()))?;
        }
        Ok(())
    };
    whole(&mut experiment.model.base)?;
    whole(&mut experiment.data.source)?;
    if let Some(TestSet::Source(source)) = &mut experiment.data.test {
        whole(source)?;
    }
    Ok(experiment)
}

/// A run keeps the compute type that it began with: `auto` then means that one.
fn keep_compute(experiment: &mut Experiment, begun: &Experiment) {
    if experiment.model.compute == Compute::Auto {
        experiment.model.compute = begun.model.compute;
    }
}

/// Refuses a folder that would mix two runs, or a run with something else.
fn check_folder(folder: &Path, experiment: &mut Experiment) -> Result<()> {
    let shown = folder.display();
    let file = folder.join(EXPERIMENT);
    if file.is_file() {
        let begun = Experiment::read(&file)?;
        keep_compute(experiment, &begun);
        if begun != *experiment {
            bail!(
                "--run {shown} holds a run of another experiment ({}); name another folder, or go on \
                 with `camelid train --resume {shown}`, to which --set gives another length",
                file.display()
            );
        }
        return Ok(());
    }
    if folder.exists() {
        let mut entries = fs::read_dir(folder).with_context(|| format!("cannot read {shown}"))?;
        if entries.next().is_some() {
            bail!("--run {shown} is not empty and holds no run; name a new folder");
        }
    }
    Ok(())
}

/// What shapes the run beside the trainer's settings, the data and the parameters.
fn key(experiment: &Experiment) -> Result<String> {
    #[derive(serde::Serialize)]
    struct Key<'a> {
        lora: &'a Option<LoraConfig>,
        storage: String,
        rope_scaling: String,
        /// Absent for f32, which every run had before there was a choice.
        #[serde(skip_serializing_if = "Option::is_none")]
        compute: Option<Compute>,
    }
    let key = Key {
        lora: &experiment.lora,
        storage: format!("{:?}", experiment.weight_storage()),
        rope_scaling: format!("{:?}", experiment.model.rope_scaling),
        compute: (experiment.model.compute != Compute::F32).then_some(experiment.model.compute),
    };
    Ok(digest::of_bytes(serde_json::to_vec(&key).context("cannot describe the adapters")?))
}

/// How the tuned weights are used from here on.
fn template_hint(experiment: &Experiment) -> String {
    match experiment.data.template.as_str() {
        "auto" => String::new(),
        name => format!(" --template {name}"),
    }
}

/// The parameters that train, counted.
fn trainable(opened: &Opened, experiment: &Experiment) -> Result<u64> {
    Ok(opened.preflight(experiment)?.plan.gradients / 4)
}
