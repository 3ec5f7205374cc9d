//! Where a packed weight lies in its file.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use camelid_files::FileAt;
use camelid_quant::QuantError;
use camelid_quant::bnb::WeightHeader;

use crate::error::ModelError;

/// A packed weight that stays in its file.
#[derive(Clone, Debug)]
pub struct PackedPlace {
    /// What its bytes mean.
    pub header: WeightHeader,
    /// The codes, two to a byte.
    pub packed: FilePart,
    /// One scale per block: f32, or a byte each with double quantisation.
    pub absmax: FilePart,
    /// With double quantisation, the scales of the scales, read already: they are few.
    pub nested_absmax: Option<Vec<f32>>,
}

/// The bytes of one tensor of a file.
#[derive(Clone, Debug)]
pub struct FilePart {
    /// The file.
    pub file: PathBuf,
    /// The tensor's name in it.
    pub name: String,
    /// Its bytes, from the start of the file.
    pub range: Range<usize>,
}

impl FilePart {
    /// Reads the bytes.
    ///
    /// # Errors
    /// [`ModelError::StreamRead`].
    pub fn read(&self) -> Result<Vec<u8>, ModelError> {
        let mut bytes = vec![0; self.range.len()];
        let read =
            File::open(&self.file).and_then(|file| file.read_exact_at(&mut bytes, self.range.start as u64));
        match read {
            Ok(()) => Ok(bytes),
            Err(cause) => Err(ModelError::StreamRead {
                path: self.file.clone(),
                tensor: self.name.clone(),
                range: self.range.clone(),
                cause,
            }),
        }
    }

    /// Reads the bytes as finite f32 values.
    pub(super) fn read_finite(&self) -> Result<Vec<f32>, ModelError> {
        let bytes = self.read()?;
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(ModelError::Quant(QuantError::PartNotFinite {
                file: self.file.clone(),
                part: self.name.clone(),
                index,
                value: values[index],
            })),
        }
    }
}
