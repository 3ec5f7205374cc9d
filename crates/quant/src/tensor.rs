//! A quantised tensor that owns its bytes.

use camelid_kernels::blockwise4::{self, AbsmaxView, Float, Packed4View, Rounding, block_count, packed_len};
use camelid_kernels::blockwise8::{self, Map8, Table8};
use half::{bf16, f16};

use crate::finite::{all_finite, finite};
use crate::{NESTED_BLOCK_SIZE, OnNonFinite, QuantConfig, QuantError, SourceType, Values, torch_mean};

/// The scales of a quantised tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Absmax {
    /// One f32 per block.
    Plain(Vec<f32>),
    /// Double quantisation (QLoRA, section 3): the scales less their mean, in
    /// blocks through the signed dynamic 8-bit map.
    Nested {
        /// One code per block.
        codes: Vec<u8>,
        /// One scale per `block_size` codes.
        absmax: Vec<f32>,
        /// The mean of the original scales.
        offset: f32,
        /// Codes per nested scale.
        block_size: usize,
        /// What the codes stand for; a file brings its own table, which differs in last bits.
        table: Table8,
    },
}

impl Absmax {
    /// Borrows the scales for the kernels.
    pub fn view(&self) -> AbsmaxView<'_> {
        match self {
            Absmax::Plain(absmax) => AbsmaxView::Plain(absmax),
            Absmax::Nested { codes, absmax, offset, block_size, table } => {
                AbsmaxView::Nested { codes, absmax, offset: *offset, block_size: *block_size, table: *table }
            }
        }
    }

    /// Quantises plain scales to 8 bits around their mean.
    pub(crate) fn nest(absmax: Vec<f32>, rounding: Rounding) -> Absmax {
        let offset = torch_mean(&absmax);
        let mut centred = absmax;
        centred.iter_mut().for_each(|scale| *scale -= offset);
        let mut codes = vec![0; centred.len()];
        let mut nested = vec![0.0; block_count(centred.len(), NESTED_BLOCK_SIZE)];
        blockwise8::quantize(
            Map8::DynamicSigned,
            NESTED_BLOCK_SIZE,
            rounding,
            &centred,
            &mut codes,
            &mut nested,
        );
        Absmax::Nested {
            codes,
            absmax: nested,
            offset,
            block_size: NESTED_BLOCK_SIZE,
            table: Map8::DynamicSigned.into(),
        }
    }

    /// The first scale that does not decode to a finite number, with what it decodes to: the mean
    /// of huge scales, and so every scale, can leave f32.
    pub(crate) fn first_overflow(&self) -> Option<(usize, f32)> {
        let Absmax::Nested { codes, absmax, offset, table, .. } = self else { return None };
        // This sum bounds every scale of a nested block; 1, but for tables from elsewhere.
        let largest = table.values().iter().fold(0f32, |largest, code| largest.max(code.abs()));
        if absmax.iter().all(|scale| (scale.abs() * largest + offset.abs()).is_finite()) {
            return None;
        }
        let scales = self.view();
        (0..codes.len()).map(|block| (block, scales.get(block))).find(|(_, scale)| !scale.is_finite())
    }
}

/// The codes and plain scales of values of any type.
fn packed_and_scales(
    values: Values<'_>,
    config: &QuantConfig,
    options: &QuantizeOptions,
) -> (Vec<u8>, Vec<f32>) {
    let (code, block_size, rounding) = (config.format.code(), config.block_size, options.rounding);
    match values {
        Values::F32(values) => blockwise4::quantized(code, block_size, rounding, values),
        Values::F16(values) => blockwise4::quantized(code, block_size, rounding, values),
        Values::Bf16(values) => blockwise4::quantized(code, block_size, rounding, values),
    }
}

/// Choices beyond the format itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuantizeOptions {
    /// Which of bitsandbytes' rounding rules to follow.
    pub rounding: Rounding,
    /// What to do with NaN and infinities.
    pub on_non_finite: OnNonFinite,
}

/// A tensor of any shape in a 4-bit block format.
///
/// Blocks run over the flat row-major values and take no notice of the shape.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    shape: Vec<usize>,
    config: QuantConfig,
    source: SourceType,
    packed: Vec<u8>,
    absmax: Absmax,
}

impl QuantizedTensor {
    /// Quantises f32 values with the default options: CUDA's rounding, non-finite
    /// values refused. `name` appears in errors only.
    ///
    /// # Errors
    /// A block size that is not supported, a shape that does not describe
    /// `values`, a value that is NaN or infinite, or values so large that their
    /// doubly quantised scales would be.
    pub fn quantize(
        name: &str,
        values: &[f32],
        shape: &[usize],
        config: &QuantConfig,
    ) -> Result<Self, QuantError> {
        Self::quantize_with(name, values, shape, config, &QuantizeOptions::default())
    }

