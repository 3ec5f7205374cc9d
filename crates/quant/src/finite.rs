//! NaN and infinities in weights: an error, or saturated on request.

use std::borrow::Cow;

use crate::QuantError;

/// What to do with NaN and infinities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnNonFinite {
    /// Refuse the tensor, naming the first such value.
    #[default]
    Error,
    /// NaN becomes 0, an infinity the largest finite magnitude of its block with
    /// its sign; of the whole tensor where the block has no finite value, and 0
    /// where that has none either. (Saturating to the largest f32 instead would
    /// round everything else in the block to 0.)
    Saturate,
}

/// Whether no value is NaN or infinite. (The largest magnitude decides, which vectorises.)
pub(crate) fn all_finite(values: &[f32]) -> bool {
    let largest = values.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff));
    largest < f32::INFINITY.to_bits()
}

/// Returns values that are all finite.
pub(crate) fn finite<'a>(
    tensor: &str,
    values: Cow<'a, [f32]>,
    shape: &[usize],
    block_size: usize,
    on_non_finite: OnNonFinite,
) -> Result<Cow<'a, [f32]>, QuantError> {
    let Some(index) = values.iter().position(|v| !v.is_finite()) else {
        return Ok(values);
    };
    match on_non_finite {
        OnNonFinite::Error => Err(QuantError::NotFinite {
            tensor: tensor.to_owned(),
            value: values[index],
            index,
            position: position(index, shape),
        }),
        OnNonFinite::Saturate => {
            let mut values = values.into_owned();
            let of_all = largest_finite(&values).unwrap_or(0.0);
            values.chunks_mut(block_size).for_each(|block| saturate(block, of_all));
            Ok(values.into())
        }
    }
}

/// The largest magnitude among the finite values, when there are any.
fn largest_finite(values: &[f32]) -> Option<f32> {
    values.iter().filter(|v| v.is_finite()).map(|v| v.abs()).reduce(f32::max)
}

fn saturate(block: &mut [f32], of_all: f32) {
    let largest = largest_finite(block).unwrap_or(of_all);
    for value in block {
        if value.is_nan() {
            *value = 0.0;
        } else if value.is_infinite() {
            *value = largest.copysign(*value);
        }
    }
}

/// One index per dimension of a flat row-major index.
pub(crate) fn position(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (place, &size) in position.iter_mut().zip(shape).rev() {
        *place = index % size;
        index /= size;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_row_major() {
        assert_eq!(position(0, &[2, 3, 4]), [0, 0, 0]);
        assert_eq!(position(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(position(13, &[2, 3, 4]), [1, 0, 1]);
    }

    #[test]
    fn saturation_stays_within_the_block() {
        let values = [1.0, f32::INFINITY, f32::NAN, -2.0, f32::NEG_INFINITY, 8.0];
        let fixed = finite("w", values[..].into(), &[6], 4, OnNonFinite::Saturate).unwrap();
        assert_eq!(fixed[..], [1.0, 2.0, 0.0, -2.0, -8.0, 8.0]);
    }

    #[test]
    fn a_block_without_finite_values_takes_the_tensors_largest() {
        let values = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.5, -3.0];
        let fixed = finite("w", values[..].into(), &[5], 3, OnNonFinite::Saturate).unwrap();
        assert_eq!(fixed[..], [3.0, -3.0, 0.0, 0.5, -3.0]);
        let fixed = finite("w", values[..3].into(), &[3], 3, OnNonFinite::Saturate).unwrap();
        assert_eq!(fixed[..], [0.0, 0.0, 0.0]);
    }
}
