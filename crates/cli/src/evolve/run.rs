//! `camelid evolve run`: round after round, with every reply kept.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use camelid_chat::requests::{RequestStore, RunError};
use camelid_evolve::{
    Decontaminator, Evolution, EvolveError, EvolveReport, Forecast, Models, OperatorSet, Row, Seed, TestItem,
    lineage,
};
use camelid_files::{digest, program};
use camelid_recipe::{OpenRespondent, Respondent, requests_bar, show_evolving};
use camelid_report::Report;
use serde_json::{Value, json};

use super::config::Config;
use super::folder;
use crate::data::test_sets;
use crate::device::DeviceArg;

/// Temperature of the evolver and the answerer, as in the paper.
pub const EVOLVING: f32 = 1.0;
/// Exit code of a run that was interrupted, as the shell has it.
pub const INTERRUPTED: u8 = 130;

pub const EXAMPLES: &str = "Examples:
  camelid evolve run evolve.toml --run runs/evolved
  camelid evolve run evolve.toml --run runs/evolved --dry-run      # calls, tokens and cost
  camelid evolve run evolve.toml --run runs/evolved --evolver http://localhost:8000/v1#llama
  camelid evolve run evolve.toml --run runs/own --evolver models/SmolLM2-135M-Instruct

evolve.toml:
  seeds = \"alpaca.json\"
  evolution = { rounds = 4, seed = 0 }
  evolver = { model = \"https://api.openai.com/v1#gpt-4o-mini\", api_key_env = \"OPENAI_API_KEY\" }
  [[against]]
  set = \"gsm8k\"
  [[against]]
  file = \"own_test.jsonl\"

For Alpaca's way, from demonstrations:
  method = \"self-instruct\"
  seeds = \"seed_tasks.jsonl\"
  self_instruct = { instructions = 52000 }
  evolver = { model = \"http://localhost:8000/v1#llama\" }";

#[derive(clap::Args)]
pub struct Args {
    /// File of settings: seeds, prompts, rounds, rules, models
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Folder of the run: new, empty, or with a run of the same settings, which then goes on
    #[arg(long, value_name = "DIR")]
    pub run: PathBuf,
    /// Another evolver than the settings name: [NAME=]PATH of its files, or [NAME=]URL#MODEL
    #[arg(long, value_name = "MODEL")]
    evolver: Option<String>,
    /// Say what the run will take, and stop
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub device: DeviceArg,
}

impl Args {
    /// Where replies are kept: in the run's folder, unless the run is only talked of.
    pub fn store(&self, made_with: &Value) -> Result<RequestStore> {
        if self.dry_run { Ok(RequestStore::in_memory()) } else { folder::open(&self.run, made_with) }
    }

    /// Says what the run will take, and keeps it; `false` where that is all.
    pub fn goes_on(
        &self,
        forecast: &Forecast,
        store: &RequestStore,
        paid: f64,
        limit: Option<f64>,
    ) -> Result<bool> {
        folder::tell_forecast(forecast, store, paid, limit);
        if !self.dry_run {
            folder::keep_forecast(&self.run, forecast)?;
        }
        Ok(!self.dry_run)
    }

    /// The settings, with the evolver that the command line names.
    pub fn settings(&self) -> Result<Config> {
        let mut config = Config::read(&self.config)?;
        if let Some(evolver) = &self.evolver {
            config.evolver.model.clone_from(evolver);
        }
        Ok(config)
    }
}

/// Evolves the seeds, or goes on with a run that does.
pub fn run(args: &Args, config: &Config) -> Result<ExitCode> {
    let operators = config.operators()?;
    let seeds = config.seeds()?;
    let items = config.test_items()?;
    let made_with = made_with(config, &operators, &seeds, &items)?;
    let against = Decontaminator::new(items, config.contamination.clone())?;
    test_sets::tell_short(&against);
    let store = args.store(&made_with)?;
    let device = args.device.open()?;
    let evolver = OpenRespondent::open(&config.evolver, &device)?;
    let other = |respondent: &Option<Respondent>| {
        respondent.as_ref().map(|respondent| OpenRespondent::open(respondent, &device)).transpose()
    };
    let (answerer, judge) = (other(&config.answerer)?, other(&config.judge)?);
    let judge = judge.as_ref().map_or_else(|| evolver.judging(), |judge| judge.judge());
    let evolution = Evolution {
        settings: &config.evolution,
        operators: &operators,
        models: Models {
            evolver: evolver.model(EVOLVING),
            answerer: answerer.as_ref().unwrap_or(&evolver).model(EVOLVING),
            judge: Some(judge),
        },
        desk: config.desk(&store)?,
        against: Some(&against),
    };
    let (forecast, limit) = (evolution.forecast(&seeds), config.spending_limit);
    if !args.goes_on(&forecast, &store, evolution.paid(), limit)? {
        return Ok(ExitCode::SUCCESS);
    }
    let path = folder::lineage_of(&args.run);
    let bar = requests_bar();
    let rows = evolution.run(&seeds, &mut |stage| show_evolving(&bar, &stage), &mut |rows: &[Row]| {
        lineage::write(&path, rows)
    });
    bar.finish_and_clear();
    finish(rows, &path, forecast)
}

/// Writes the lineage and says what became of it, and what it took beside the forecast.
pub fn finish(rows: Result<Vec<Row>, EvolveError>, path: &Path, forecast: Forecast) -> Result<ExitCode> {
    let rows = match rows {
        Err(EvolveError::Run(error @ RunError::Interrupted { .. })) => {
            camelid_files::say!("{error}; go on by the same command");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        rows => rows?,
    };
    lineage::write(path, &rows)?;
    let report = EvolveReport::new(&rows).with_forecast(forecast);
    program::print(report.text())?;
    camelid_files::say!("wrote {}", path.display());
    if rows.iter().all(|row| row.round == 0 || !row.lives()) {
        let rules: Vec<String> =
            report.rules().iter().map(|(rule, count)| format!("{count} by {rule}")).collect();
        let rules = if rules.is_empty() { "nothing was evolved".to_owned() } else { rules.join(", ") };
        bail!("no new instruction lives ({rules}); `camelid evolve report` shows examples");
    }
    Ok(ExitCode::SUCCESS)
}

/// The digest of test items.
pub fn digest_of(items: &[TestItem]) -> Result<String> {
    let items: Vec<_> = items.iter().map(|item| [&item.set, &item.id, &item.text]).collect();
    Ok(digest::of_bytes(serde_json::to_string(&items)?))
}

/// What the rows depend on, beside the replies.
fn made_with(config: &Config, operators: &OperatorSet, seeds: &[Seed], items: &[TestItem]) -> Result<Value> {
    Ok(json!({
        "seeds": digest::of_bytes(serde_json::to_string(seeds)?),
        "prompts": digest::of_bytes(serde_json::to_string(operators)?),
        "models": {
            "evolver": config.evolver.made_with(EVOLVING),
            "answerer": config.answerer.as_ref().map(|answerer| answerer.made_with(EVOLVING)),
            "judge": config.judge.as_ref().map(|judge| judge.judging_with()),
        },
        "against": {"items": digest_of(items)?, "what": config.contamination},
        "evolution": config.evolution,
    }))
}
