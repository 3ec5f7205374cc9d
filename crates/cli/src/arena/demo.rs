//! Models of past runs, for a demonstration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use burn::tensor::Device;
use camelid_model::LocalGenerator;
use camelid_serve::arena::Player;

/// Most models that a demonstration plays.
const MOST: usize = 4;
/// How deep below the folder of runs a model may lie.
const DEPTH: usize = 6;
/// Larger weights are no nano model's.
const LARGEST: u64 = 64 << 20;

/// Small models under `runs` that have all they need to answer: weights, configuration and tokenizer in
/// one folder. One that cannot be opened is left out, which is said.
pub fn past_models(runs: &Path, device: &Device) -> Result<Vec<Player>> {
    let mut folders = Vec::new();
    find(runs, DEPTH, &mut folders);
    folders.sort();
    let mut players: Vec<Player> = Vec::new();
    for folder in folders.into_iter().take(MOST) {
        let name = folder.strip_prefix(runs).unwrap_or(&folder).display().to_string().replace('/', "-");
        match LocalGenerator::open(&folder, None, device) {
            Ok(generator) => players.push(Player::new(name, Arc::new(generator))),
            Err(error) => {
                let words = camelid_files::program::message(&error);
                camelid_files::say!("warning: {} is left out: {words}", folder.display());
            }
        }
    }
    Ok(players)
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(list) = std::fs::read_dir(folder) else { return };
    let weights = std::fs::metadata(folder.join("model.safetensors"));
    let is_small = weights.is_ok_and(|file| file.len() <= LARGEST);
    if is_small && ["config.json", "tokenizer.json"].iter().all(|name| folder.join(name).is_file()) {
        found.push(folder.to_owned());
        return;
    }
    if depth > 0 {
        for entry in list.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            find(&entry.path(), depth - 1, found);
        }
    }
}
