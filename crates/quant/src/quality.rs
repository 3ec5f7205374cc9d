//! How much a format loses.

use crate::{QuantConfig, QuantError, QuantizedTensor};

/// The distance between values and their quantised image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizationError {
    /// Root of the mean squared error, in the unit of the values.
    pub rmse: f64,
    /// `rmse` over the root mean square of the values; 0 when all values are 0.
    pub relative: f64,
    /// The largest absolute error.
    pub max_abs: f64,
}

/// Quantises values as one flat tensor and measures what was lost.
///
/// # Errors
/// Those of [`QuantizedTensor::quantize`].
pub fn quantization_error(values: &[f32], config: &QuantConfig) -> Result<QuantizationError, QuantError> {
    let quantized = QuantizedTensor::quantize("values", values, &[values.len()], config)?;
    let (mut error, mut power, mut max_abs) = (0f64, 0f64, 0f64);
    for (&value, restored) in values.iter().zip(quantized.dequantize()) {
        let difference = f64::from(value) - f64::from(restored);
        error += difference * difference;
        power += f64::from(value) * f64::from(value);
        max_abs = max_abs.max(difference.abs());
    }
    let count = (values.len() as f64).max(1.0);
    let relative = if power > 0.0 { (error / power).sqrt() } else { 0.0 };
    Ok(QuantizationError { rmse: (error / count).sqrt(), relative, max_abs })
}
