//! Quantising values that come a piece at a time, so that the dense tensor never exists.

use camelid_kernels::blockwise4::{self, block_count, packed_len};

use crate::tensor::checked_len;
use crate::{Absmax, QuantConfig, QuantError, QuantizeOptions, QuantizedTensor, SourceType};

/// Values in a piece: 4 MiB of f32. A multiple of every block size.
pub const PIECE_VALUES: usize = 1 << 20;

impl QuantizedTensor {
    /// Quantises the values that `fill(first, piece)` writes: `piece` is to hold those from flat
    /// index `first` on. Pieces come in order, [`PIECE_VALUES`] long but for the last. The result
    /// is that of [`QuantizedTensor::quantize`] on all values at once, to the bit; beside it, one
    /// piece is in memory.
    ///
    /// # Errors
    /// As [`QuantizedTensor::quantize`], and whatever `fill` returns.
    pub fn quantize_pieces<E: From<QuantError>>(
        name: &str,
        shape: &[usize],
        config: &QuantConfig,
        mut fill: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        config.validate()?;
        let tensor = || name.to_owned();
        let len = checked_len(shape).ok_or_else(|| QuantError::Shape {
            tensor: tensor(),
            shape: shape.to_vec(),
            found: usize::MAX,
        })?;
        let rounding = QuantizeOptions::default().rounding;
        let mut packed = vec![0; packed_len(len)];
        let mut absmax = vec![0.0; block_count(len, config.block_size)];
        let mut values = vec![0.0; PIECE_VALUES.min(len)];
        let parts = packed.chunks_mut(PIECE_VALUES / 2);
        let parts = parts.zip(absmax.chunks_mut(PIECE_VALUES / config.block_size));
        for (i, (packed, absmax)) in parts.enumerate() {
            let first = i * PIECE_VALUES;
            let values = &mut values[..PIECE_VALUES.min(len - first)];
            fill(first, values)?;
            blockwise4::quantize(config.format.code(), config.block_size, rounding, values, packed, absmax);
            // A value that is not finite poisons the scale of its block.
            if let Some(block) = absmax.iter().position(|scale| !scale.is_finite()) {
                let start = block * config.block_size;
                let offset = values[start..].iter().position(|value| !value.is_finite()).unwrap_or(0);
                let index = first + start + offset;
                let position = crate::finite::position(index, shape);
                let value = values[start + offset];
                return Err(QuantError::NotFinite { tensor: tensor(), value, index, position }.into());
            }
        }
        let absmax = if config.double_quant { Absmax::nest(absmax, rounding) } else { Absmax::Plain(absmax) };
        if let Some((block, value)) = absmax.first_overflow() {
            return Err(QuantError::NestedOverflow { tensor: tensor(), block, value }.into());
        }
        let source = SourceType::F32;
        Ok(Self::from_parts(name, shape.to_vec(), *config, source, packed, absmax)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        (i as f32 * 0.731).sin() * (1.0 + (i / 3000) as f32)
    }

    fn filled(first: usize, piece: &mut [f32]) -> Result<(), QuantError> {
        piece.iter_mut().enumerate().for_each(|(i, v)| *v = value(first + i));
        Ok(())
    }

    #[test]
    fn pieces_give_the_bits_of_the_whole() {
        for double_quant in [false, true] {
            let config = QuantConfig { double_quant, ..QuantConfig::default() };
            for shape in [[3, 5], [1, 64], [2, PIECE_VALUES / 2], [3, 700_001]] {
                let values: Vec<f32> = (0..shape[0] * shape[1]).map(value).collect();
                let whole = QuantizedTensor::quantize("w", &values, &shape, &config).unwrap();
                let pieces = QuantizedTensor::quantize_pieces("w", &shape, &config, filled).unwrap();
                assert!(pieces == whole, "{shape:?}");
            }
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_by_its_place_in_the_tensor() {
        let shape = [2, PIECE_VALUES];
        let at = PIECE_VALUES + 777;
        let spoilt = |first: usize, piece: &mut [f32]| {
            filled(first, piece)?;
            if let Some(value) = at.checked_sub(first).and_then(|i| piece.get_mut(i)) {
                *value = f32::NAN;
            }
            Ok::<(), QuantError>(())
        };
        let error =
            QuantizedTensor::quantize_pieces("w", &shape, &QuantConfig::default(), spoilt).unwrap_err();
        let QuantError::NotFinite { tensor, index, position, .. } = error else { panic!("{error}") };
        assert_eq!((tensor.as_str(), index, position), ("w", at, vec![1, 777]));
    }
}
