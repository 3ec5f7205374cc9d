//! What to quantise to.

use camelid_kernels::blockwise4::{BLOCK_SIZES, Code4, block_count, packed_len};
use serde::{Deserialize, Serialize};

use crate::QuantError;

/// Scales per nested scale under double quantisation, as in bitsandbytes.
pub const NESTED_BLOCK_SIZE: usize = 256;

/// The 4-bit code book, as configuration files name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 4-bit NormalFloat (QLoRA, section 3).
    #[default]
    Nf4,
    /// bitsandbytes' 4-bit float.
    Fp4,
    /// Symmetric 4-bit integers scaled by the block's largest magnitude.
    Int4,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Nf4, Self::Fp4, Self::Int4];

    /// The code book of the kernels.
    pub fn code(self) -> Code4 {
        match self {
            Format::Nf4 => Code4::Nf4,
            Format::Fp4 => Code4::Fp4,
            Format::Int4 => Code4::Int4,
        }
    }

    /// The name in configuration files and in bitsandbytes' `quant_type`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Nf4 => "nf4",
            Format::Fp4 => "fp4",
            Format::Int4 => "int4",
        }
    }
}

impl From<Code4> for Format {
    fn from(code: Code4) -> Self {
        match code {
            Code4::Nf4 => Format::Nf4,
            Code4::Fp4 => Format::Fp4,
            Code4::Int4 => Format::Int4,
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How weights are quantised. The default is QLoRA's: NF4, blocks of 64, double
/// quantisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantConfig {
    /// The code book.
    pub format: Format,
    /// Values per scale: a power of two from 32 to 4096.
    pub block_size: usize,
    /// Whether the scales are themselves quantised to 8 bits (QLoRA, section 3).
    pub double_quant: bool,
}

impl Default for QuantConfig {
    fn default() -> Self {
        QuantConfig { format: Format::Nf4, block_size: 64, double_quant: true }
    }
}

impl QuantConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`QuantError::BlockSize`] unless the block size is a power of two from 32
    /// to 4096.
    pub fn validate(&self) -> Result<(), QuantError> {
        if BLOCK_SIZES.contains(&self.block_size) {
            Ok(())
        } else {
            Err(QuantError::BlockSize { found: self.block_size })
        }
    }

    /// Bits per parameter of a tensor large enough for partial blocks and the one
    /// offset not to count: 4.5 for NF4 in blocks of 64, 4.127 (4 + 8/64 +
    /// 32/(64·256)) with double quantisation.
    pub fn bits_per_parameter(&self) -> f64 {
        let block = self.block_size as f64;
        if self.double_quant {
            4.0 + 8.0 / block + 32.0 / (block * NESTED_BLOCK_SIZE as f64)
        } else {
            4.0 + 32.0 / block
        }
    }

    /// Bytes a tensor of this shape takes: [`crate::QuantizedTensor::nbytes`]
    /// without quantising anything. For memory plans.
    pub fn bytes_for(&self, shape: &[usize]) -> usize {
        let len = shape.iter().product();
        packed_len(len) + self.constants_bytes_for(shape)
    }

    /// The part of [`QuantConfig::bytes_for`] that scales and offset take.
    pub fn constants_bytes_for(&self, shape: &[usize]) -> usize {
        let blocks = block_count(shape.iter().product(), self.block_size);
        if self.double_quant { blocks + 4 * block_count(blocks, NESTED_BLOCK_SIZE) + 4 } else { 4 * blocks }
    }
}
