//! An open GGUF file: metadata and tensor table in memory, tensor data on disk.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::dequantize::dequantize;
use super::error::GgufError;
use super::tensor_type::{TensorType, name_of};
use super::value::Value;

/// Bytes read and expanded at a time: the only memory a read takes beside its result.
const PIECE_BYTES: usize = 1 << 20;
/// The format allows four dimensions.
const MAX_DIMENSIONS: u32 = 4;
/// Data alignment when `general.alignment` is absent.
const DEFAULT_ALIGNMENT: u64 = 32;

/// One entry of the tensor table.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    /// The tensor's name in the file, for example `blk.0.attn_q.weight`.
    pub name: String,
    /// Row-major shape, outermost dimension first: `[out_features, in_features]` for a
    /// linear layer. (The file lists dimensions the other way round.)
    pub shape: Vec<usize>,
    /// ggml's number of the block format; see [`TensorType::from_id`].
    pub type_id: u32,
    /// First byte of the data, from the start of its part of the file.
    offset: u64,
    /// Which part of the file holds the data, from 0.
    part: usize,
}

impl TensorInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the block format as ggml writes it, for messages.
    pub fn type_name(&self) -> String {
        name_of(self.type_id)
    }

    /// Bytes of data, when the format is supported. Saturates: a shape may claim more
    /// than 64 bits of bytes until it has been checked against the file's size.
    fn nbytes(&self) -> Option<u64> {
        let kind = TensorType::from_id(self.type_id)?;
        let blocks = (self.len() / kind.block_len()) as u64;
        Some(blocks.saturating_mul(kind.block_bytes() as u64))
    }
}

/// An open GGUF file.
///
/// ```no_run
/// use camelid_model::gguf::GgufFile;
///
/// let file = GgufFile::open("model.gguf".as_ref())?;
/// println!("{}", file.string("general.architecture")?);
/// for tensor in file.tensors() {
///     println!("{} {:?} {}", tensor.name, tensor.shape, tensor.type_name());
/// }
/// # Ok::<(), camelid_model::gguf::GgufError>(())
/// ```
#[derive(Debug)]
pub struct GgufFile {
    pub(super) path: PathBuf,
    /// Where the data are: `path` alone, unless the file is in several parts.
    parts: Vec<PathBuf>,
    version: u32,
    pub(super) metadata: HashMap<String, Value>,
    tensors: Vec<TensorInfo>,
    index: HashMap<String, usize>,
}

