//! One weight out of a parsed file.

use std::path::Path;

use camelid_kernels::NestedSpec;
use camelid_kernels::blockwise4::{block_count, packed_len};
use camelid_kernels::blockwise8::Table8;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::quant_state::{QuantState, problem};
use crate::tensor::checked_len;
use crate::{Absmax, Format, QuantConfig, QuantError, QuantizedTensor, SourceType};

/// What a file says about a 4-bit weight beside its codes and scales.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightHeader {
    /// The shape before quantisation.
    pub shape: Vec<usize>,
    /// The format.
    pub config: QuantConfig,
    /// The element type the values had.
    pub source: SourceType,
    /// With double quantisation: how the scales' codes decode, by the table that the file brings.
    pub nested: Option<NestedSpec>,
}

impl WeightHeader {
    /// Number of values. [`read_header`] made sure that it does not overflow.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far a stored 4-bit code book may lie from the known one and still be it.
///
/// The next code is at least 0.005 away, and whatever a file says, bitsandbytes' own kernels decode
/// with the constants compiled into them, as ours do.
const SAME_CODE: f32 = 1e-6;

/// Reads what describes a weight stored in bitsandbytes' 4-bit format: the quant_state and the
/// code books. The 4-bit one has to be the known one to within `SAME_CODE`; the 8-bit one of double
/// quantisation, which is computed where the file is made and differs in last bits, is used
/// as it is. The codes and scales themselves (`weight` and
/// `weight.absmax`) need not be in `st`. `None` and `file` as for [`read_tensor`].
///
/// # Errors
/// As [`read_tensor`], for the parts that are read.
pub fn read_header(
    st: &SafeTensors<'_>,
    file: &Path,
    weight_name: &str,
) -> Result<Option<WeightHeader>, QuantError> {
    let reader = Reader { st, file, weight: weight_name };
    let Some(state) = reader.quant_state()? else {
        return Ok(None);
    };
    let format = state.format(file, weight_name)?;
    let source = state.source(file, weight_name)?;
    let nested = state.nested(file, weight_name)?;
    let config = QuantConfig { format, block_size: state.blocksize, double_quant: nested.is_some() };
    if config.validate().is_err() {
        let reason = format!("blocksize {}, expected a power of two from 32 to 4096", state.blocksize);
        return Err(problem(file, weight_name, reason));
    }
    if checked_len(&state.shape).is_none() {
        return Err(problem(file, weight_name, format!("shape {:?} overflows", state.shape)));
    }
    reader.check_map(".quant_map", format.code().table(), format_table_name(format))?;
    let nested = match nested {
        None => None,
        Some((block_size, offset)) => {
            Some(NestedSpec { block_size, offset, table: reader.table(".nested_quant_map")? })
        }
    };
    Ok(Some(WeightHeader { shape: state.shape, config, source, nested }))
}

/// Reads a weight stored in bitsandbytes' 4-bit format, by its full name (such as
/// `model.layers.0.mlp.up_proj.weight`). `None` when it is stored dense or not at
/// all. `file` appears in errors only.
///
/// # Errors
/// A part that is missing, has the wrong type or size or holds NaN or an infinity,
/// an unknown quant_type, a 4-bit code book that is not the known one, or a quant_state
/// that does not parse.
pub fn read_tensor(
    st: &SafeTensors<'_>,
    file: &Path,
    weight_name: &str,
) -> Result<Option<QuantizedTensor>, QuantError> {
    let reader = Reader { st, file, weight: weight_name };
    let Some(header) = read_header(st, file, weight_name)? else {
        return Ok(None);
    };
    let blocks = block_count(header.len(), header.config.block_size);
    let packed = reader.packed(packed_len(header.len()))?;
    let absmax = match header.nested {
        None => Absmax::Plain(reader.floats(".absmax", blocks)?),
        Some(NestedSpec { block_size, offset, table }) => Absmax::Nested {
            codes: reader.bytes(".absmax", blocks)?,
            absmax: reader.floats(".nested_absmax", block_count(blocks, block_size))?,
            offset,
            block_size,
            table,
        },
    };
    let WeightHeader { shape, config, source, .. } = header;
    QuantizedTensor::from_parts(weight_name, shape, config, source, packed, absmax).map(Some)
}

fn format_table_name(format: Format) -> &'static str {
    match format {
        Format::Nf4 => "NF4",
        Format::Fp4 => "FP4",
        Format::Int4 => "INT4",
    }
}

