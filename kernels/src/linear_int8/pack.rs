//! Matrices into the layout that the kernels read.

use burn::tensor::TensorData;
use half::f16;

use super::spec::{GROUP, INT8_BLOCK, Int8Codes, Int8Spec, PANEL, SCALES_BYTES, stored};
use crate::values::Values;

/// Writes a matrix block by block, in any order. Blocks that are never written are zero.
///
/// ```
/// use camelid_kernels::{Int8Codes, Int8Packer, Int8Spec};
/// use half::f16;
///
/// let spec = Int8Spec { codes: Int8Codes::Bytes, out_features: 2, in_features: 32 };
/// let mut packer = Int8Packer::new(spec);
/// packer.block(1, 0, f16::from_f32(0.5), f16::ZERO, &[4; 32]);
/// assert_eq!(packer.finish().num_elements(), spec.packed_len());
/// ```
pub struct Int8Packer {
    spec: Int8Spec,
    bytes: Values,
}

impl Int8Packer {
    /// A matrix of zeros.
    pub fn new(spec: Int8Spec) -> Self {
        let mut bytes = Values::unset(spec.packed_len().div_ceil(size_of::<f32>()));
        bytes.fill(0.0);
        Self { spec, bytes }
    }

    /// What the bytes will mean.
    pub fn spec(&self) -> Int8Spec {
        self.spec
    }

    /// Sets a block: `codes` are two's complement bytes, or 4-bit codes one to a byte; `minimum` is
    /// read where blocks have one. Codes beyond the end of the row must be zero (or for a table any
    /// that it has): they are multiplied with zeros.
    ///
    /// # Panics
    /// If there is no such block, or a 4-bit code is above 15.
    pub fn block(&mut self, row: usize, block: usize, scale: f16, minimum: f16, codes: &[u8; INT8_BLOCK]) {
        let spec = self.spec;
        assert!(row < spec.out_features && block < spec.blocks(), "block {block} of row {row}");
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.bytes);
        let at = spec.scale_at(row, block);
        bytes[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        if spec.layout().minima {
            let at = at + SCALES_BYTES;
            bytes[at..at + 2].copy_from_slice(&minimum.to_le_bytes());
        }
        let (at, _) = spec.code_at(row, block * INT8_BLOCK);
        match spec.codes {
            Int8Codes::Bytes => {
                for (group, codes) in codes.as_chunks::<GROUP>().0.iter().enumerate() {
                    let to = &mut bytes[at + group * PANEL * GROUP..][..GROUP];
                    to.copy_from_slice(&codes.map(|code| stored(code.cast_signed())));
                }
            }
            Int8Codes::Nibbles { .. } => {
                assert!(codes.iter().all(|&code| code < 16), "4-bit codes {codes:?}");
                let (low, high) = codes.split_at(INT8_BLOCK / 2);
                let groups = low.chunks_exact(GROUP).zip(high.chunks_exact(GROUP));
                for (group, (low, high)) in groups.enumerate() {
                    let to = &mut bytes[at + group * PANEL * GROUP..][..GROUP];
                    for ((to, low), high) in to.iter_mut().zip(low).zip(high) {
                        *to = low | high << 4;
                    }
                }
            }
        }
    }

    /// Rounds a row of values to signed bytes, `scale` being a block's largest magnitude over 127 in
    /// f16. Values below 2⁻²⁵ of one are lost with it.
    ///
    /// # Errors
    /// The column of a value that is not finite or whose block's scale is beyond f16's range.
    ///
    /// # Panics
    /// If the row is not there or of another length, or the codes are not bytes.
    pub fn quantize_row(&mut self, row: usize, values: &[f32]) -> Result<(), usize> {
        assert_eq!(self.spec.codes, Int8Codes::Bytes, "values are rounded to bytes");
        assert_eq!(values.len(), self.spec.in_features, "length of a row");
        for (block, values) in values.chunks(INT8_BLOCK).enumerate() {
            let first = block * INT8_BLOCK;
            if let Some(i) = values.iter().position(|value| !value.is_finite()) {
                return Err(first + i);
            }
            let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let scale = f16::from_f32(largest / 127.0);
            if !scale.is_finite() {
                return Err(first + values.iter().position(|v| v.abs() == largest).unwrap_or(0));
            }
            let step = scale.to_f32();
            let mut codes = [0u8; INT8_BLOCK];
            if step > 0.0 {
                for (code, value) in codes.iter_mut().zip(values) {
                    // The scale was rounded: the largest value may lie a little beyond 127 steps.
                    let rounded = (value / step).round_ties_even().clamp(-127.0, 127.0);
                    *code = (rounded as i8).cast_unsigned();
                }
            }
            self.block(row, block, scale, f16::ZERO, &codes);
        }
        Ok(())
    }

    /// The bytes, U8 `[packed_len]`.
    pub fn finish(self) -> TensorData {
        self.bytes.into_bytes(self.spec.packed_len())
    }
}

/// The signed bytes that come nearest to a code book when multiplied with one factor, and the number
/// of steps that 1 takes: `table[i] ≈ bytes[i] / steps`.
///
/// Of all numbers of steps that keep the largest magnitude within a byte, the one with the least
/// sum of squared differences; a book of whole multiples is met exactly.
pub fn signed_table(table: &[f32; 16]) -> ([i8; 16], f32) {
    let largest = table.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let rounded = |steps: f32| table.map(|value| (value * steps).round_ties_even() as i8);
    let difference = |steps: f32| -> f32 {
        let bytes = rounded(steps);
        table.iter().zip(bytes).map(|(value, byte)| (f32::from(byte) / steps - value).powi(2)).sum()
    };
    // Quarters of a step between half the range and all of it.
    let candidates = (4 * 64..=4 * 127).rev().map(|quarters| quarters as f32 / 4.0 / largest);
    let steps =
        candidates.min_by(|a, b| difference(*a).total_cmp(&difference(*b))).unwrap_or(127.0 / largest);
    (rounded(steps), steps)
}
