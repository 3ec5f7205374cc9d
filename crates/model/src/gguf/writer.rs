//! A GGUF file in the making: version 3, little-endian, tensor by tensor.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_files::WholeFile;

use super::error::GgufError;
use super::quantize::quantize;
use super::tensor_type::TensorType;

/// What the format assumes where `general.alignment` is absent.
const ALIGNMENT: u64 = 32;
/// Values turned into blocks at a time.
const PIECE_VALUES: usize = 1 << 18;

/// A metadata value with the type that it has in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaValue {
    /// A 32-bit whole number, as nearly all counts are.
    U32(u32),
    /// Single precision.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// UTF-8 text.
    String(String),
    /// Texts.
    Strings(Vec<String>),
    /// 32-bit signed numbers.
    I32s(Vec<i32>),
    /// Numbers of single precision.
    F32s(Vec<f32>),
}

/// A tensor that is going to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTensor {
    /// Its name in the file.
    pub name: String,
    /// Row-major shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// What it is stored as.
    pub kind: TensorType,
}

impl PlannedTensor {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn bytes(&self) -> u64 {
        (self.len() / self.kind.block_len() * self.kind.block_bytes()) as u64
    }
}

/// Writes a GGUF file whole or not at all. Metadata and the table of tensors come first, so the
/// tensors are named before their values, which are given one tensor after the other and not kept.
///
/// ```
/// use camelid_model::gguf::{GgufFile, GgufWriter, MetaValue, PlannedTensor, TensorType};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("one.gguf");
/// let metadata = [("general.architecture".to_owned(), MetaValue::String("none".into()))];
/// let tensors = [PlannedTensor { name: "w".into(), shape: vec![2, 32], kind: TensorType::Q8_0 }];
/// let mut writer = GgufWriter::create(&path, &metadata, &tensors)?;
/// writer.tensor("w", &[1.0; 64])?;
/// writer.finish()?;
/// assert_eq!(GgufFile::open(&path)?.tensors()[0].shape, [2, 32]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GgufWriter {
    path: PathBuf,
    file: WholeFile,
    planned: std::vec::IntoIter<PlannedTensor>,
    /// Bytes of tensor data so far.
    written: u64,
}

