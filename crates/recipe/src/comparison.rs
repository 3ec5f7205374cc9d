//! Arms × seeds: each tuned in a process of its own, its outcome kept, so that a comparison goes on
//! where it was interrupted and does nothing twice.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use camelid_data::TokenizedSet;
use camelid_files::FileError;
use camelid_files::digest::Sum;
use camelid_model::Llama;
use camelid_train::{Interrupt, Progress, Summary, Trainer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outcome::{Stored, changed, settings_of};
use crate::{Arm, Children, Experiment, Opened, RecipeError};

/// Several arms of one experiment, side by side.
#[derive(Debug)]
pub struct Comparison {
    /// Settings of the main arm; the others change what they compare.
    pub experiment: Experiment,
    /// Where everything of it is kept.
    pub folder: PathBuf,
    /// The recipe and how it measures: raised whenever that changes, so that no outcome of an
    /// older way is taken for today's.
    pub recipe: String,
    /// Digest of base and data.
    pub inputs: String,
}

/// Arms that were run.
#[derive(Debug)]
pub struct Ran<T> {
    /// Their outcomes, in order.
    pub outcomes: Vec<T>,
    /// How many of them were there already.
    pub reused: usize,
}

impl Comparison {
    /// A comparison kept in `folder`, which is made.
    ///
    /// # Errors
    /// A folder that cannot be made, a base that cannot be read.
    pub fn new(
        experiment: Experiment,
        opened: &Opened,
        recipe: &str,
        questions: &[u8],
        folder: PathBuf,
    ) -> Result<Self, RecipeError> {
        std::fs::create_dir_all(&folder).map_err(FileError::io(&folder, "create"))?;
        let inputs = opened.digest(questions)?;
        Ok(Self { experiment, folder, recipe: recipe.to_owned(), inputs })
    }

    /// Digest of recipe, base, data and `parts`.
    pub fn key(&self, parts: &[&str]) -> String {
        let mut sum = Sum::default();
        for part in [self.recipe.as_str(), &self.inputs].iter().chain(parts) {
            sum.add(part.len().to_le_bytes()).add(part.as_bytes());
        }
        sum.finish()
    }

    /// Digest of all that determines an arm's outcome.
    ///
    /// # Errors
    /// Settings that TOML cannot hold.
    pub fn arm_key(&self, arm: &impl Arm, seed: u64) -> Result<String, RecipeError> {
        Ok(self.key(&["arm", arm.name(), &arm.experiment(&self.experiment, seed).to_toml()?]))
    }

    /// Where an arm's run is kept. The key is part of the name, so that a checkpoint of other
    /// settings is never gone on from.
    ///
    /// # Errors
    /// As [`Self::arm_key`].
    pub fn arm_folder(&self, arm: &impl Arm, seed: u64) -> Result<PathBuf, RecipeError> {
        let key = self.arm_key(arm, seed)?;
        Ok(self.folder.join("arms").join(format!("{}-seed{seed}-{}", arm.name(), &key[..8])))
    }

    /// Trains `model` on `train` with an arm's settings, in the arm's folder; `watched` is measured on
    /// the way. `None` when interrupted: the checkpoint is kept, and the next call goes on from it.
    ///
    /// # Errors
    /// The trainer's, a disk that is full.
    pub fn train(
        &self,
        arm: &impl Arm,
        seed: u64,
        model: Llama,
        train: TokenizedSet,
        watched: Option<TokenizedSet>,
    ) -> Result<Option<(Llama, Summary)>, RecipeError> {
        let experiment = arm.experiment(&self.experiment, seed);
        let folder = self.arm_folder(arm, seed)?;
        std::fs::create_dir_all(&folder).map_err(FileError::io(&folder, "create"))?;
        experiment.save(&folder.join("experiment.toml"))?;
        let settings = experiment.train_settings(train.examples.len());
        let progress = Box::new(Progress::new(&format!("{} seed {seed}", arm.name())));
        let interrupt = Interrupt::from_ctrl_c()?;
        let run = Trainer::new(model, settings, train, watched, &folder, progress)?
            .belonging_to(self.arm_key(arm, seed)?)
            .with_interrupt(interrupt.clone())
            .run()?;
        // The last checkpoint is written: an interruption from here on costs the measuring alone.
        Ok((run.finished && !interrupt.requested()).then_some((run.model, run.summary)))
    }

    /// Keeps an arm's outcome, with its settings.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn keep<T: Serialize + DeserializeOwned>(
        &self,
        arm: &impl Arm,
        seed: u64,
        outcome: T,
    ) -> Result<(), RecipeError> {
        let settings = arm.experiment(&self.experiment, seed).to_toml()?;
        let path = self.arm_folder(arm, seed)?.join("outcome.json");
        Stored { key: self.arm_key(arm, seed)?, settings, outcome }.keep(&path)
    }

    /// An arm's outcome, where it is finished under the same settings.
    ///
    /// # Errors
    /// As [`Self::arm_key`].
    pub fn finished<T: Serialize + DeserializeOwned>(
        &self,
        arm: &impl Arm,
        seed: u64,
    ) -> Result<Option<T>, RecipeError> {
        let path = self.arm_folder(arm, seed)?.join("outcome.json");
        Ok(Stored::reuse(&path, &self.arm_key(arm, seed)?))
    }

    /// Runs every arm with its number of seeds, each in a child process that is told `part(arm,
    /// seed)` and leaves its outcome by [`Self::keep`], as many at once as `children` says; those that
    /// are finished are reused. `None` when interrupted: the next call goes on.
    ///
    /// # Errors
    /// A child that fails or leaves nothing.
    pub fn run<A: Arm + Sync, T: Serialize + DeserializeOwned + Send>(
        &self,
        arms: &[(A, u64)],
        children: &Children,
        part: impl Fn(&str, u64) -> Vec<String> + Sync,
        interrupted: &AtomicBool,
    ) -> Result<Option<Ran<T>>, RecipeError> {
        let all: Vec<(&A, u64)> =
            arms.iter().flat_map(|(arm, seeds)| (0..*seeds).map(move |seed| (arm, seed))).collect();
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<Vec<(usize, T, bool)>, RecipeError> {
            let mut done = Vec::new();
            while !interrupted.load(Ordering::SeqCst) && !stop.load(Ordering::SeqCst) {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let Some((arm, seed)) = all.get(at) else { break };
                match self.run_one(*arm, *seed, children, &part) {
                    Ok(Some((outcome, reused))) => done.push((at, outcome, reused)),
                    Ok(None) => stop.store(true, Ordering::SeqCst),
                    Err(error) => {
                        stop.store(true, Ordering::SeqCst);
                        return Err(error);
                    }
                }
            }
            Ok(done)
        };
        let mut done = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..children.at_once.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                done.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
                Ok::<(), RecipeError>(())
            })
        })?;
        done.sort_by_key(|(at, ..)| *at);
        let reused = done.iter().filter(|(_, _, reused)| *reused).count();
        let whole = done.len() == all.len();
        Ok(whole.then(|| Ran { outcomes: done.into_iter().map(|(_, outcome, _)| outcome).collect(), reused }))
    }

    /// One arm and seed, with whether it was finished before; `None` when interrupted.
    fn run_one<T: Serialize + DeserializeOwned>(
        &self,
        arm: &impl Arm,
        seed: u64,
        children: &Children,
        part: impl Fn(&str, u64) -> Vec<String>,
    ) -> Result<Option<(T, bool)>, RecipeError> {
        let name = arm.name();
        if let Some(finished) = self.finished(arm, seed)? {
            println!("{name:<16} seed {seed}: reused from an earlier run");
            return Ok(Some((finished, true)));
        }
        println!("{name:<16} seed {seed}: {}", arm.label());
        for change in self.changes(arm, seed)? {
            println!("{:<16} run again: {change}", "");
        }
        let what = format!("arm `{name}` (seed {seed})");
        if !children.run(&what, &part(name, seed))? {
            return Ok(None);
        }
        let nothing = "it ended without leaving its outcome".to_owned();
        let outcome = self.finished(arm, seed)?.ok_or(RecipeError::Child { what, reason: nothing })?;
        Ok(Some((outcome, false)))
    }

    /// What `measure` finds, kept in the file `<name>.json` of this comparison's folder: measured once for
    /// the same recipe, base and data.
    ///
    /// # Errors
    /// Those of `measure`, and a disk that is full.
    pub fn once<T: Serialize + DeserializeOwned + Clone, E: From<RecipeError>>(
        &self,
        name: &str,
        measure: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let (key, path) = (self.key(&[name]), self.folder.join(format!("{name}.json")));
        if let Some(outcome) = Stored::reuse(&path, &key) {
            return Ok(outcome);
        }
        let outcome = measure()?;
        Stored { key, settings: String::new(), outcome: outcome.clone() }.keep(&path)?;
        Ok(outcome)
    }

    /// Removes the finished parts of these names (`arms`, …), checkpoints among them.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn forget(&self, parts: &[&str]) -> Result<(), RecipeError> {
        for folder in parts.iter().map(|part| self.folder.join(part)).filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(&folder).map_err(FileError::io(&folder, "remove"))?;
        }
        Ok(())
    }

    /// What differs from an outcome of the same arm and seed that is there under other settings.
    fn changes(&self, arm: &impl Arm, seed: u64) -> Result<Vec<String>, RecipeError> {
        let prefix = format!("{}-seed{seed}-", arm.name());
        let Ok(entries) = std::fs::read_dir(self.folder.join("arms")) else { return Ok(Vec::new()) };
        let mut others: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        others.retain(|path| camelid_files::name(path).starts_with(&prefix));
        others.sort();
        let before = others.last().and_then(|folder| settings_of(&folder.join("outcome.json")));
        let Some(before) = before else { return Ok(Vec::new()) };
        let now = arm.experiment(&self.experiment, seed).to_toml()?;
        let changes = changed(&before, &now);
        Ok(if changes.is_empty() { vec!["base, data or recipe changed".to_owned()] } else { changes })
    }
}

impl Opened {
    /// Digest of every byte of the base's files, of the template, of every token, and of `more`.
    ///
    /// # Errors
    /// A base that cannot be read.
    pub fn digest(&self, more: &[u8]) -> Result<String, RecipeError> {
        let mut sum = Sum::default();
        for path in files_of(&self.base)? {
            sum.add(camelid_files::digest::of_file(&path)?.1);
        }
        sum.add(self.template.definition());
        for set in std::iter::once(&self.train).chain(&self.test) {
            for example in &set.examples {
                sum.add(example.ids.len().to_le_bytes());
                for id in &example.ids {
                    sum.add(id.to_le_bytes());
                }
                for label in &example.labels {
                    sum.add(label.to_le_bytes());
                }
            }
        }
        sum.add(more);
        Ok(sum.finish())
    }
}

fn files_of(base: &Path) -> Result<Vec<PathBuf>, RecipeError> {
    if !base.is_dir() {
        return Ok(vec![base.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(base).map_err(FileError::io(base, "read"))? {
        let path = entry.map_err(FileError::io(base, "read"))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
