//! Experiments: one TOML file per run, read strictly.

use std::path::Path;

use camelid_files::write_whole;
use camelid_lora::LoraConfig;
use camelid_quant::QuantConfig;
use serde::{Deserialize, Serialize};

use crate::{TrainError, TrainSettings};

/// A run, as written in a TOML file. A key that is not known is an error naming the nearest one
/// that is; so is a value that does not fit.
///
/// ```
/// let text = "
/// name = \"smol\"
/// [model]
/// base = \"smollm2-135m\"
/// storage = \"quantized\"
/// [train]
/// learning_rat = 2e-4
/// [data]
/// source = \"oasst1\"
/// ";
/// let error = camelid_train::Experiment::parse(text, "smol.toml".as_ref()).unwrap_err();
/// let message = error.to_string();
/// assert!(message.starts_with("smol.toml:7: unknown key `learning_rat`"), "{message}");
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

/// The base model of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A name of the catalogue, a hub repository, or a path.
    pub base: String,
    /// How its linear layers are held. Default f32.
    #[serde(default)]
    pub storage: Storage,
}

/// How the linear layers of the base model are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit.
    #[default]
    F32,
    /// 16-bit, 8 bits of exponent.
    Bf16,
    /// 16-bit, 5 bits of exponent.
    F16,
    /// 4-bit, as `[quant]` says.
    Quantized,
}

/// The training data of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A name of the catalogue, or a file.
    pub source: String,
    /// Name of the conversation template. Default guanaco.
    #[serde(default = "guanaco")]
    pub template: String,
    /// Which text carries loss. Default all.
    #[serde(default)]
    pub loss_on: LossOnText,
    /// Tokens of an example at most; longer ones are cut. Default 513: with loss on everything the
    /// source is the beginning-of-text token alone, so QLoRA's 16 + 512 is 1 + 512 at most.
    #[serde(default = "paper_length")]
    pub max_length: usize,
    /// Examples held out for evaluation. Default 0.
    #[serde(default)]
    pub held_out: usize,
}

/// Which text of a conversation carries loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossOnText {
    /// The whole dialogue, as QLoRA did for OASST1.
    #[default]
    All,
    /// The assistant's turns, as Vicuna did.
    Assistant,
}

impl From<LossOnText> for camelid_chat::LossOn {
    fn from(text: LossOnText) -> Self {
        match text {
            LossOnText::All => Self::All,
            LossOnText::Assistant => Self::Assistant,
        }
    }
}

fn guanaco() -> String {
    "guanaco".to_owned()
}

fn paper_length() -> usize {
    513
}

impl Experiment {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// [`TrainError::File`] when it cannot be read, and as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::file(path, "read"))?;
        Self::parse(&text, path)
    }

    /// Reads an experiment from text; `path` is for messages.
    ///
    /// # Errors
    /// [`TrainError::Experiment`] with line, key and the nearest known key, and
    /// [`TrainError::Setting`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        let experiment: Self = toml::from_str(text).map_err(|error| explain(&error, text, path))?;
        experiment.check(path)?;
        Ok(experiment)
    }

    fn check(&self, path: &Path) -> Result<(), TrainError> {
        let wrong = |reason: &str| {
            Err(TrainError::Experiment { path: path.into(), line: None, reason: reason.to_owned() })
        };
        if self.name.is_empty() || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            return wrong("`name` becomes a folder: expected a non-empty name without `/` or `\\`");
        }
        if self.quant.is_some() && self.model.storage != Storage::Quantized {
            return wrong("`[quant]` is given, but `model.storage` is not \"quantized\"");
        }
        if self.model.storage != Storage::F32 && self.lora.is_none() {
            return wrong(
                "full fine-tuning (no `[lora]`) needs `model.storage = \"f32\"`: packed and \
                 16-bit weights are frozen",
            );
        }
        if self.data.max_length < 2 {
            return wrong("`data.max_length`: expected at least 2, so that there is a next token");
        }
        self.train.check()
    }

    /// The trainer's settings, with the experiment's seed.
    pub fn train_settings(&self) -> TrainSettings {
        TrainSettings { seed: self.seed, ..self.train.clone() }
    }

    /// Writes the experiment with every default filled in: whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let text = toml::to_string(self).map_err(|error| TrainError::Experiment {
            path: path.into(),
            line: None,
            reason: error.to_string(),
        })?;
        Ok(write_whole(path, text.as_bytes())?)
    }
}

/// Says what is wrong in the file's own terms: line, key, and the key that was probably meant.
fn explain(error: &toml::de::Error, text: &str, path: &Path) -> TrainError {
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let reason = match (message.strip_prefix("unknown "), quoted.split_first()) {
        (Some(rest), Some((found, known))) => {
            let kind = if rest.starts_with("field") { "key" } else { "value" };
            let likeness = |known: &str| strsim::normalized_damerau_levenshtein(found, known);
            let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let hint = nearest.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            format!("unknown {kind} `{found}`{hint} (known: {})", known.join(", "))
        }
        _ => message.to_owned(),
    };
    TrainError::Experiment { path: path.into(), line, reason }
}
