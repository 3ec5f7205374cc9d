//! Checkpoints: everything a run needs to go on as if nothing had happened.
//!
//! `checkpoints/step-000123/` holds
//!
//! | file | what |
//! |---|---|
//! | `trainable.safetensors` | every trained parameter by path, `F32` |
//! | `optimizer.safetensors` | the optimizer's state |
//! | `state.json` | step, sampler position, settings, what the run belongs to |
//!
//! There is no random state beyond the seed: dropout and order are functions of (seed, step).
//! A folder is filled under another name and renamed when every byte is on the disk, so a
//! checkpoint that can be seen is complete.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use burn::module::Module;
use camelid_data::Position;
use camelid_files::write_whole;
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use serde::{Deserialize, Serialize};

use crate::{EvalPoint, TrainError, TrainSettings, params_file};

const TRAINABLE: &str = "trainable.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const FORMAT: u32 = 3;
/// Names that are not checkpoints: being written, being removed.
const UNFINISHED: [&str; 2] = [".writing-", ".removing-"];

/// The small part of a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    pub(crate) format: u32,
    /// Steps done.
    pub(crate) step: usize,
    pub(crate) seed: u64,
    /// Steps of the whole run.
    pub(crate) max_steps: usize,
    pub(crate) sampler: Position,
    pub(crate) model_fingerprint: String,
    pub(crate) data_fingerprint: String,
    /// What else the run belongs to, as [`crate::Trainer::belonging_to`] was told.
    pub(crate) belongs_to: String,
    /// As TOML inside the JSON: serde_json reads numbers of 17 digits back with the last one off,
    /// which would look like another setting.
    #[serde(with = "toml_text")]
    pub(crate) settings: TrainSettings,
    /// Evaluations so far.
    pub(crate) evals: Vec<EvalPoint>,
}

/// What every `state.json` has, whichever format it is in.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A value as TOML text.
mod toml_text {
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    use crate::TrainSettings;

    pub(super) fn serialize<S: Serializer>(
        settings: &TrainSettings,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = toml::to_string(settings).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainSettings, D::Error> {
        let text = String::deserialize(deserializer)?;
        toml::from_str(&text).map_err(|error| D::Error::custom(error.message()))
    }
}

impl RunState {
    pub(crate) fn new(settings: &TrainSettings, model: String, data: String) -> Self {
        Self {
            format: FORMAT,
            step: 0,
            seed: settings.seed,
            max_steps: settings.max_steps,
            sampler: Position::default(),
            model_fingerprint: model,
            data_fingerprint: data,
            belongs_to: String::new(),
            settings: settings.clone(),
            evals: vec![],
        }
    }
}

/// The folder of a run's checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    dir: PathBuf,
    keep_last: usize,
    /// Locked while the run is under way; the system lets go of it with the process.
    _lock: File,
}

