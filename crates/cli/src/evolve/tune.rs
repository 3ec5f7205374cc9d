//! `camelid evolve tune`: Auto Evol-Instruct, a method of evolution that fails less often.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use camelid_chat::requests::RunError;
use camelid_evolve::{AutoEvolve, EvolveError, Version};
use camelid_files::{digest, program, write_whole};
use camelid_recipe::{OpenRespondent, Respondent, requests_bar, show_evolving};
use camelid_report::text_table;
use serde_json::json;

use super::config::Config;
use super::folder;
use super::run::{EVOLVING, INTERRUPTED};
use crate::device::DeviceArg;

pub const EXAMPLES: &str = "Examples:
  camelid evolve tune evolve.toml --run runs/method
  camelid evolve run evolve.toml --run runs/evolved      # with prompts = \"runs/method/method.toml\"

evolve.toml, besides what `evolve run` reads:
  auto = { steps = 3, candidates = 5, sample = 50 }
  optimizer = { model = \"http://localhost:8000/v1#larger\" }

DIR/versions has every method that was tried, DIR/versions.jsonl its failures, DIR/method.toml the best.";

#[derive(clap::Args)]
pub struct Args {
    /// File of settings: seeds, rules, models, `auto`
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Folder of the search: new, empty, or with a search of the same settings, which then goes on
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    #[command(flatten)]
    device: DeviceArg,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let config = Config::read(&args.config)?;
    let seeds = config.seeds()?;
    let optimizer = config.optimizer.as_ref().unwrap_or(&config.evolver);
    let made_with = json!({
        "seeds": digest::of_bytes(serde_json::to_string(&seeds)?),
        "models": {
            "evolver": config.evolver.made_with(EVOLVING),
            "answerer": config.answerer.as_ref().map(|answerer| answerer.made_with(EVOLVING)),
            "optimizer": optimizer.made_with(EVOLVING),
        },
        "auto": config.auto,
        "rules": config.evolution.rules,
    });
    let store = folder::open(&args.run, &made_with)?;
    let device = args.device.open()?;
    let evolver = OpenRespondent::open(&config.evolver, &device)?;
    let other = |respondent: &Option<Respondent>| {
        respondent.as_ref().map(|respondent| OpenRespondent::open(respondent, &device)).transpose()
    };
    let (answerer, optimizer) = (other(&config.answerer)?, other(&config.optimizer)?);
    let search = AutoEvolve {
        settings: &config.auto,
        rules: &config.evolution.rules,
        method: None,
        evolver: evolver.model(EVOLVING),
        answerer: answerer.as_ref().unwrap_or(&evolver).model(EVOLVING),
        optimizer: optimizer.as_ref().unwrap_or(&evolver).model(EVOLVING),
        desk: config.desk(&store)?,
    };
    let versions = args.run.join("versions");
    std::fs::create_dir_all(&versions)?;
    let mut keep = |version: &Version| -> Result<(), EvolveError> {
        let text = version.operators().to_toml();
        Ok(write_whole(&versions.join(format!("{}.toml", version.id)), text.as_bytes())?)
    };
    let bar = requests_bar();
    let made = search.run(&seeds, &mut |stage| show_evolving(&bar, &stage), &mut keep);
    bar.finish_and_clear();
    let made = match made {
        Err(EvolveError::Run(error @ RunError::Interrupted { .. })) => {
            camelid_files::say!("{error}; go on by the same command");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        made => made?,
    };
    let lines = made.iter().map(|version| Ok(serde_json::to_string(version)? + "\n"));
    write_whole(&args.run.join("versions.jsonl"), lines.collect::<Result<String>>()?.as_bytes())?;
    let row = |version: &Version| {
        let failures = version.failures.iter().map(|(failure, count)| format!("{count} {failure}"));
        let failures = if version.method.is_empty() {
            "no method proposed".to_owned()
        } else {
            failures.collect::<Vec<_>>().join(", ")
        };
        let stays = if version.stays { "stays" } else { "" };
        vec![version.id.clone(), format!("{:.1} %", 100.0 * version.failure_rate), stays.to_owned(), failures]
    };
    let rows: Vec<_> = made.iter().map(row).collect();
    program::print(text_table(&["version", "fail", "", "failures"], &rows, &[0, 2, 3]))?;
    if let Some(best) = made.iter().rfind(|version| version.stays) {
        let path = args.run.join("method.toml");
        write_whole(&path, best.operators().to_toml().as_bytes())?;
        camelid_files::say!("version {} is written to {}", best.id, path.display());
    }
    Ok(ExitCode::SUCCESS)
}
