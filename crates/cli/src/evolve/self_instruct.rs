//! `camelid evolve run` with `method = "self-instruct"`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use camelid_evolve::self_instruct::PROMPT;
use camelid_evolve::{Decontaminator, Demonstration, Row, SelfInstruct, lineage};
use camelid_files::{Input, Records, digest};
use camelid_recipe::{OpenRespondent, requests_bar, show_evolving};
use serde_json::{Map, Value, json};

use super::config::Config;
use super::folder;
use super::run::{Args, digest_of, finish};
use crate::data::test_sets;

/// Temperature and share of the probability that Alpaca sampled with.
const SAMPLING: (f32, f32) = (1.0, 1.0);
/// Most tokens of a reply, as Alpaca had it.
const MOST_TOKENS: usize = 3072;

/// Makes instructions after the seeds, or goes on with a run that does.
pub fn run(args: &Args, mut config: Config) -> Result<ExitCode> {
    config.evolver.top_p.get_or_insert(SAMPLING.1);
    config.evolver.max_new_tokens.get_or_insert(MOST_TOKENS);
    let settings = config.self_instruct.clone().unwrap_or_default();
    let prompt = match config.prompts.as_str() {
        "general" => PROMPT.to_owned(),
        own @ ("code" | "math") => bail!("prompts = \"{own}\": Self-Instruct has `general`, or a file"),
        path => Input::open(Path::new(path))?.text()?.to_string(),
    };
    let seeds = demonstrations(&config.seeds, config.first)?;
    let items = config.test_items()?;
    let made_with = json!({
        "seeds": digest::of_bytes(serde_json::to_string(&seeds)?),
        "prompts": digest::of_bytes(&prompt),
        "models": {"evolver": config.evolver.made_with(SAMPLING.0)},
        "against": {"items": digest_of(&items)?, "what": config.contamination},
        "self_instruct": settings,
    });
    let against = Decontaminator::new(items, config.contamination.clone())?;
    test_sets::tell_short(&against);
    let store = args.store(&made_with)?;
    let model = OpenRespondent::open(&config.evolver, &args.device.open()?)?;
    let run = SelfInstruct {
        settings: &settings,
        prompt: &prompt,
        model: model.model(SAMPLING.0),
        desk: config.desk(&store)?,
        against: Some(&against),
    };
    let (forecast, limit) = (run.forecast(&seeds), config.spending_limit);
    if !args.goes_on(&forecast, &store, run.paid(), limit)? {
        return Ok(ExitCode::SUCCESS);
    }
    let path = folder::lineage_of(&args.run);
    let bar = requests_bar();
    let rows = run.run(&seeds, &mut |stage| show_evolving(&bar, &stage), &mut |rows: &[Row]| {
        lineage::write(&path, rows)
    });
    bar.finish_and_clear();
    finish(rows, &path, forecast)
}

/// Rows with `instruction`, `input` and `output`, the latter two perhaps in the first of `instances`, as
/// Self-Instruct's own seeds have them.
fn demonstrations(path: &Path, first: Option<usize>) -> Result<Vec<Demonstration>> {
    let mut seeds = Vec::new();
    let mut bad = None;
    Records::open(path)?.for_each(|row| {
        let seed = match row {
            Ok(row) => demonstration(&row.fields).map_err(|problem| format!("{}: {problem}", row.place)),
            Err(bad) => Err(bad.to_string()),
        };
        match seed {
            Ok(seed) => seeds.push(seed),
            Err(problem) => bad = bad.take().or(Some(problem)),
        }
    })?;
    if let Some(problem) = bad {
        bail!("{}: {problem}", path.display());
    }
    seeds.truncate(first.unwrap_or(usize::MAX));
    if seeds.is_empty() {
        return Err(camelid_evolve::EvolveError::NoSeeds).with_context(|| path.display().to_string());
    }
    Ok(seeds)
}

fn demonstration(row: &Map<String, Value>) -> Result<Demonstration, String> {
    let instance = row.get("instances").and_then(|instances| instances.get(0)).and_then(Value::as_object);
    let text = |fields: &Map<String, Value>, name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{name}` is no text")),
        None if name == "input" => Ok(String::new()),
        None => Err(format!("`{name}` is not there; expected `instruction`, `input` and `output`")),
    };
    let given = instance.unwrap_or(row);
    Ok(Demonstration {
        instruction: text(row, "instruction")?,
        input: text(given, "input")?,
        output: text(given, "output")?,
    })
}