impl GgufFile {
    /// Reads header, metadata and tensor table of the file at `path`. Of a file in several parts
    /// (`split.count`) any part may be named; the others are sought beside it.
    ///
    /// # Errors
    /// Any [`GgufError`]; in particular for files that are truncated, whose counts or
    /// offsets do not fit the file, or whose tensors overlap. Tensors of unsupported
    /// types are listed; reading one is the error.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        Self::with_other_parts(path, Self::open_part(path)?)
    }

    /// Reads one file, whether or not it is the whole.
    pub(super) fn open_part(path: &Path) -> Result<Self, GgufError> {
        let io = |source| GgufError::Io { file: path.to_path_buf(), place: "the file".into(), source };
        let file = File::open(path).map_err(io)?;
        let file_len = file.metadata().map_err(io)?.len();
        let mut cursor = Cursor::new(path, &file, file_len);

        let version = read_version(path, &mut cursor)?;
        cursor.at("tensor count");
        let tensor_count = cursor.u64()?;
        cursor.at("metadata count");
        let key_count = cursor.u64()?;
        let metadata = read_metadata(&mut cursor, key_count)?;
        let mut tensors = read_tensor_table(&mut cursor, tensor_count)?;

        let alignment = read_alignment(&cursor, &metadata)?;
        cursor.at("start of tensor data");
        let data_start = cursor.position().next_multiple_of(alignment);
        for tensor in &mut tensors {
            place_tensor(path, tensor, data_start, alignment, file_len)?;
        }
        refuse_overlaps(path, &tensors)?;

        let path = path.to_path_buf();
        let mut file = Self {
            parts: vec![path.clone()],
            path,
            version,
            metadata,
            tensors: Vec::with_capacity(tensors.len()),
            index: HashMap::with_capacity(tensors.len()),
        };
        tensors.into_iter().try_for_each(|tensor| file.list(tensor))?;
        Ok(file)
    }

    fn list(&mut self, tensor: TensorInfo) -> Result<(), GgufError> {
        if self.index.insert(tensor.name.clone(), self.tensors.len()).is_some() {
            return Err(GgufError::Damaged {
                file: self.parts[tensor.part].clone(),
                place: format!("tensor `{}`", tensor.name),
                problem: "is in the table twice, expected unique names".into(),
            });
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// Adds the tensors of another part.
    pub(super) fn append(&mut self, next: GgufFile) -> Result<(), GgufError> {
        let part = self.parts.len();
        self.parts.push(next.path);
        next.tensors.into_iter().try_for_each(|tensor| self.list(TensorInfo { part, ..tensor }))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor named `name`, if the file has it.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.get(name).map(|&i| &self.tensors[i])
    }

    /// The block format of `tensor`.
    ///
    /// # Errors
    /// [`GgufError::UnsupportedType`] naming file, tensor and type.
    pub fn tensor_type(&self, tensor: &TensorInfo) -> Result<TensorType, GgufError> {
        TensorType::from_id(tensor.type_id).ok_or_else(|| GgufError::UnsupportedType {
            file: self.path.clone(),
            tensor: tensor.name.clone(),
            found: tensor.type_name(),
        })
    }

    /// Reads and expands the tensor named `name`: row-major `f32` values of
    /// [`TensorInfo::shape`]. Beside the result only about a mebibyte is held.
    ///
    /// # Errors
    /// If there is no such tensor, its type is unsupported, or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        let tensor = self
            .tensor(name)
            .ok_or_else(|| GgufError::MissingTensor { file: self.path.clone(), tensor: name.into() })?;
        let mut values = vec![0.0; tensor.len()];
        self.read_blocks(tensor, |kind, first, bytes| {
            let count = bytes.len() / kind.block_bytes();
            let out = &mut values[first * kind.block_len()..(first + count) * kind.block_len()];
            dequantize(kind, bytes, out);
        })?;
        Ok(values)
    }

    /// Reads the blocks of `tensor` as they are, a piece at a time: `take` gets their type, the index
    /// of the first and their bytes.
    ///
    /// # Errors
    /// If the type is unsupported or the file cannot be read.
    pub fn read_blocks(
        &self,
        tensor: &TensorInfo,
        mut take: impl FnMut(TensorType, usize, &[u8]),
    ) -> Result<(), GgufError> {
        let kind = self.tensor_type(tensor)?;
        let path = &self.parts[tensor.part];
        let place = || format!("tensor `{}`", tensor.name);
        let io = |source| GgufError::Io { file: path.clone(), place: place(), source };

        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(tensor.offset)).map_err(io)?;
        let (blocks, each) = (tensor.len() / kind.block_len(), (PIECE_BYTES / kind.block_bytes()).max(1));
        let mut piece = vec![0; each.min(blocks) * kind.block_bytes()];
        for first in (0..blocks).step_by(each) {
            let bytes = &mut piece[..each.min(blocks - first) * kind.block_bytes()];
            file.read_exact(bytes).map_err(io)?;
            take(kind, first, bytes);
        }
        Ok(())
    }
}

fn read_version(path: &Path, cursor: &mut Cursor) -> Result<u32, GgufError> {
    cursor.at("magic");
    let magic = cursor.bytes()?;
    if &magic != b"GGUF" {
        return Err(GgufError::Magic { file: path.to_path_buf(), found: magic });
    }
    cursor.at("version");
    let version = cursor.u32()?;
    if matches!(version, 2 | 3) {
        return Ok(version);
    }
    let big_endian = matches!(version.swap_bytes(), 1..=3);
    let hint = if big_endian { " (this is a big-endian file)" } else { "" };
    Err(GgufError::Version { file: path.to_path_buf(), found: version, hint })
}