impl Checkpoints {
    /// Opens (makes) the folder and clears away what an interrupted write left.
    pub(crate) fn open(run_dir: &Path, keep_last: usize) -> Result<Self, TrainError> {
        let dir = run_dir.join("checkpoints");
        fs::create_dir_all(&dir).map_err(TrainError::file(&dir, "make"))?;
        let lock = File::open(&dir).map_err(TrainError::file(&dir, "open"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => TrainError::Busy { run: run_dir.to_owned() },
            TryLockError::Error(error) => TrainError::file(&dir, "lock")(error),
        })?;
        for entry in fs::read_dir(&dir).map_err(TrainError::file(&dir, "list"))? {
            let entry = entry.map_err(TrainError::file(&dir, "list"))?;
            let name = entry.file_name();
            if UNFINISHED.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(TrainError::file(&path, "remove"))?;
            }
        }
        Ok(Self { dir, keep_last, _lock: lock })
    }

    /// Finished checkpoints by step, the oldest first.
    pub(crate) fn list(&self) -> Result<Vec<(usize, PathBuf)>, TrainError> {
        let mut found = vec![];
        for entry in fs::read_dir(&self.dir).map_err(TrainError::file(&self.dir, "list"))? {
            let entry = entry.map_err(TrainError::file(&self.dir, "list"))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-")?.parse().ok());
            if let Some(step) = step {
                found.push((step, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes a checkpoint, whole or not at all, then lets go of those beyond `keep_last`.
    pub(crate) fn save<M: Module>(
        &self,
        state: &RunState,
        model: &M,
        optim: &mut PagedAdamW,
    ) -> Result<PathBuf, TrainError> {
        let name = format!("step-{:06}", state.step);
        let path = self.dir.join(&name);
        if path.is_dir() {
            return Ok(path);
        }
        let unfinished = self.dir.join(format!("{}{name}", UNFINISHED[0]));
        let written = self.write(&unfinished, &path, state, model, optim);
        if let Err(source) = written {
            // Frees the space of the attempt; what matters is the error that follows.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(TrainError::Save { step: state.step, source: Box::new(source) });
        }
        self.remove_old()?;
        Ok(path)
    }

    fn write<M: Module>(
        &self,
        unfinished: &Path,
        path: &Path,
        state: &RunState,
        model: &M,
        optim: &mut PagedAdamW,
    ) -> Result<(), TrainError> {
        fs::create_dir(unfinished).map_err(TrainError::file(unfinished, "make"))?;
        params_file::save(model, &unfinished.join(TRAINABLE))?;
        optim.save(&unfinished.join(OPTIMIZER))?;
        let json = serde_json::to_vec_pretty(state)
            .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: error.to_string() })?;
        write_whole(&unfinished.join(STATE), &json)?;
        fs::rename(unfinished, path).map_err(TrainError::file(path, "rename"))?;
        // So that the new name, too, outlives a loss of power.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(TrainError::file(&self.dir, "sync"))
    }

    fn remove_old(&self) -> Result<(), TrainError> {
        let all = self.list()?;
        let surplus = all.len().saturating_sub(self.keep_last);
        for (step, path) in &all[..surplus] {
            // Renamed first: a checkpoint half removed must not look like one.
            let doomed = self.dir.join(format!("{}step-{step:06}", UNFINISHED[1]));
            fs::rename(path, &doomed).map_err(TrainError::file(path, "rename"))?;
            fs::remove_dir_all(&doomed).map_err(TrainError::file(&doomed, "remove"))?;
        }
        Ok(())
    }
}

/// Reads the small part of a checkpoint and checks that it belongs to this run, whose own state
/// before the first step is `fresh`.
pub(crate) fn read_state(path: &Path, fresh: &RunState) -> Result<RunState, TrainError> {
    let bad = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
    let file = path.join(STATE);
    let bytes = fs::read(&file).map_err(TrainError::file(&file, "read"))?;
    let unreadable = |error: serde_json::Error| bad(format!("{STATE}: {error}"));
    let Format { format } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if format != FORMAT {
        return Err(bad(format!("format {format} is not known, expected {FORMAT}")));
    }
    let mut state: RunState = serde_json::from_slice(&bytes).map_err(unreadable)?;
    state.settings.seed = state.seed;
    state.settings.max_steps = state.max_steps;
    if state.model_fingerprint != fresh.model_fingerprint {
        return Err(bad(format!(
            "it belongs to another base model (fingerprint {}…, this model has {}…); give the run \
             another name, or remove the folder to start over",
            short(&state.model_fingerprint),
            short(&fresh.model_fingerprint)
        )));
    }
    if state.data_fingerprint != fresh.data_fingerprint {
        return Err(bad(format!(
            "it belongs to another training set (fingerprint {}…, this one has {}…)",
            short(&state.data_fingerprint),
            short(&fresh.data_fingerprint)
        )));
    }
    if state.belongs_to != fresh.belongs_to {
        return Err(bad(format!(
            "it belongs to other settings of the experiment (digest {}…, this run has {}…); give the \
             run another name, or remove the folder to start over",
            short(&state.belongs_to),
            short(&fresh.belongs_to)
        )));
    }
    let changes = fresh.settings.changes_after(&state.settings, state.step);
    if !changes.is_empty() {
        return Err(bad(format!(
            "it was made with other settings, and its steps would have been others with {}",
            changes.join(", ")
        )));
    }
    Ok(state)
}

/// The trained parameters and the optimizer of a checkpoint whose state was read.
pub(crate) fn read_tensors<M: Module>(
    path: &Path,
    model: M,
    optimizer: AdamWConfig,
) -> Result<(M, PagedAdamW), TrainError> {
    let model = params_file::load(model, &path.join(TRAINABLE))?;
    let optim = PagedAdamW::load(optimizer, &path.join(OPTIMIZER))?;
    Ok((model, optim))
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}
