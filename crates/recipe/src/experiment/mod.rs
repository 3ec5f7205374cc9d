//! Experiments: one TOML file per run, read strictly.

mod compute;
mod explain;
mod length;
mod overrides;
mod resume;
mod section;

use std::path::Path;

use camelid_data::DataFormat;
use camelid_files::write_whole;
use camelid_lora::LoraConfig;
use camelid_model::WeightStorage;
use camelid_quant::QuantConfig;
use camelid_train::TrainSettings;
use serde::{Deserialize, Serialize};

pub use self::length::Length;
pub use self::section::{Compute, DataSection, Expected, ModelSection, Storage, TestSet};
use crate::{RecipeError, nano};

/// A run, as written in a TOML file. A key that is not known is an error naming the nearest one
/// that is; so is a value that does not fit.
///
/// ```
/// let text = "
/// name = \"smol\"
/// length = { epochs = 3 }
/// [model]
/// base = \"smollm2-135m\"
/// storage = \"quantized\"
/// [lora]
/// r = 64
/// [train]
/// learning_rat = 2e-4
/// [data]
/// source = \"oasst1\"
/// format = \"oasst-flat\"
/// template = \"guanaco\"
/// max_length = 512
/// ";
/// let error = camelid_recipe::Experiment::parse(text, "smol.toml".as_ref()).unwrap_err();
/// let message = error.to_string();
/// assert!(message.starts_with("smol.toml:10: unknown key `learning_rat`"), "{message}");
/// assert!(message.contains("did you mean `learning_rate`?"), "{message}");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run: its folder below `runs/`.
    pub name: String,
    /// Seed of everything random. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// How long to train.
    pub length: Length,
    /// The base model.
    pub model: ModelSection,
    /// Packing of the base; needs `storage = "quantized"`, whose default is NF4, blocks of 64,
    /// double quantisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quant: Option<QuantConfig>,
    /// Adapters; absent for full fine-tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// The trainer.
    #[serde(default)]
    pub train: TrainSettings,
    /// The conversations.
    pub data: DataSection,
}

impl Experiment {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// [`RecipeError::File`] when it cannot be read, and as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        Self::read_with(path, &[])
    }

    /// Reads an experiment file, with settings given beside it: each is `key.path=value`, its
    /// value TOML, or a text where it is not (see [`Self::parse_with`]).
    ///
    /// # Errors
    /// [`RecipeError::File`] when it cannot be read, and as [`Self::parse_with`].
    pub fn read_with(path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        let text = camelid_files::Input::open(path)?.text()?;
        Self::parse_with(&text, path, overrides)
    }

    /// Reads an experiment from text; `path` is for messages.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`] with line, key and the nearest known key, or with a setting that
    /// is out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecipeError> {
        let experiment: Self = toml::from_str(text).map_err(|error| explain::error(&error, text, path))?;
        experiment.check(path)?;
        Ok(experiment)
    }

    /// Reads an experiment from text, with settings given beside it. They are as strict as the
    /// file: an unknown key or a value of another type is an error.
    ///
    /// ```
    /// # let text = "name='n'\nlength={steps=1}\n[model]\nbase='b'\n[data]\nsource='s'\nformat='sharegpt'\n\
    /// #             template='vicuna'\nmax_length=64";
    /// use camelid_recipe::{Experiment, Length};
    ///
    /// let set = ["train.learning_rate=1e-4", "length={epochs=2}"].map(String::from);
    /// let experiment = Experiment::parse_with(text, "n.toml".as_ref(), &set)?;
    /// assert_eq!((experiment.train.learning_rate, experiment.length), (1e-4, Length::Epochs(2.0)));
    /// # Ok::<(), camelid_recipe::RecipeError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::parse`], and [`RecipeError::Override`].
    pub fn parse_with(text: &str, path: &Path, overrides: &[String]) -> Result<Self, RecipeError> {
        if overrides.is_empty() {
            return Self::parse(text, path);
        }
        let experiment = overrides::apply(text, path, overrides)?;
        experiment.check(path)?;
        Ok(experiment)
    }

    /// Checks what no single key can tell.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`]; `path` is for messages.
    pub fn check(&self, path: &Path) -> Result<(), RecipeError> {
        let wrong = |reason: &str| {
            Err(RecipeError::Experiment { path: path.into(), line: None, reason: reason.to_owned() })
        };
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return wrong("`name` becomes a folder: expected a non-empty name without `/` or `\\`");
        }
        if self.quant.is_some() && self.model.storage != Storage::Quantized {
            return wrong("`[quant]` is given, but `model.storage` is not \"quantized\"");
        }
        if self.weight_storage() != WeightStorage::F32 && self.lora.is_none() {
            return wrong(
                "full fine-tuning (no `[lora]`) needs `model.storage = \"f32\"`: packed and \
                 16-bit weights are frozen",
            );
        }
        if self.data.max_length < 2 {
            return wrong("`data.max_length`: expected at least 2, so that there is a next token");
        }
        if self.data.test == Some(TestSet::Count(0)) {
            return wrong("`data.test`: expected at least 1 conversation; leave it out to test on none");
        }
        let is_nano = self.data.format == DataFormat::Nano;
        if self.data.nano.is_some() && !is_nano {
            return wrong("`[data.nano]` is given, but `data.format` is not \"nano\"");
        }
        if is_nano != (self.model.base == nano::BASE) {
            return wrong("the base `nano` and the data format `nano` belong together");
        }
        if self.model.pretraining_tokens.is_some() && !is_nano {
            return wrong(
                "`model.pretraining_tokens` is given, but the base is not `nano`, which is made here",
            );
        }
        match self.model.hidden_size {
            Some(_) if !is_nano => {
                return wrong("`model.hidden_size` is given, but the base is not `nano`, which is made here");
            }
            Some(width) if width == 0 || !width.is_multiple_of(8) => {
                return wrong("`model.hidden_size`: expected a multiple of 8");
            }
            _ => {}
        }
        if let Err(reason) = self.length.check() {
            return wrong(&reason);
        }
        if let Some(lora) = &self.lora {
            lora.check().or_else(|error| wrong(&error.to_string()))?;
        }
        self.train.check().or_else(|error| wrong(&error.to_string()))
    }

    /// The trainer's settings for a training set of `examples`, with the experiment's seed and
    /// length.
    pub fn train_settings(&self, examples: usize) -> TrainSettings {
        let max_steps = self.length.steps(examples, self.train.micro_batch_size * self.train.grad_accum);
        TrainSettings { seed: self.seed, max_steps, ..self.train.clone() }
    }

    /// How the base's linear layers are held, in the model's own terms.
    pub fn weight_storage(&self) -> WeightStorage {
        match self.model.storage {
            Storage::Dense(dense) => WeightStorage::Dense(dense),
            Storage::Quantized => WeightStorage::Quantized(self.quant.unwrap_or_default()),
        }
    }

    /// The experiment as TOML, with every default filled in.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`] for a value that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|error| RecipeError::Experiment {
            path: self.name.clone().into(),
            line: None,
            reason: error.to_string(),
        })
    }

    /// Writes the experiment with every default filled in: whole or not at all.
    ///
    /// # Errors
    /// [`RecipeError::File`].
    pub fn save(&self, path: &Path) -> Result<(), RecipeError> {
        Ok(write_whole(path, self.to_toml()?.as_bytes())?)
    }
}
