//! What can go wrong when attaching, storing or merging adapters.

use std::path::{Path, PathBuf};

use camelid_files::FileError;

/// An error of this crate. Each names the file, setting or layer at fault.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// A setting of [`LoraConfig`](crate::LoraConfig) is out of range.
    #[error("LoRA setting `{setting}` is {found}; expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A pattern of the settings is not a regular expression.
    #[error("{setting}: `{}` is not a regular expression: {problem}", shortened(pattern))]
    Pattern {
        /// The setting.
        setting: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it, in one line.
        problem: String,
    },
    /// A target matches no layer of the model.
    #[error("target_modules: `{target}` matches no linear layer; the model has {available}")]
    NoMatch {
        /// The name or pattern.
        target: String,
        /// The names of the layers there are.
        available: String,
    },
    /// The settings choose layers and take all of them away again.
    #[error(
        "exclude_modules, modules_to_save and layers_to_transform leave no layer of those that \
         target_modules chooses"
    )]
    NothingLeft,
    /// A name of `modules_to_save` stands for no module.
    #[error("modules_to_save: no module's name ends in `{name}`")]
    NothingToSave {
        /// The name.
        name: String,
    },
    /// A packed module cannot be trained whole.
    #[error("modules_to_save: `{layer}` is packed to 4 bits or held as int8 and cannot be trained whole")]
    PackedToSave {
        /// The module.
        layer: String,
    },
    /// A kind of adapter that a module cannot have.
    #[error("`{setting}` has no place on `{layer}`")]
    NotOn {
        /// The setting.
        setting: &'static str,
        /// The module.
        layer: String,
    },
    /// Factors that head and embedding would have to share.
    #[error(
        "ensure_weight_tying with factors on the embedding or the head is not supported; name the \
         module in modules_to_save, or leave the setting out"
    )]
    TiedFactors,
    /// A layer already carries an adapter.
    #[error("layer `{layer}` already carries an adapter; detach or merge it first")]
    AlreadyAttached {
        /// The layer.
        layer: String,
    },
    /// No layer carries an adapter.
    #[error("the model carries no adapter, so there is nothing to {action}")]
    NoAdapter {
        /// What was to be done with it.
        action: &'static str,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no adapter, or none that can be read.
    #[error("{}: {problem}", dir.display())]
    NoAdapterFiles {
        /// The folder.
        dir: PathBuf,
        /// What is there instead, and what to do.
        problem: String,
    },
    /// A file that should hold JSON does not.
    #[error("{}: not valid JSON: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        cause: serde_json::Error,
    },
    /// A safetensors file is damaged.
    #[error("{}: not a valid safetensors file: {cause}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: safetensors::SafeTensorError,
    },
    /// An adapter file uses something this crate does not have.
    #[error("{}: `{setting}` is {found}: {feature} is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        setting: String,
        /// Its value.
        found: String,
        /// What it asks for.
        feature: String,
    },
    /// A field of an adapter's configuration is missing or has the wrong type.
    #[error("{}: `{field}` is {found}; expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A tensor of an adapter does not fit.
    #[error("{}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The settings in a file are out of range or do not fit the model.
    #[error("{}: {problem}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with the settings.
        problem: Box<LoraError>,
    },
    /// The settings to be stored are not those the adapter was made with.
    #[error("layer `{layer}`: `{setting}` of its adapter is {found}; the settings to save give {given}")]
    OtherSettings {
        /// The layer.
        layer: String,
        /// What differs: `r`, or the scale that follows from `r`, `lora_alpha` and `use_rslora`.
        setting: &'static str,
        /// The adapter's own value.
        found: String,
        /// The value of the settings.
        given: String,
    },
    /// A merged weight cannot be stored.
    #[error(
        "layer `{layer}`: the merged weight would be {value} at flat index {index}; expected a finite number"
    )]
    MergedNotFinite {
        /// The layer.
        layer: String,
        /// Index into the row-major weight.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A bias of the adapter has nothing to be added to.
    #[error("layer `{layer}`: `lora_bias` cannot be merged, the base has no bias")]
    NoBias {
        /// The layer.
        layer: String,
    },
    /// The model and what is to be undone do not belong together.
    #[error("cannot unmerge: the model has no layer `{layer}`")]
    NotMerged {
        /// The layer.
        layer: String,
    },
    /// The logits before and after cannot be compared.
    #[error("the logits closure gave {after} values after and {before} before")]
    Logits {
        /// Number of values before.
        before: usize,
        /// Number of values after.
        after: usize,
    },
    /// Packing or unpacking a weight failed.
    #[error(transparent)]
    Quant(#[from] camelid_quant::QuantError),
}

impl LoraError {
    /// Adds the file that the settings at fault came from.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_path_buf(), problem: Box::new(self) }
    }
}

/// A pattern as a message can bear it: some are pages long.
pub(crate) fn shortened(pattern: &str) -> String {
    const LONGEST: usize = 80;
    if pattern.chars().count() <= LONGEST {
        return pattern.to_string();
    }
    pattern.chars().take(LONGEST).chain(['…']).collect()
}