struct Reader<'a> {
    st: &'a SafeTensors<'a>,
    file: &'a Path,
    weight: &'a str,
}

impl<'a> Reader<'a> {
    fn quant_state(&self) -> Result<Option<QuantState>, QuantError> {
        let prefix = format!("{}.quant_state.", self.weight);
        let known = ["nf4", "fp4", "int4"].map(|name| format!("{prefix}bitsandbytes__{name}"));
        let found = known.iter().find_map(|name| self.st.tensor(name).ok());
        if let Some(view) = found {
            return QuantState::parse(view.data(), self.file, self.weight).map(Some);
        }
        // Some other kind of quant_state: say which, rather than read codes as if
        // they were weights.
        match self.st.names().into_iter().find(|name| name.starts_with(&prefix)) {
            Some(name) => Err(QuantError::QuantType {
                file: self.file.to_owned(),
                weight: self.weight.to_owned(),
                found: name[prefix.len()..].trim_start_matches("bitsandbytes__").to_owned(),
            }),
            // Scales without a description: the file lost a part.
            None if self.st.tensor(&format!("{}.absmax", self.weight)).is_ok() => {
                Err(self.missing(format!("{prefix}bitsandbytes__nf4")))
            }
            None => Ok(None),
        }
    }

    fn missing(&self, part: String) -> QuantError {
        QuantError::MissingPart { file: self.file.to_owned(), weight: self.weight.to_owned(), part }
    }

    fn part(&self, suffix: &str, dtype: Dtype, elements: usize) -> Result<TensorView<'a>, QuantError> {
        let part = format!("{}{suffix}", self.weight);
        let Ok(view) = self.st.tensor(&part) else {
            return Err(self.missing(part));
        };
        let found = view.shape().iter().product();
        if view.dtype() != dtype || found != elements {
            return Err(QuantError::Part {
                file: self.file.to_owned(),
                part,
                found_type: view.dtype(),
                found,
                expected_type: dtype,
                expected: elements,
            });
        }
        Ok(view)
    }

    /// The codes. `bnb_4bit_quant_storage` gives them any element type; the bytes are the same.
    fn packed(&self, len: usize) -> Result<Vec<u8>, QuantError> {
        let view = self.st.tensor(self.weight).map_err(|_| self.missing(self.weight.to_owned()))?;
        if view.dtype() == Dtype::U8 {
            return self.bytes("", len);
        }
        if view.data().len() == len {
            return Ok(view.data().to_vec());
        }
        Err(QuantError::PackedBytes {
            file: self.file.to_owned(),
            weight: self.weight.to_owned(),
            stored_type: view.dtype(),
            found: view.data().len(),
            expected: len,
        })
    }

    /// The 256 numbers of an 8-bit code book.
    fn table(&self, suffix: &str) -> Result<Table8, QuantError> {
        let mut values = [0.0; 256];
        values.copy_from_slice(&self.floats(suffix, 256)?);
        Ok(Table8::new(&values))
    }

    fn bytes(&self, suffix: &str, elements: usize) -> Result<Vec<u8>, QuantError> {
        Ok(self.part(suffix, Dtype::U8, elements)?.data().to_vec())
    }

    fn floats(&self, suffix: &str, elements: usize) -> Result<Vec<f32>, QuantError> {
        let view = self.part(suffix, Dtype::F32, elements)?;
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(QuantError::PartNotFinite {
                file: self.file.to_owned(),
                part: format!("{}{suffix}", self.weight),
                index,
                value: values[index],
            }),
        }
    }

    fn check_map(&self, suffix: &str, table: &[f32], expected: &'static str) -> Result<(), QuantError> {
        let stored = self.floats(suffix, table.len())?;
        match stored.iter().zip(table).position(|(stored, known)| (stored - known).abs() > SAME_CODE) {
            None => Ok(()),
            Some(code) => Err(QuantError::QuantMap {
                file: self.file.to_owned(),
                part: format!("{}{suffix}", self.weight),
                expected,
                code,
            }),
        }
    }
}
