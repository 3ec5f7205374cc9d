//! The JSON object that describes a quantised weight.

use std::path::Path;

use serde::Deserialize;

use super::python_float::python_float;
use crate::{Absmax, Format, QuantConfig, QuantError, QuantizedTensor, SourceType};

/// bitsandbytes' `QuantState.as_dict(packed=True)` without the tensors.
#[derive(Deserialize)]
pub(super) struct QuantState {
    pub quant_type: String,
    pub blocksize: usize,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub nested_blocksize: Option<usize>,
    pub nested_dtype: Option<String>,
    pub nested_offset: Option<f64>,
}

impl QuantState {
    pub fn parse(json: &[u8], file: &Path, weight: &str) -> Result<Self, QuantError> {
        serde_json::from_slice(json)
            .map_err(|error| problem(file, weight, format!("not the expected JSON: {error}")))
    }

    pub fn format(&self, file: &Path, weight: &str) -> Result<Format, QuantError> {
        [Format::Nf4, Format::Fp4, Format::Int4]
            .into_iter()
            .find(|format| format.name() == self.quant_type)
            .ok_or_else(|| QuantError::QuantType {
                file: file.to_owned(),
                weight: weight.to_owned(),
                found: self.quant_type.clone(),
            })
    }

    pub fn source(&self, file: &Path, weight: &str) -> Result<SourceType, QuantError> {
        SourceType::from_torch_name(&self.dtype).ok_or_else(|| {
            let reason =
                format!("dtype \"{}\", expected \"float32\", \"float16\" or \"bfloat16\"", self.dtype);
            problem(file, weight, reason)
        })
    }

    /// Block size and offset of double quantisation; both or neither are there.
    pub fn nested(&self, file: &Path, weight: &str) -> Result<Option<(usize, f32)>, QuantError> {
        match (self.nested_blocksize, self.nested_offset) {
            (None, None) => Ok(None),
            (Some(0), _) => Err(problem(file, weight, "nested_blocksize is 0".to_owned())),
            (Some(block_size), Some(offset)) => match self.nested_dtype.as_deref() {
                // A double can lie beyond f32, where it becomes an infinity.
                None | Some("float32") if !(offset as f32).is_finite() => {
                    Err(problem(file, weight, format!("nested_offset {offset}, expected a finite float32")))
                }
                None | Some("float32") => Ok(Some((block_size, offset as f32))),
                Some(other) => {
                    Err(problem(file, weight, format!("nested_dtype \"{other}\", expected \"float32\"")))
                }
            },
            _ => {
                let reason = "nested_blocksize and nested_offset belong together, one is missing".to_owned();
                Err(problem(file, weight, reason))
            }
        }
    }
}

pub(super) fn problem(file: &Path, weight: &str, reason: String) -> QuantError {
    QuantError::QuantState { file: file.to_owned(), weight: weight.to_owned(), reason }
}

/// The object as Python's `json.dumps` writes it: same order, spaces and floats.
pub(super) fn json_for(q: &QuantizedTensor) -> String {
    let nested = match q.absmax() {
        Absmax::Nested { offset, block_size, .. } => Some((*block_size, python_float(f64::from(*offset)))),
        Absmax::Plain(_) => None,
    };
    json_for_parts(q.config(), q.source(), q.shape(), nested)
}

/// The object of a weight's description; `nested` is the block size of double quantisation and
/// the offset in Python's digits.
pub(super) fn json_for_parts(
    config: &QuantConfig,
    source: SourceType,
    shape: &[usize],
    nested: Option<(usize, String)>,
) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut json = format!(
        "{{\"quant_type\": \"{}\", \"blocksize\": {}, \"dtype\": \"{}\", \"shape\": [{}]",
        config.format,
        config.block_size,
        source.torch_name(),
        shape.join(", "),
    );
    if let Some((block_size, offset)) = nested {
        json += &format!(
            ", \"nested_blocksize\": {block_size}, \"nested_dtype\": \"float32\", \"nested_offset\": {offset}",
        );
    }
    json + "}"
}

/// As many characters as the longest offset in Python's digits: a sign, seventeen digits, the
/// point and an exponent.
pub(super) fn longest_float() -> String {
    "-1.2345678901234567e-123".to_owned()
}
