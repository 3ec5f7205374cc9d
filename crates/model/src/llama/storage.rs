//! How weights are held in memory: the one place where that choice is named.

use std::fmt;
use std::str::FromStr;

use camelid_quant::QuantConfig;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::weights::{LoadedTensor, StoredType, WeightSource};

/// How a dense tensor is held. Files and options call it `f32`, `bf16` or `f16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DenseStorage {
    /// Single precision, trainable.
    #[default]
    F32,
    /// bfloat16, frozen.
    Bf16,
    /// IEEE half precision, frozen.
    F16,
}

impl DenseStorage {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// What files and options call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Bytes that a value takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::Bf16 => size_of::<bf16>(),
            Self::F16 => size_of::<f16>(),
        }
    }
}

impl fmt::Display for DenseStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DenseStorage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|storage| storage.name() == name)
            .ok_or_else(|| format!("`{name}` is no precision; expected one of {}", known()))
    }
}

/// How the linear layers of the blocks are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightStorage {
    /// Dense.
    Dense(DenseStorage),
    /// Packed to 4 bits on arrival, frozen.
    Quantized(QuantConfig),
    /// In blocks of 8-bit integers, or of a file's own 4-bit codes, and multiplied as integers with
    /// inputs rounded to 8 bits: for inference on the CPU, at some loss of accuracy.
    Int8,
}

impl WeightStorage {
    /// Dense in single precision: the one storage that trains in full.
    pub const F32: Self = Self::Dense(DenseStorage::F32);

    /// The precision of what is dense beside these linear layers: theirs, or `f32` beside packed
    /// ones.
    pub fn dense(self) -> DenseStorage {
        match self {
            Self::Dense(dense) => dense,
            Self::Quantized(_) | Self::Int8 => DenseStorage::F32,
        }
    }

    /// What options and reports call it: the precision, the 4-bit format, or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense(dense) => dense.name(),
            Self::Quantized(config) => config.format.name(),
            Self::Int8 => "int8",
        }
    }

    /// Holds linear layers as their file does: 4-bit weights stay packed whatever is asked for,
    /// half precision stays half, GGUF's blocks are widened to `f32`.
    ///
    /// # Errors
    /// When the first linear layer or the embedding cannot be read.
    pub fn as_stored(source: &dyn WeightSource, config: &LlamaConfig) -> Result<Self, ModelError> {
        let first = config.linear_shapes().next().map(|l| format!("{}.weight", l.path));
        // A 4-bit model's embedding tells its precision.
        for name in first.as_deref().into_iter().chain(["model.embed_tokens.weight"]) {
            if let LoadedTensor::Dense { stored, .. } = source.read(name)? {
                return Ok(Self::Dense(match stored {
                    StoredType::F32 | StoredType::Gguf(_) => DenseStorage::F32,
                    StoredType::F16 => DenseStorage::F16,
                    StoredType::Bf16 => DenseStorage::Bf16,
                }));
            }
        }
        Ok(Self::F32)
    }
}

impl From<DenseStorage> for WeightStorage {
    fn from(dense: DenseStorage) -> Self {
        Self::Dense(dense)
    }
}

/// [`WeightStorage::name`].
impl fmt::Display for WeightStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a token embedding or head is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableStorage {
    /// Dense.
    Dense(DenseStorage),
    /// As [`WeightStorage::Int8`]: 8.5 bits a value instead of 32, which a head reads for every token.
    Int8,
}

impl From<DenseStorage> for TableStorage {
    fn from(dense: DenseStorage) -> Self {
        Self::Dense(dense)
    }
}

/// How each part of a model is held. Norms and biases are always `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Linear layers of the blocks.
    pub linears: WeightStorage,
    /// Token embedding and head.
    pub embeddings: TableStorage,
}

impl LoadOptions {
    /// Linear layers as given; embedding and head likewise when that is dense or `int8`, else in `f32`.
    pub fn new(linears: WeightStorage) -> Self {
        let embeddings = match linears {
            WeightStorage::Int8 => TableStorage::Int8,
            other => TableStorage::Dense(other.dense()),
        };
        Self { linears, embeddings }
    }
}
