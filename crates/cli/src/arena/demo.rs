//! Models of past runs, for a demonstration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use burn::tensor::Device;
use camelid_chat::{Conversation, Role, Template};
use camelid_model::{Llama, LocalGenerator, open_weights};
use camelid_recipe::Experiment;
use camelid_recipe::nano::{BASE, Nano};
use camelid_serve::arena::Player;

use crate::adapter::with_adapter;

/// Most models that a demonstration plays.
const MOST: usize = 6;
/// Most questions that it offers.
const QUESTIONS: usize = 40;
/// How deep below the folder of runs an arm may lie.
const DEPTH: usize = 4;

/// The nano models that recipes have tuned under `runs`, one for each arm of each recipe, and the
/// questions of their world; nothing where there are fewer than two. One that cannot be opened is left
/// out, which is said.
pub fn past_models(runs: &Path, device: &Device) -> Result<(Vec<Player>, Vec<Vec<String>>)> {
    let mut arms = Vec::new();
    find(runs, DEPTH, &mut arms);
    arms.sort();
    // Seeds of one arm follow each other; one of them is enough.
    arms.dedup_by(|later, first| name_of(runs, later) == name_of(runs, first));
    let (mut players, mut questions) = (Vec::new(), Vec::new());
    for arm in arms {
        if players.len() == MOST {
            break;
        }
        match open(runs, &arm, device) {
            Ok(Some((generator, nano))) => {
                players.push(Player::new(name_of(runs, &arm), Arc::new(generator)));
                if questions.is_empty() {
                    let items = nano.world.eval_items().into_iter().take(QUESTIONS);
                    questions = items.map(|item| prompts(&item.conversation)).collect();
                }
            }
            Ok(None) => {}
            Err(error) => camelid_files::say!("warning: {} is left out: {error:#}", arm.display()),
        }
    }
    if players.len() < 2 { Ok((Vec::new(), Vec::new())) } else { Ok((players, questions)) }
}

/// What the user says in a dialogue.
fn prompts(conversation: &Conversation) -> Vec<String> {
    let user = conversation.messages.iter().filter(|message| message.role == Role::User);
    user.map(|message| message.content.clone()).collect()
}

/// Folders with an experiment and what came of it.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if folder.join("experiment.toml").is_file() && folder.join("outcome.json").is_file() {
        found.push(folder.to_owned());
    } else if depth > 0
        && let Ok(list) = std::fs::read_dir(folder)
    {
        for entry in list.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            find(&entry.path(), depth - 1, found);
        }
    }
}

/// `guanaco-nano-all-linear` of `runs/guanaco-nano/arms/all-linear-seed0-1a2b3c4d`.
fn name_of(runs: &Path, arm: &Path) -> String {
    let parts = arm.strip_prefix(runs).unwrap_or(arm).iter().map(|part| part.to_string_lossy());
    let name: Vec<_> = parts.filter(|part| part != "arms").collect();
    let name = name.join("-");
    name.rsplit_once("-seed").map_or(name.clone(), |(name, _)| name.to_owned())
}

/// An arm's model; `None` where its base is no nano model or no longer there.
fn open(runs: &Path, arm: &Path, device: &Device) -> Result<Option<(LocalGenerator, Nano)>> {
    let experiment = Experiment::read(&arm.join("experiment.toml"))?;
    if experiment.model.base != BASE {
        return Ok(None);
    }
    let nano = Nano::of(&experiment, runs)?;
    let (own, adapter) = (arm.join("model"), arm.join("adapter"));
    let load = |folder: &Path| -> Result<Llama> {
        Ok(Llama::load(open_weights(folder)?.as_ref(), &experiment.weight_storage(), device)?)
    };
    let model = if own.join("model.safetensors").is_file() {
        load(&own)?
    } else if nano.is_made() && adapter.join("adapter_config.json").is_file() {
        with_adapter(load(nano.base())?, &adapter, "the nano base", device)?
    } else {
        return Ok(None);
    };
    let template = Template::builtin(&experiment.data.template)?;
    Ok(Some((LocalGenerator::new(&model, nano.tokenizer.clone(), template)?, nano)))
}
