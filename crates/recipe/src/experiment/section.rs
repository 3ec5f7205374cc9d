//! The model and the data that an experiment names.

use camelid_chat::LossOn;
use camelid_data::DataFormat;
use camelid_data::nano::NanoConfig;
use camelid_model::{DenseStorage, RopeScaling};
use serde::{Deserialize, Serialize};

/// The base model of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A path, a name of the catalogue, or `nano`: the base that is made here.
    pub base: String,
    /// Tokens of prose that the nano base is pre-trained on. Default a million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretraining_tokens: Option<usize>,
    /// Width of the nano base, a multiple of 8. Default 192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_size: Option<usize>,
    /// How its linear layers are held. Default f32.
    #[serde(default)]
    pub storage: Storage,
    /// How the operands of its products are rounded. Default f32.
    #[serde(default)]
    pub compute: Compute,
    /// Stretches the rotary frequencies for a longer context than the base was made for, in place
    /// of what its `config.json` says: `type = "linear"` with `factor`, or llama3's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
}

/// How the linear layers of the base model are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Storage {
    /// Dense: `f32`, `bf16` or `f16`.
    Dense(DenseStorage),
    /// `quantized`: 4-bit, as `[quant]` says.
    Quantized,
}

/// What files call packed storage.
const QUANTIZED: &str = "quantized";

impl Default for Storage {
    fn default() -> Self {
        Self::Dense(DenseStorage::default())
    }
}

impl TryFrom<String> for Storage {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.parse() {
            Ok(dense) => Ok(Self::Dense(dense)),
            Err(_) if name == QUANTIZED => Ok(Self::Quantized),
            Err(error) => Err(format!("{error}, {QUANTIZED}")),
        }
    }
}

impl From<Storage> for String {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Dense(dense) => dense.to_string(),
            Storage::Quantized => QUANTIZED.to_owned(),
        }
    }
}

/// How the operands of a model's products are rounded; sums run in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Not at all.
    #[default]
    F32,
    /// To bfloat16: faster where the processor or the device has instructions for it.
    Bf16,
    /// To bfloat16 where a measurement shows a gain: see [`Experiment::settle_compute`]. A run keeps
    /// what it began with.
    ///
    /// [`Experiment::settle_compute`]: crate::Experiment::settle_compute
    Auto,
}

/// The training data of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A path, or a name of the catalogue; `nano` where the format is.
    pub source: String,
    /// What the source holds. Nothing is guessed from a name.
    pub format: DataFormat,
    /// Name of the conversation template; `auto` takes the base model's own.
    pub template: String,
    /// Which text carries loss: `assistant` (its turns, as Vicuna did) or `all` (the whole
    /// dialogue, as QLoRA did for OASST1). Default assistant.
    #[serde(default = "assistant")]
    pub loss_on: LossOn,
    /// Tokens of an example at most; longer ones are cut.
    pub max_length: usize,
    /// What the model is tested on; absent for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestSet>,
    /// What the source is said to hold, for a plan before it is here. Nothing of it shapes a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Dials of the nano world, where the format is nano.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano: Option<NanoConfig>,
}

/// What a source is said to hold: `expected = { rows = 257000, tokens = 370000000 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Examples to train on, after splitting and cutting.
    pub rows: usize,
    /// Their tokens in all, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// The test set of an experiment: `test = { count = 200 }` or `test = { source = "test.jsonl" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestSet {
    /// So many conversations of the source, which are then not trained on, nor are those that
    /// begin with the same prompt.
    Count(usize),
    /// A path or a name of the catalogue, in the training data's format.
    Source(String),
}

fn assistant() -> LossOn {
    LossOn::Assistant
}
