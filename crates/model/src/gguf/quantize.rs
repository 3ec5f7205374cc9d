//! `f32` values into the blocks of a GGUF file.
//!
//! Scales and codes are those of ggml's reference quantisers (`quantize_row_q8_0_ref` and
//! `quantize_row_q4_0_ref` of `ggml-quants.c`), which take them from each block's largest value and
//! search for nothing.

use half::{bf16, f16};

use super::tensor_type::TensorType;

/// Why values cannot be stored in a type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuantizeError {
    /// A value that no block format holds.
    #[error("holds {value} at index {index}, which {} cannot hold", kind.name())]
    Value {
        /// Where it is, in row-major order.
        index: usize,
        /// The value.
        value: f32,
        /// The type.
        kind: TensorType,
    },
    /// The values are no whole number of blocks.
    #[error("has {values} values, expected a multiple of {} for {}", kind.block_len(), kind.name())]
    Length {
        /// How many there are.
        values: usize,
        /// The type.
        kind: TensorType,
    },
    /// A type that is only read.
    #[error("cannot be written as {}: F32, F16, BF16, Q8_0 and Q4_0 are written", kind.name())]
    Kind {
        /// The type.
        kind: TensorType,
    },
}

impl QuantizeError {
    /// The same of values that `before` others came before.
    pub(super) fn after(self, before: usize) -> Self {
        match self {
            Self::Value { index, value, kind } => Self::Value { index: before + index, value, kind },
            other => other,
        }
    }
}

/// Appends the blocks of `values` to `bytes`: the other way from [`dequantize`](super::dequantize).
///
/// ```
/// use camelid_model::gguf::{TensorType, dequantize, quantize};
///
/// let values: Vec<f32> = (0..32).map(|i| i as f32 - 16.0).collect();
/// let mut bytes = Vec::new();
/// quantize(TensorType::Q4_0, &values, &mut bytes)?;
/// let mut restored = vec![0.0; 32];
/// dequantize(TensorType::Q4_0, &bytes, &mut restored);
/// assert!(values.iter().zip(&restored).all(|(a, b)| (a - b).abs() <= 2.0));
/// # Ok::<(), camelid_model::gguf::QuantizeError>(())
/// ```
///
/// # Errors
/// Values that are not finite, or beyond the range of half precision for F16 and the scales of
/// blocks; a length that is no multiple of the block's; types that are only read. `bytes` is
/// unspecified then.
pub fn quantize(kind: TensorType, values: &[f32], bytes: &mut Vec<u8>) -> Result<(), QuantizeError> {
    if !values.len().is_multiple_of(kind.block_len()) {
        return Err(QuantizeError::Length { values: values.len(), kind });
    }
    if let Some(index) = values.iter().position(|value| !fits(kind, *value)) {
        return Err(QuantizeError::Value { index, value: values[index], kind });
    }
    bytes.reserve(values.len() / kind.block_len() * kind.block_bytes());
    match kind {
        TensorType::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        TensorType::F16 => bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
        TensorType::BF16 => bytes.extend(values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes())),
        TensorType::Q8_0 => values.chunks_exact(32).for_each(|block| q8_0(block, bytes)),
        TensorType::Q4_0 => values.chunks_exact(32).for_each(|block| q4_0(block, bytes)),
        kind => return Err(QuantizeError::Kind { kind }),
    }
    Ok(())
}

/// Whether a value has a finite code. The scale of a block is its largest value over 127 or 8, in half
/// precision.
fn fits(kind: TensorType, value: f32) -> bool {
    let scale = match kind {
        TensorType::F16 => value,
        TensorType::BF16 => return bf16::from_f32(value).is_finite(),
        TensorType::Q8_0 => value / 127.0,
        TensorType::Q4_0 => value / 8.0,
        _ => return value.is_finite(),
    };
    f16::from_f32(scale).is_finite()
}

/// A half-precision scale, then 32 signed bytes: `round(x · 127 / max|x|)`, halves away from zero.
fn q8_0(block: &[f32], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    bytes.extend(f16::from_f32(d).to_le_bytes());
    bytes.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
}

/// A half-precision scale, then 32 codes around 8, those of the first half in the low nibbles. The
/// value of largest magnitude, with its sign, becomes −8.
fn q4_0(block: &[f32], bytes: &mut Vec<u8>) {
    let signed =
        block.iter().fold(0.0_f32, |most, value| if value.abs() > most.abs() { *value } else { most });
    let d = signed / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    bytes.extend(f16::from_f32(d).to_le_bytes());
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    let (low, high) = block.split_at(16);
    bytes.extend(low.iter().zip(high).map(|(low, high)| code(*low) | (code(*high) << 4)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_block_can_hold_is_refused_by_its_place() {
        let mut values = vec![1.0; 64];
        values[40] = f32::NAN;
        for kind in [TensorType::F32, TensorType::F16, TensorType::Q8_0, TensorType::Q4_0] {
            let error = quantize(kind, &values, &mut Vec::new()).unwrap_err().to_string();
            assert!(error.contains("NaN at index 40") && error.contains(kind.name()), "{error}");
        }
        values[40] = 70_000.0;
        assert!(quantize(TensorType::F16, &values, &mut Vec::new()).is_err());
        assert!(quantize(TensorType::Q8_0, &values, &mut Vec::new()).is_ok(), "the scale is 551");
        values[40] = 1e7;
        assert!(quantize(TensorType::Q8_0, &values, &mut Vec::new()).is_err());
        assert!(quantize(TensorType::Q4_0, &values[..33], &mut Vec::new()).is_err());
        assert!(quantize(TensorType::Q6_K, &[0.0; 256], &mut Vec::new()).is_err());
    }

    #[test]
    fn a_block_of_zeros_is_zeros() {
        for kind in [TensorType::Q8_0, TensorType::Q4_0] {
            let mut bytes = Vec::new();
            quantize(kind, &[0.0; 32], &mut bytes).unwrap();
            let mut values = [1.0; 32];
            super::super::dequantize(kind, &bytes, &mut values);
            assert_eq!(values, [0.0; 32], "{}", kind.name());
        }
    }
}
