//! `camelid evolve run`: round after round, with every reply kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use camelid_chat::openai::OpenAiConfig;
use camelid_chat::requests::RequestStore;
use camelid_eval::judge::{Model as Opened, ModelPlace, ModelSpec};
use camelid_evolve::{Evolution, EvolveReport, Model, Models, OperatorSet, Row, Seed, Stage, lineage};
use camelid_files::{Input, digest, program, write_whole};
use camelid_model::LocalGenerator;
use camelid_report::Report;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::config::{Config, Respondent};
use super::files;
use crate::device::DeviceArg;
use crate::waiting::{requests_bar, stop_on_ctrl_c};

/// Temperature of the evolver and the answerer, as in the paper, and of the judge.
const TEMPERATURES: (f32, f32) = (1.0, 0.0);

pub const EXAMPLES: &str = "Examples:
  camelid evolve run evolve.toml --run runs/evolved
  camelid evolve run evolve.toml --run runs/evolved --evolver http://localhost:8000/v1#llama
  camelid evolve run evolve.toml --run runs/own --evolver models/SmolLM2-135M-Instruct

evolve.toml:
  seeds = \"alpaca.json\"
  evolution = { rounds = 4, seed = 0 }
  evolver = { model = \"https://api.openai.com/v1#gpt-4o-mini\", api_key_env = \"OPENAI_API_KEY\" }";

#[derive(clap::Args)]
pub struct Args {
    /// File of settings: seeds, prompts, rounds, rules, models
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Folder of the run: new, empty, or with a run of the same settings, which then goes on
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Another evolver than the settings name: [NAME=]PATH of its files, or [NAME=]URL#MODEL
    #[arg(long, value_name = "MODEL")]
    evolver: Option<String>,
    #[command(flatten)]
    device: DeviceArg,
}

pub fn run(args: &Args) -> Result<()> {
    let mut config = Config::read(&args.config)?;
    if let Some(evolver) = &args.evolver {
        config.evolver.model.clone_from(evolver);
    }
    let operators = config.operators()?;
    let seeds = config.seeds()?;
    std::fs::create_dir_all(&args.run).with_context(|| format!("cannot create {}", args.run.display()))?;
    agree(&args.run.join(files::MADE_WITH), &made_with(&config, &operators, &seeds)?)?;
    let store = RequestStore::open(&args.run.join(files::REPLIES))?;
    let damaged = store.report().damaged.len();
    if damaged > 0 {
        camelid_files::say!("{damaged} lines of {} hold no reply; theirs are asked again", files::REPLIES);
    }
    let device = args.device.open()?;
    let evolver = Asked::open(&config.evolver, TEMPERATURES.0, &device)?;
    let other = |respondent: &Option<Respondent>, temperature| -> Result<Option<Asked>> {
        respondent.as_ref().map(|respondent| Asked::open(respondent, temperature, &device)).transpose()
    };
    let (answerer, judge) = (other(&config.answerer, TEMPERATURES.0)?, other(&config.judge, TEMPERATURES.1)?);
    let judge = judge.as_ref().map_or_else(
        || Model { options: config.evolver.options(TEMPERATURES.1), ..evolver.model() },
        Asked::model,
    );
    let stop = stop_on_ctrl_c()?;
    let evolution = Evolution {
        settings: &config.evolution,
        operators: &operators,
        models: Models {
            evolver: evolver.model(),
            answerer: answerer.as_ref().unwrap_or(&evolver).model(),
            judge: Some(judge),
        },
        store: &store,
        stop: Some(stop),
        spending_limit: config.spending_limit,
        screen: None,
    };
    let bar = requests_bar()?;
    let path = args.run.join(files::LINEAGE);
    let rows = evolution
        .run(&seeds, &mut |stage| show(&bar, &stage), &mut |rows: &[Row]| lineage::write(&path, rows));
    bar.finish_and_clear();
    let rows = rows?;
    lineage::write(&path, &rows)?;
    program::print(EvolveReport::new(&rows).text())?;
    camelid_files::say!("wrote {}", path.display());
    if rows.iter().all(|row| row.round == 0 || !row.lives()) {
        bail!("no evolved instruction lives; `camelid evolve report {}` says why", args.run.display());
    }
    Ok(())
}

/// A model that was opened, with the settings by which it is asked.
struct Asked {
    opened: Opened,
    respondent: Respondent,
    temperature: f32,
}

impl Asked {
    fn open(respondent: &Respondent, temperature: f32, device: &Device) -> Result<Self> {
        let spec: ModelSpec = respondent.model.parse().map_err(anyhow::Error::msg)?;
        let opened = match &spec.place {
            ModelPlace::Files(path) => {
                let generator = LocalGenerator::open(path, None, device)?;
                crate::model_files::tell(generator.notes());
                Opened::local(&spec.name, generator, path)?
            }
            ModelPlace::Endpoint { base_url, model } => {
                let mut config = OpenAiConfig::new(base_url, model);
                config.api_key_env.clone_from(&respondent.api_key_env);
                Opened::endpoint(&spec.name, config, respondent.requests())?
            }
        };
        Ok(Self { opened, respondent: respondent.clone(), temperature })
    }

    fn model(&self) -> Model<'_> {
        Model {
            generator: self.opened.generator.as_ref(),
            name: self.opened.request_name.clone(),
            options: self.respondent.options(self.temperature),
            settings: self.opened.settings.clone(),
        }
    }
}

/// What the rows depend on, beside the replies.
fn made_with(config: &Config, operators: &OperatorSet, seeds: &[Seed]) -> Result<Value> {
    let models = json!({
        "evolver": config.evolver.model, "answerer": config.answerer, "judge": config.judge,
        "options": config.evolver.options(TEMPERATURES.0),
    });
    Ok(json!({
        "evolution": config.evolution,
        "models": models,
        "prompts": digest::of_bytes(serde_json::to_string(operators)?),
        "seeds": digest::of_bytes(serde_json::to_string(seeds)?),
    }))
}

/// That the folder's run was made with the same, where there is one.
fn agree(path: &Path, made_with: &Value) -> Result<()> {
    if !path.exists() {
        return Ok(write_whole(path, serde_json::to_string_pretty(made_with)?.as_bytes())?);
    }
    let text = Input::open(path)?.text()?;
    let before: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    for part in ["seeds", "prompts", "models", "evolution"] {
        if before[part] != made_with[part] {
            bail!(
                "{}: this run was made with other {part}; name another folder, or the {part} of then\n  then: {}\n  now:  {}",
                path.display(),
                before[part],
                made_with[part]
            );
        }
    }
    Ok(())
}

fn show(bar: &ProgressBar, stage: &Stage) {
    let requests = stage.requests;
    bar.set_length(requests.total as u64);
    bar.set_position(requests.done() as u64);
    let spent = if requests.spent > 0.0 { format!(", spent {:.4}", requests.spent) } else { String::new() };
    let failed = if requests.failed > 0 { format!(", {} failed", requests.failed) } else { String::new() };
    bar.set_message(format!("round {}: {}{failed}{spent}", stage.round, stage.task));
}
