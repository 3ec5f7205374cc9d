//! One safetensors file: its header in memory, its data on disk.
//!
//! The `safetensors` crate parses and checks headers; its reader wants the whole file
//! as one slice, so the data are read here, tensor by tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{StoredType, refuse_lfs_pointer};
use crate::error::ModelError;

/// Longest header accepted, as in the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes read and widened at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A safetensors file whose header has been read and found to fit the file.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    path: PathBuf,
    header: Metadata,
    /// Names that the file has under another one: that one.
    stored_as: BTreeMap<String, String>,
    /// Where tensor data begin, in bytes from the start of the file.
    data_start: u64,
}

impl SafetensorsFile {
    /// Reads the header. Afterwards every tensor is known to lie inside the file, and
    /// to have as many bytes as its shape and type call for.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let damaged = |problem: String| ModelError::File { path: path.to_path_buf(), problem };
        let mut file = File::open(path).map_err(ModelError::io(path))?;
        let file_len = file.metadata().map_err(ModelError::io(path))?.len();
        if file_len < 8 {
            return Err(damaged(format!(
                "has {file_len} bytes, expected a safetensors file with at least 8 (truncated?)"
            )));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(ModelError::io(path))?;
        refuse_lfs_pointer(path)?;
        let header_len = u64::from_le_bytes(length);
        if header_len > MAX_HEADER_BYTES || header_len > file_len - 8 {
            return Err(damaged(format!(
                "claims a header of {header_len} bytes in a file of {file_len}: \
                 not a safetensors file, or truncated"
            )));
        }
        let mut header = vec![0; header_len as usize];
        file.read_exact(&mut header).map_err(ModelError::io(path))?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| damaged(format!("its safetensors header is damaged: {e}")))?;

        let data_start = 8 + header_len;
        let expected = data_start + header.data_len() as u64;
        if file_len != expected {
            let hint = if file_len < expected { " (truncated?)" } else { "" };
            return Err(damaged(format!("has {file_len} bytes, but its header calls for {expected}{hint}")));
        }
        Ok(Self { path: path.to_path_buf(), header, stored_as: BTreeMap::new(), data_start })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// From now on finds the tensor stored as `stored` by the name `name`.
    pub(super) fn rename(&mut self, stored: &str, name: &str) {
        // What was given another name before is stored under its first one.
        let stored = self.stored_as.remove(stored).unwrap_or_else(|| stored.to_owned());
        self.stored_as.insert(name.to_owned(), stored);
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(self.stored_as.get(name).map_or(name, String::as_str))
    }

    /// The raw bytes of tensor `name`.
    pub(super) fn read_bytes(&self, name: &str) -> Result<Vec<u8>, ModelError> {
        let info = self.require(name)?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.data_from(start)?.read_exact(&mut bytes).map_err(ModelError::io(&self.path))?;
        Ok(bytes)
    }

    /// Which bytes of the file tensor `name` takes.
    pub(super) fn place(&self, name: &str) -> Option<Range<usize>> {
        let (start, end) = self.info(name)?.data_offsets;
        let data_start = self.data_start as usize;
        Some(data_start + start..data_start + end)
    }

    /// Reads the values of the dense tensor `name` from flat index `first` on into `values`.
    pub(super) fn read_dense_piece(
        &self,
        name: &str,
        first: usize,
        values: &mut [f32],
    ) -> Result<(), ModelError> {
        let info = self.require(name)?;
        let data = self.data_from(info.data_offsets.0 + first * info.dtype.bitsize() / 8)?;
        let read = match info.dtype {
            Dtype::F32 => widen(data, values, f32::from_le_bytes),
            Dtype::F16 => widen(data, values, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => widen(data, values, |b| bf16::from_le_bytes(b).to_f32()),
            other => return Err(self.unsupported(name, other)),
        };
        read.map_err(ModelError::io(&self.path))
    }

    /// The values of the dense tensor `name` as `f32`.
    pub(super) fn read_dense(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>, StoredType), ModelError> {
        let info = self.require(name)?;
        let stored = match info.dtype {
            Dtype::F32 => StoredType::F32,
            Dtype::F16 => StoredType::F16,
            Dtype::BF16 => StoredType::Bf16,
            other => return Err(self.unsupported(name, other)),
        };
        let mut values = vec![0.0; info.shape.iter().product()];
        self.read_dense_piece(name, 0, &mut values)?;
        Ok((info.shape.clone(), values, stored))
    }

    fn unsupported(&self, name: &str, dtype: Dtype) -> ModelError {
        ModelError::Tensor {
            origin: self.path.display().to_string(),
            name: name.into(),
            problem: format!(
                "has type {dtype}; supported are F32, F16, BF16 and bitsandbytes 4-bit \
                 (U8 with a quant_state)"
            ),
        }
    }

    fn require(&self, name: &str) -> Result<&TensorInfo, ModelError> {
        self.info(name).ok_or_else(|| ModelError::Tensor {
            origin: self.path.display().to_string(),
            name: name.into(),
            problem: "is not in the file".into(),
        })
    }

    fn data_from(&self, start: usize) -> Result<File, ModelError> {
        let mut file = File::open(&self.path).map_err(ModelError::io(&self.path))?;
        file.seek(SeekFrom::Start(self.data_start + start as u64)).map_err(ModelError::io(&self.path))?;
        Ok(file)
    }
}

/// Fills `values` from consecutive `N`-byte numbers, a piece at a time.
fn widen<const N: usize>(
    mut data: File,
    values: &mut [f32],
    convert: impl Fn([u8; N]) -> f32,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES.min(values.len() * N)];
    for out in values.chunks_mut(PIECE_BYTES / N) {
        let bytes = &mut piece[..out.len() * N];
        data.read_exact(bytes)?;
        let (numbers, _) = bytes.as_chunks::<N>();
        for (value, number) in out.iter_mut().zip(numbers) {
            *value = convert(*number);
        }
    }
    Ok(())
}
