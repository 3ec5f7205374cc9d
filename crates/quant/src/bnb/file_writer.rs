//! A safetensors file written a tensor at a time, for models larger than memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use camelid_files::{FileAt, FileError, WholeFile};
use camelid_kernels::blockwise4::{block_count, packed_len};
use safetensors::Dtype;

use super::file::{Layout, header};
use super::quant_state::{json_for, json_for_parts, longest_float};
use crate::{Absmax, NESTED_BLOCK_SIZE, QuantConfig, QuantError, QuantizedTensor, SourceType};

/// A tensor that is going to be written: name, element type, shape.
pub type Planned = (String, Dtype, Vec<usize>);

/// What direct writes have to be multiples of, in memory and in the file.
const ALIGN: usize = 4096;
/// Bytes written at a time past the page cache.
const STAGING: usize = 4 << 20;

/// The tensors that store a weight of this shape, as [`FileWriter::write_quantized`] writes them:
/// those of [`super::tensors_for`], but for the quant_state, which is padded with spaces to a
/// length that does not depend on the values.
pub fn planned_for(weight_name: &str, shape: &[usize], config: &QuantConfig) -> Vec<Planned> {
    let len = shape.iter().product();
    let blocks = block_count(len, config.block_size);
    let planned = |suffix: &str, dtype, shape| (format!("{weight_name}{suffix}"), dtype, shape);
    let mut entries = vec![
        planned("", Dtype::U8, vec![packed_len(len), 1]),
        planned(".quant_map", Dtype::F32, vec![config.format.code().table().len()]),
    ];
    if config.double_quant {
        let nested = block_count(blocks, NESTED_BLOCK_SIZE);
        entries.extend([
            planned(".absmax", Dtype::U8, vec![blocks]),
            planned(".nested_absmax", Dtype::F32, vec![nested]),
            planned(".nested_quant_map", Dtype::F32, vec![256]),
        ]);
    } else {
        entries.push(planned(".absmax", Dtype::F32, vec![blocks]));
    }
    entries.push(planned(&state_suffix(config), Dtype::U8, vec![state_len(shape, config)]));
    entries
}

fn state_suffix(config: &QuantConfig) -> String {
    format!(".quant_state.bitsandbytes__{}", config.format)
}

/// Bytes that hold the quant_state of any weight of this shape.
fn state_len(shape: &[usize], config: &QuantConfig) -> usize {
    let offset = config.double_quant.then(longest_float);
    // "bfloat16" is the longest name of an element type.
    let nested = offset.map(|offset| (NESTED_BLOCK_SIZE, offset));
    json_for_parts(config, SourceType::Bf16, shape, nested).len()
}

/// A safetensors file laid out as [`super::write_file`] lays it out, whose tensors are written
/// one by one in any order. The file appears under its name when it is complete; dropped before,
/// it leaves nothing.
///
/// Large tensors go past the page cache where the file system allows it: a file larger than
/// memory neither pushes everything else out of it nor waits for it.
#[derive(Debug)]
pub struct FileWriter {
    path: PathBuf,
    file: WholeFile,
    direct: Option<File>,
    missing: BTreeMap<String, Range<u64>>,
    staging: Vec<u8>,
    bytes: u64,
}

impl FileWriter {
    /// Reserves the space of the whole file and writes its header.
    ///
    /// # Errors
    /// [`QuantError::File`], also when there is no space for all of it; nothing is left then.
    pub fn create(path: &Path, planned: &[Planned], metadata: &[(&str, &str)]) -> Result<Self, QuantError> {
        let file = WholeFile::create(path)?;
        let layout = planned.iter().map(|(name, dtype, shape)| Layout { name, dtype: *dtype, shape });
        let (header, offsets) = header(layout.collect(), metadata);
        let data_start = header.len() as u64;
        let mut missing = BTreeMap::new();
        let mut bytes = data_start;
        for (name, range) in offsets {
            let range = data_start + range.start as u64..data_start + range.end as u64;
            bytes = bytes.max(range.end);
            missing.insert(name.to_owned(), range);
        }
        reserve(file.as_file(), bytes)
            .and_then(|()| file.as_file().write_all_at(&header, 0))
            .map_err(FileError::io(path, "write"))?;
        let direct = open_direct(file.temporary_path());
        let staging = vec![0; if direct.is_some() { STAGING + ALIGN } else { 0 }];
        Ok(Self { path: path.to_owned(), file, direct, missing, staging, bytes })
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes tensor `name`.
    ///
    /// # Errors
    /// [`QuantError::File`].
    ///
    /// # Panics
    /// When `name` was not planned or was written already, or has another length.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), QuantError> {
        let range = self.missing.remove(name).unwrap_or_else(|| panic!("`{name}` is not to be written"));
        assert_eq!(range.end - range.start, bytes.len() as u64, "bytes of `{name}`");
        let written = self.write_at(range.start, bytes);
        Ok(written.map_err(FileError::io(&self.path, "write"))?)
    }