fn read_metadata(cursor: &mut Cursor, count: u64) -> Result<HashMap<String, Value>, GgufError> {
    // A key takes its length, its type and at least one byte of value.
    let count = cursor.claim("metadata entries", count, 8 + 4 + 1)?;
    let mut metadata = HashMap::new();
    for i in 0..count {
        cursor.at(format!("metadata entry {i} of {count}"));
        let key = cursor.string()?;
        cursor.at(format!("metadata key `{key}`"));
        let kind = cursor.value_type()?;
        let value = cursor.value(kind)?;
        if metadata.insert(key, value).is_some() {
            return Err(cursor.damaged("is given twice, expected unique keys"));
        }
    }
    Ok(metadata)
}

fn read_tensor_table(cursor: &mut Cursor, count: u64) -> Result<Vec<TensorInfo>, GgufError> {
    cursor.at("tensor table");
    // An entry takes name length, dimension count, type and offset at the least.
    let count = cursor.claim("tensors", count, 8 + 4 + 4 + 8)?;
    let mut tensors = Vec::with_capacity(count);
    for i in 0..count {
        cursor.at(format!("tensor table entry {i} of {count}"));
        let name = cursor.string()?;
        cursor.at(format!("tensor `{name}`"));
        let dimensions = cursor.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(
                cursor.damaged(format!("has {dimensions} dimensions, expected at most {MAX_DIMENSIONS}"))
            );
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = cursor.u64()?;
            let size =
                usize::try_from(size).map_err(|_| cursor.damaged(format!("has a dimension of {size}")))?;
            shape.push(size);
        }
        shape.reverse();
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_none() {
            return Err(cursor.damaged(format!("shape {shape:?} has too many elements to count")));
        }
        let type_id = cursor.u32()?;
        let offset = cursor.u64()?;
        tensors.push(TensorInfo { name, shape, type_id, offset, part: 0 });
    }
    Ok(tensors)
}

fn read_alignment(cursor: &Cursor, metadata: &HashMap<String, Value>) -> Result<u64, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Integer(v @ 1..=0x1_0000)) if v.count_ones() == 1 => Ok(*v as u64),
        Some(other) => Err(cursor.damaged(format!(
            "metadata key `general.alignment` is {}, expected a power of two up to 65536",
            other.describe()
        ))),
    }
}

/// Turns a tensor's offset within the data into one within the file and checks that
/// its data lie inside the file.
fn place_tensor(
    path: &Path,
    tensor: &mut TensorInfo,
    data_start: u64,
    alignment: u64,
    file_len: u64,
) -> Result<(), GgufError> {
    let damaged = |problem| GgufError::Damaged {
        file: path.to_path_buf(),
        place: format!("tensor `{}`", tensor.name),
        problem,
    };
    let offset = tensor.offset;
    if !offset.is_multiple_of(alignment) {
        return Err(damaged(format!("starts at data offset {offset}, expected a multiple of {alignment}")));
    }
    if let Some(kind) = TensorType::from_id(tensor.type_id) {
        let row = tensor.shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(kind.block_len()) {
            return Err(damaged(format!(
                "has rows of {row} values, expected a multiple of {} for type {}",
                kind.block_len(),
                kind.name()
            )));
        }
    }
    let start = data_start.checked_add(offset);
    let end = start.and_then(|s| s.checked_add(tensor.nbytes().unwrap_or(0)));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_len => {
            tensor.offset = start;
            Ok(())
        }
        _ => Err(damaged(format!(
            "{} values of type {} at data offset {offset} reach past the end of the file \
             at {file_len} (truncated?)",
            tensor.len(),
            tensor.type_name()
        ))),
    }
}

fn refuse_overlaps(path: &Path, tensors: &[TensorInfo]) -> Result<(), GgufError> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().filter(|t| !t.is_empty()).collect();
    by_offset.sort_by_key(|t| t.offset);
    for pair in by_offset.windows(2) {
        let end = pair[0].offset + pair[0].nbytes().unwrap_or(0);
        if end > pair[1].offset {
            return Err(GgufError::Damaged {
                file: path.to_path_buf(),
                place: format!("tensor `{}`", pair[1].name),
                problem: format!(
                    "starts at byte {}, inside tensor `{}` which ends at {end}",
                    pair[1].offset, pair[0].name
                ),
            });
        }
    }
    Ok(())
}