impl GgufWriter {
    /// Begins the file with everything but the values.
    ///
    /// # Errors
    /// [`GgufError::NotWritable`] for a tensor whose rows are no whole number of blocks, and what
    /// the disk says.
    pub fn create(
        path: &Path,
        metadata: &[(String, MetaValue)],
        tensors: &[PlannedTensor],
    ) -> Result<Self, GgufError> {
        for tensor in tensors {
            let (row, block) = (tensor.shape.last().copied().unwrap_or(1), tensor.kind.block_len());
            if !row.is_multiple_of(block) {
                let problem = format!("has rows of {row} values, expected a multiple of {block}");
                return Err(not_writable(path, &tensor.name, problem));
            }
        }
        let mut header = b"GGUF".to_vec();
        header.extend(3_u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut offset = 0_u64;
        for tensor in tensors {
            put_string(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            // The file lists the innermost dimension first.
            header.extend(tensor.shape.iter().rev().flat_map(|size| (*size as u64).to_le_bytes()));
            header.extend(tensor.kind.id().to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = (offset + tensor.bytes()).next_multiple_of(ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
        let mut file = WholeFile::create(path)?;
        file.write_all(&header).map_err(io(path, "header"))?;
        Ok(Self { path: path.to_owned(), file, planned: Vec::from(tensors).into_iter(), written: 0 })
    }

    /// Writes the next tensor of the table, which is `name`: its values in row-major order.
    ///
    /// # Errors
    /// [`GgufError::NotWritable`] when another tensor is next, or the values are too many, too few,
    /// or cannot be stored; and what the disk says.
    pub fn tensor(&mut self, name: &str, values: &[f32]) -> Result<(), GgufError> {
        let Some(planned) = self.planned.next().filter(|planned| planned.name == name) else {
            return Err(not_writable(&self.path, name, "is not the next of the table".into()));
        };
        if values.len() != planned.len() {
            let problem = format!("has {} values, expected {}", values.len(), planned.len());
            return Err(not_writable(&self.path, name, problem));
        }
        let mut blocks = Vec::new();
        for (at, piece) in values.chunks(PIECE_VALUES).enumerate() {
            blocks.clear();
            quantize(planned.kind, piece, &mut blocks)
                .map_err(|error| error.after(at * PIECE_VALUES))
                .map_err(|error| not_writable(&self.path, name, error.to_string()))?;
            self.put(&blocks, name)?;
        }
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.put(&[0; ALIGNMENT as usize][..padding as usize], name)
    }

    fn put(&mut self, bytes: &[u8], name: &str) -> Result<(), GgufError> {
        self.file.write_all(bytes).map_err(io(&self.path, &format!("tensor `{name}`")))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes durable what is written, and gives a reader to check before the file has its name.
    ///
    /// # Errors
    /// [`GgufError::NotWritable`] when tensors of the table are still to come, and what the disk says.
    pub fn sync(&mut self) -> Result<&Path, GgufError> {
        if let Some(next) = self.planned.as_slice().first() {
            return Err(not_writable(&self.path, &next.name, "was not written".into()));
        }
        self.file.sync()?;
        Ok(self.file.temporary_path())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// As [`GgufWriter::sync`].
    pub fn finish(mut self) -> Result<(), GgufError> {
        self.sync()?;
        Ok(self.file.finish()?)
    }
}

fn not_writable(file: &Path, tensor: &str, problem: String) -> GgufError {
    GgufError::NotWritable { file: file.to_owned(), tensor: tensor.to_owned(), problem }
}

fn io(path: &Path, place: &str) -> impl FnOnce(std::io::Error) -> GgufError {
    let (file, place) = (path.to_owned(), place.to_owned());
    move |source| GgufError::Unwritten { file, place, source }
}

/// A text: its length in bytes, then they.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The number of a value's type (`enum gguf_metadata_value_type`), then the value.
fn put_value(bytes: &mut Vec<u8>, value: &MetaValue) {
    let mut kind = |id: u32| bytes.extend(id.to_le_bytes());
    match value {
        MetaValue::U32(_) => kind(4),
        MetaValue::F32(_) => kind(6),
        MetaValue::Bool(_) => kind(7),
        MetaValue::String(_) => kind(8),
        MetaValue::Strings(_) => [9, 8].into_iter().for_each(kind),
        MetaValue::I32s(_) => [9, 5].into_iter().for_each(kind),
        MetaValue::F32s(_) => [9, 6].into_iter().for_each(kind),
    }
    let mut count = |length: usize| bytes.extend((length as u64).to_le_bytes());
    match value {
        MetaValue::U32(value) => bytes.extend(value.to_le_bytes()),
        MetaValue::F32(value) => bytes.extend(value.to_le_bytes()),
        MetaValue::Bool(value) => bytes.push(u8::from(*value)),
        MetaValue::String(text) => put_string(bytes, text),
        MetaValue::Strings(texts) => {
            count(texts.len());
            texts.iter().for_each(|text| put_string(bytes, text));
        }
        MetaValue::I32s(values) => {
            count(values.len());
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        MetaValue::F32s(values) => {
            count(values.len());
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GgufFile, Value};
    use super::*;

    fn plan(name: &str, shape: &[usize], kind: TensorType) -> PlannedTensor {
        PlannedTensor { name: name.into(), shape: shape.to_vec(), kind }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.gguf");
        let metadata = [
            ("a", MetaValue::U32(7)),
            ("b", MetaValue::F32(0.5)),
            ("c", MetaValue::Bool(true)),
            ("d", MetaValue::String("λ".into())),
            ("e", MetaValue::Strings(vec!["x".into(), String::new()])),
            ("f", MetaValue::I32s(vec![-1, 2])),
            ("g", MetaValue::F32s(vec![-0.25])),
        ]
        .map(|(key, value)| (key.to_owned(), value));
        let tensors = [plan("odd", &[3], TensorType::F16), plan("w", &[2, 64], TensorType::F32)];
        let values: Vec<f32> = (0..128).map(|i| i as f32 * 0.01).collect();
        let mut writer = GgufWriter::create(&path, &metadata, &tensors).unwrap();
        writer.tensor("odd", &[1.0, 2.0, 3.0]).unwrap();
        writer.tensor("w", &values).unwrap();
        assert!(!path.exists());
        writer.finish().unwrap();
        let file = GgufFile::open(&path).unwrap();
        assert_eq!(file.read("odd").unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(file.read("w").unwrap(), values);
        for (key, expected) in [
            ("a", Value::Integer(7)),
            ("b", Value::Float(0.5)),
            ("c", Value::Bool(true)),
            ("d", Value::String("λ".into())),
            ("e", Value::Strings(vec!["x".into(), String::new()])),
            ("f", Value::Integers(vec![-1, 2])),
            ("g", Value::Floats(vec![-0.25])),
        ] {
            assert_eq!(file.value(key), Some(&expected), "{key}");
        }
    }

    #[test]
    fn a_file_that_is_not_whole_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.gguf");
        let tensors = [plan("a", &[32], TensorType::Q8_0), plan("b", &[32], TensorType::Q8_0)];
        let begin = || GgufWriter::create(&path, &[], &tensors).unwrap();
        let mut writer = begin();
        writer.tensor("a", &[0.0; 32]).unwrap();
        assert!(writer.finish().unwrap_err().to_string().contains("tensor `b` was not written"));
        assert!(begin().tensor("b", &[0.0; 32]).unwrap_err().to_string().contains("not the next"));
        assert!(begin().tensor("a", &[0.0; 31]).unwrap_err().to_string().contains("expected 32"));
        let nan = begin().tensor("a", &[f32::NAN; 32]).unwrap_err().to_string();
        assert!(nan.contains("tensor `a`") && nan.contains("NaN at index 0"), "{nan}");
        let odd = GgufWriter::create(&path, &[], &[plan("c", &[2, 33], TensorType::Q4_0)]);
        assert!(odd.unwrap_err().to_string().contains("rows of 33"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