    /// Writes a weight that was planned by [`planned_for`].
    ///
    /// # Errors
    /// [`QuantError::File`].
    ///
    /// # Panics
    /// As [`FileWriter::write`].
    pub fn write_quantized(&mut self, weight_name: &str, q: &QuantizedTensor) -> Result<(), QuantError> {
        let name = |suffix: &str| format!("{weight_name}{suffix}");
        let floats = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        self.write(weight_name, q.packed())?;
        self.write(&name(".quant_map"), &floats(q.config().format.code().table()))?;
        match q.absmax() {
            Absmax::Plain(absmax) => self.write(&name(".absmax"), &floats(absmax))?,
            Absmax::Nested { codes, absmax, table, .. } => {
                self.write(&name(".absmax"), codes)?;
                self.write(&name(".nested_absmax"), &floats(absmax))?;
                self.write(&name(".nested_quant_map"), &floats(table.values()))?;
            }
        }
        let mut state = json_for(q).into_bytes();
        state.resize(state_len(q.shape(), q.config()), b' ');
        self.write(&name(&state_suffix(q.config())), &state)
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// [`QuantError::File`].
    ///
    /// # Panics
    /// When a planned tensor was not written.
    pub fn finish(self) -> Result<(), QuantError> {
        let missing = self.missing.keys().next();
        assert!(missing.is_none(), "`{}` was not written", missing.map_or("", String::as_str));
        Ok(self.file.finish()?)
    }

    /// Whole pages go past the cache, what sticks out at both ends through it.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_file();
        let lead = (at.next_multiple_of(ALIGN as u64) - at) as usize;
        let Some(direct) = self.direct.as_ref().filter(|_| bytes.len() >= lead + ALIGN) else {
            return file.write_all_at(bytes, at);
        };
        let whole = (bytes.len() - lead) / ALIGN * ALIGN;
        file.write_all_at(&bytes[..lead], at)?;
        file.write_all_at(&bytes[lead + whole..], at + (lead + whole) as u64)?;
        let mut at = at + lead as u64;
        let shift = self.staging.as_ptr().align_offset(ALIGN);
        for piece in bytes[lead..lead + whole].chunks(STAGING) {
            let staged = &mut self.staging[shift..shift + piece.len()];
            staged.copy_from_slice(piece);
            direct.write_all_at(staged, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// Reserves real space, so that a full disk shows before anything is computed. File systems that
/// cannot reserve are taken at their word.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    if file.reserve_at(0, bytes)? { Ok(()) } else { file.set_len(bytes) }
}

/// A second handle that goes past the page cache; `None` where there is no such thing.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let flag = rustix::fs::OFlags::DIRECT.bits() as i32;
    File::options().write(true).custom_flags(flag).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_path: &Path) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bnb;

    fn weight(shape: [usize; 2], config: &QuantConfig) -> QuantizedTensor {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|i| (i as f32 * 0.37).sin()).collect();
        QuantizedTensor::quantize("w", &values, &shape, config).unwrap()
    }

    #[test]
    fn what_is_written_in_pieces_reads_back_as_bitsandbytes_files_do() {
        for double_quant in [false, true] {
            let config = QuantConfig { double_quant, ..QuantConfig::default() };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("model.safetensors");
            let shapes = [("b.weight", [300, 200]), ("a.weight", [7, 64]), ("c.weight", [33, 3001])];
            let mut planned: Vec<Planned> =
                shapes.iter().flat_map(|(name, shape)| planned_for(name, shape, &config)).collect();
            planned.push(("norm".into(), Dtype::BF16, vec![3]));
            let mut writer = FileWriter::create(&path, &planned, &[("format", "pt")]).unwrap();
            assert!(!path.exists());
            for (name, shape) in shapes {
                writer.write_quantized(name, &weight(shape, &config)).unwrap();
            }
            writer.write("norm", &[1, 2, 3, 4, 5, 6]).unwrap();
            let bytes = writer.bytes();
            writer.finish().unwrap();

            let file = std::fs::read(&path).unwrap();
            assert_eq!(file.len() as u64, bytes);
            let parsed = bnb::parse(&file, &path).unwrap();
            for (name, shape) in shapes {
                let read = bnb::read_tensor(&parsed, &path, name).unwrap().unwrap();
                assert!(read == weight(shape, &config), "{name}");
            }
            assert_eq!(parsed.tensor("norm").unwrap().data(), [1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn dropped_before_the_end_it_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let planned = planned_for("w", &[8, 64], &QuantConfig::default());
        drop(FileWriter::create(&path, &planned, &[]).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
