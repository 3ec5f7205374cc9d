//! The element types that weights come in.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The element type a tensor had before it was quantised, and has again when it
/// is dequantised "as it was". bitsandbytes files record it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceType {
    /// 32-bit float.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl SourceType {
    /// PyTorch's name, as in bitsandbytes' quant_state.
    pub fn torch_name(self) -> &'static str {
        match self {
            SourceType::F32 => "float32",
            SourceType::F16 => "float16",
            SourceType::Bf16 => "bfloat16",
        }
    }

    /// The inverse of [`SourceType::torch_name`].
    pub fn from_torch_name(name: &str) -> Option<Self> {
        [SourceType::F32, SourceType::F16, SourceType::Bf16].into_iter().find(|t| t.torch_name() == name)
    }
}

/// Borrowed values of any supported element type.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Half-precision floats.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl<'a> Values<'a> {
    /// The element type.
    pub fn source(&self) -> SourceType {
        match self {
            Values::F32(_) => SourceType::F32,
            Values::F16(_) => SourceType::F16,
            Values::Bf16(_) => SourceType::Bf16,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F16(values) => values.len(),
            Values::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Widened to f32, which is exact; borrowed when they are f32 already.
    pub fn widened(self) -> std::borrow::Cow<'a, [f32]> {
        match self {
            Values::F32(values) => values.into(),
            Values::F16(values) => values.iter().map(|v| v.to_f32()).collect(),
            Values::Bf16(values) => values.iter().map(|v| v.to_f32()).collect(),
        }
    }
}

impl<'a> From<&'a [f32]> for Values<'a> {
    fn from(values: &'a [f32]) -> Self {
        Values::F32(values)
    }
}

impl<'a> From<&'a [f16]> for Values<'a> {
    fn from(values: &'a [f16]) -> Self {
        Values::F16(values)
    }
}

impl<'a> From<&'a [bf16]> for Values<'a> {
    fn from(values: &'a [bf16]) -> Self {
        Values::Bf16(values)
    }
}