    /// Quantises `&[f32]`, `&[f16]` or `&[bf16]` with explicit options.
    ///
    /// # Errors
    /// As for [`QuantizedTensor::quantize`].
    pub fn quantize_with<'a>(
        name: &str,
        values: impl Into<Values<'a>>,
        shape: &[usize],
        config: &QuantConfig,
        options: &QuantizeOptions,
    ) -> Result<Self, QuantError> {
        config.validate()?;
        let values = values.into();
        let source = values.source();
        if checked_len(shape) != Some(values.len()) {
            return Err(QuantError::Shape {
                tensor: name.to_owned(),
                shape: shape.to_vec(),
                found: values.len(),
            });
        }
        // One pass over the weights: a scale is finite exactly where its block's values are.
        let (mut packed, mut absmax) = packed_and_scales(values, config, options);
        if !all_finite(&absmax) {
            let on_non_finite = options.on_non_finite;
            let values = finite(name, values.widened(), shape, config.block_size, on_non_finite)?;
            (packed, absmax) = packed_and_scales(Values::F32(&values), config, options);
        }
        let absmax =
            if config.double_quant { Absmax::nest(absmax, options.rounding) } else { Absmax::Plain(absmax) };
        if let Some((block, value)) = absmax.first_overflow() {
            return Err(QuantError::NestedOverflow { tensor: name.to_owned(), block, value });
        }
        Ok(QuantizedTensor { shape: shape.to_vec(), config: *config, source, packed, absmax })
    }

    /// Assembles a tensor from its stored parts. `name` appears in errors only.
    ///
    /// # Errors
    /// [`QuantError::BlockSize`], or [`QuantError::Shape`] when a part's length
    /// does not follow from the shape, or `config.double_quant` does not say
    /// which kind `absmax` is.
    pub fn from_parts(
        name: &str,
        shape: Vec<usize>,
        config: QuantConfig,
        source: SourceType,
        packed: Vec<u8>,
        absmax: Absmax,
    ) -> Result<Self, QuantError> {
        config.validate()?;
        let blocks = checked_len(&shape).map(|len| block_count(len, config.block_size));
        let scales_fit = match &absmax {
            Absmax::Plain(absmax) => !config.double_quant && blocks == Some(absmax.len()),
            Absmax::Nested { codes, absmax, block_size, .. } => {
                config.double_quant
                    && blocks == Some(codes.len())
                    && *block_size > 0
                    && absmax.len() == block_count(codes.len(), *block_size)
            }
        };
        if !scales_fit || checked_len(&shape).map(packed_len) != Some(packed.len()) {
            return Err(QuantError::Shape { tensor: name.to_owned(), shape, found: packed.len() * 2 });
        }
        Ok(QuantizedTensor { shape, config, source, packed, absmax })
    }

    /// The values as f32: `table[code] * absmax`, rounded once.
    pub fn dequantize(&self) -> Vec<f32> {
        blockwise4::dequantized(&self.view())
    }

    /// The values rounded to bfloat16 (to nearest, ties to even).
    pub fn dequantize_bf16(&self) -> Vec<bf16> {
        blockwise4::dequantized(&self.view())
    }

    /// The values rounded to half precision (to nearest, ties to even).
    pub fn dequantize_f16(&self) -> Vec<f16> {
        blockwise4::dequantized(&self.view())
    }

    /// As [`Self::dequantize`], [`Self::dequantize_bf16`] or [`Self::dequantize_f16`], by the type
    /// of `out`, over what it holds: a buffer that is used again costs no fresh memory.
    ///
    /// # Errors
    /// [`QuantError::Shape`] unless `out` is [`Self::len`] long.
    pub fn dequantize_into<T: Float>(&self, out: &mut [T]) -> Result<(), QuantError> {
        if out.len() != self.len() {
            let tensor = "output".to_owned();
            return Err(QuantError::Shape { tensor, shape: self.shape.clone(), found: out.len() });
        }
        blockwise4::dequantize(&self.view(), out);
        Ok(())
    }

    /// Borrows the bytes for the kernels.
    pub fn view(&self) -> Packed4View<'_> {
        Packed4View {
            code: self.config.format.code(),
            block_size: self.config.block_size,
            packed: &self.packed,
            absmax: self.absmax.view(),
            len: self.len(),
        }
    }

    /// The shape before quantisation.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The format.
    pub fn config(&self) -> &QuantConfig {
        &self.config
    }

    /// The element type the values had.
    pub fn source(&self) -> SourceType {
        self.source
    }

    /// The codes, two per byte, first in the high nibble.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The scales as stored.
    pub fn absmax(&self) -> &Absmax {
        &self.absmax
    }

    /// Takes the tensor apart without copying: packed codes and scales.
    pub fn into_parts(self) -> (Vec<u8>, Absmax) {
        (self.packed, self.absmax)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of codes, scales and offset.
    pub fn nbytes(&self) -> usize {
        self.packed.len()
            + match &self.absmax {
                Absmax::Plain(absmax) => 4 * absmax.len(),
                Absmax::Nested { codes, absmax, .. } => codes.len() + 4 * absmax.len() + 4,
            }
    }

    /// Bits stored per value, everything counted. 0 for an empty tensor.
    pub fn bits_per_parameter(&self) -> f64 {
        if self.is_empty() { 0.0 } else { 8.0 * self.nbytes() as f64 / self.len() as f64 }
    }
}

/// The number of values of a shape; `None` where it overflows.
pub(crate) fn checked_len(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_whose_mean_leaves_f32_are_refused_by_name() {
        let values = [f32::MAX; 128];
        let error = QuantizedTensor::quantize("w", &values, &[128], &QuantConfig::default()).unwrap_err();
        assert!(
            matches!(&error, QuantError::NestedOverflow { tensor, block: 0, .. } if tensor == "w"),
            "{error}"
        );
        let plain = QuantConfig { double_quant: false, ..QuantConfig::default() };
        let q = QuantizedTensor::quantize("w", &values, &[128], &plain).unwrap();
        assert_eq!(q.dequantize(), values);
    }
}
