//! Optimizer state in one safetensors file.
//!
//! For each tensor `key`: `key.state1` and `key.state2`, the first and second moment (`F32`, or
//! `U8` codes), and with 8-bit state `key.absmax1` and `key.absmax2` (`F32`, one per block of
//! 256) — bitsandbytes' names. The metadata holds `format`, `version`, `rounding` and `steps`, a
//! JSON object of steps by key. The bytes depend on the state alone, not on budget or spill.
//!
//! Both directions go page by page: no tensor's state has to be in memory as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_files::{FileAt, FileError, WholeFile};
use serde::{Deserialize, Serialize};

use crate::optimizer::TensorState;
use crate::{AdamWConfig, OptimError, PagedAdamW, StateBits};

const FORMAT: &str = "camelid-paged-optim";
const VERSION: &str = "1";
/// Longest header accepted, as in the safetensors library.
const MAX_HEADER: u64 = 100_000_000;

/// One stored tensor as the header describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    entries: BTreeMap<String, Entry>,
}

/// Part of a tensor's state: which of the four arrays of a page.
#[derive(Clone, Copy)]
struct Part {
    suffix: &'static str,
    /// Index into [`crate::page::PageData::sections`].
    section: usize,
    dtype: &'static str,
}

/// Arrays of a tensor's state, four-byte values first.
fn parts(bits: StateBits) -> &'static [Part] {
    const BITS32: [Part; 2] = [
        Part { suffix: "state1", section: 0, dtype: "F32" },
        Part { suffix: "state2", section: 1, dtype: "F32" },
    ];
    const BITS8: [Part; 4] = [
        Part { suffix: "absmax1", section: 0, dtype: "F32" },
        Part { suffix: "absmax2", section: 1, dtype: "F32" },
        Part { suffix: "state1", section: 2, dtype: "U8" },
        Part { suffix: "state2", section: 3, dtype: "U8" },
    ];
    match bits {
        StateBits::Bits32 => &BITS32,
        StateBits::Bits8 => &BITS8,
    }
}

/// Parameters' keys with one of their arrays each, in the order of the file.
type DataOrder = Vec<(String, Part)>;

impl PagedAdamW {
    /// Writes the state to `path`: whole (temporary file, fsync, rename) or not at all.
    ///
    /// # Errors
    /// [`OptimError::File`] when the disk is full or not writable; the optimizer and an existing
    /// file at `path` are untouched. [`OptimError::SpillIo`] when a page cannot be read back.
    pub fn save(&mut self, path: &Path) -> Result<(), OptimError> {
        let failed = |cause| FileError::Io { path: path.to_owned(), action: "write", cause };
        let (header, order) = self.layout_file(path)?;
        let mut out = WholeFile::create(path)?;
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        out.write_all(&header).map_err(failed)?;
        for (key, part) in order {
            for page in self.tensors[&key].pages.clone() {
                let data = self.store.peek(page)?;
                out.write_all(data.sections()[part.section]).map_err(failed)?;
            }
        }
        Ok(out.finish()?)
    }

    /// An optimizer with the state of a file that [`Self::save`] wrote. `config` may have another
    /// budget, spill place or page size, and other rates; widths of state and rounding must agree.
    ///
    /// # Errors
    /// [`OptimError::BadFile`] for a damaged file or other settings, [`OptimError::File`] when it
    /// cannot be read, [`OptimError::SpillFull`] when there is no room for its pages.
    pub fn load(config: AdamWConfig, path: &Path) -> Result<Self, OptimError> {
        let mut optim = Self::new(config)?;
        let source = StateFile::open(path)?;
        source.expect_metadata("format", FORMAT)?;
        source.expect_metadata("version", VERSION)?;
        source.expect_metadata("rounding", &format!("{:?}", optim.config().rounding))?;
        for (key, step) in source.steps()? {
            let len = source.entry(&key, "state1")?.elements();
            optim.reserve(&key, len)?;
            let Some(tensor) = optim.tensors.get_mut(&key) else { continue };
            tensor.step = step;
            let tensor = tensor.clone();
            optim.load_pages(&source, &key, &tensor)?;
        }
        Ok(optim)
    }

    fn load_pages(&mut self, source: &StateFile, key: &str, tensor: &TensorState) -> Result<(), OptimError> {
        let mut readers = vec![];
        for part in parts(tensor.bits) {
            let entry = source.entry(key, part.suffix)?;
            let elements = part.elements(tensor);
            if entry.dtype != part.dtype || entry.elements() != elements {
                return Err(source.bad(format!(
                    "`{key}.{}` is {} {:?}, expected {} [{elements}] (state of another width?)",
                    part.suffix, entry.dtype, entry.shape, part.dtype
                )));
            }
            readers.push((part.section, source.data_start + entry.data_offsets[0]));
        }
        for page in tensor.pages.clone() {
            let mut data = self.store.layout(page).zeros();
            for (section, at) in &mut readers {
                let bytes = &mut data.sections_mut()[*section];
                source.read(bytes, *at)?;
                *at += bytes.len() as u64;
            }
            self.store.fill(page, data)?;
        }
        Ok(())
    }

    /// The header's bytes, and the order of the data: all `F32`, then all `U8`, so that every
    /// array is aligned to its element.
    fn layout_file(&self, path: &Path) -> Result<(Vec<u8>, DataOrder), OptimError> {
        let mut order: DataOrder = vec![];
        for dtype in ["F32", "U8"] {
            for (key, tensor) in &self.tensors {
                let parts = parts(tensor.bits).iter().filter(|part| part.dtype == dtype);
                order.extend(parts.map(|part| (key.clone(), *part)));
            }
        }
        let mut entries = BTreeMap::new();
        let mut at = 0;
        for (key, part) in &order {
            let elements = part.elements(&self.tensors[key]);
            let end = at + (elements * part.width()) as u64;
            let (dtype, shape) = (part.dtype.to_owned(), vec![elements]);
            let entry = Entry { dtype, shape, data_offsets: [at, end] };
            entries.insert(format!("{key}.{}", part.suffix), entry);
            at = end;
        }
        let bad =
            |error: serde_json::Error| OptimError::BadFile { path: path.into(), reason: error.to_string() };
        let steps: BTreeMap<&str, u64> =
            self.tensors.iter().map(|(key, tensor)| (key.as_str(), tensor.step)).collect();
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("version".to_owned(), VERSION.to_owned()),
            ("rounding".to_owned(), format!("{:?}", self.config().rounding)),
            ("steps".to_owned(), serde_json::to_string(&steps).map_err(bad)?),
        ]);
        let mut header = serde_json::to_vec(&Header { metadata, entries }).map_err(bad)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok((header, order))
    }
}

impl Part {
    fn width(&self) -> usize {
        if self.dtype == "F32" { 4 } else { 1 }
    }

    /// Elements this part has for a whole tensor.
    fn elements(&self, tensor: &TensorState) -> usize {
        match self.suffix {
            "absmax1" | "absmax2" => tensor.len.div_ceil(AdamWConfig::BLOCK),
            _ => tensor.len,
        }
    }
}

impl Entry {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A state file with its header read and checked.
struct StateFile {
    path: PathBuf,
    file: File,
    header: Header,
    data_start: u64,
}

impl StateFile {
    fn open(path: &Path) -> Result<Self, OptimError> {
        let failed = |cause| FileError::Io { path: path.to_owned(), action: "read", cause };
        let bad = |reason: String| OptimError::BadFile { path: path.to_owned(), reason };
        let file = File::open(path).map_err(failed)?;
        let file_len = file.metadata().map_err(failed)?.len();
        let mut length = [0; 8];
        if file_len < 8 {
            return Err(bad(format!("{file_len} bytes are too few for a safetensors file")));
        }
        file.read_exact_at(&mut length, 0).map_err(failed)?;
        let header_len = u64::from_le_bytes(length);
        if header_len > MAX_HEADER || 8 + header_len > file_len {
            return Err(bad(format!("header of {header_len} bytes in a file of {file_len}")));
        }
        let mut bytes = vec![0; header_len as usize];
        file.read_exact_at(&mut bytes, 8).map_err(failed)?;
        let header: Header =
            serde_json::from_slice(&bytes).map_err(|error| bad(format!("header is not valid: {error}")))?;
        let data_start = 8 + header_len;
        let source = Self { path: path.to_owned(), file, header, data_start };
        let data_end = source.header.entries.values().map(|entry| entry.data_offsets[1]).max().unwrap_or(0);
        for (name, entry) in &source.header.entries {
            let [start, end] = entry.data_offsets;
            let width: u64 = if entry.dtype == "F32" { 4 } else { 1 };
            let wanted = entry.shape.iter().try_fold(width, |n, d| n.checked_mul(*d as u64));
            let described = end.checked_sub(start);
            if described.is_none() || described != wanted {
                return Err(source.bad(format!("`{name}`: shape and offsets disagree")));
            }
        }
        if data_start.checked_add(data_end) != Some(file_len) {
            return Err(source.bad(format!(
                "the file has {file_len} bytes, its header describes {data_end} after byte \
                 {data_start}: truncated or damaged"
            )));
        }
        Ok(source)
    }

    fn bad(&self, reason: String) -> OptimError {
        OptimError::BadFile { path: self.path.clone(), reason }
    }

    fn expect_metadata(&self, name: &str, expected: &str) -> Result<(), OptimError> {
        match self.header.metadata.get(name).map(String::as_str) {
            Some(found) if found == expected => Ok(()),
            found => Err(self.bad(format!("{name} is {found:?}, expected {expected:?}"))),
        }
    }

    fn steps(&self) -> Result<BTreeMap<String, u64>, OptimError> {
        let json = self.header.metadata.get("steps").map_or("", String::as_str);
        serde_json::from_str(json).map_err(|error| self.bad(format!("metadata `steps`: {error}")))
    }

    fn entry(&self, key: &str, suffix: &str) -> Result<&Entry, OptimError> {
        let name = format!("{key}.{suffix}");
        match self.header.entries.get(&name) {
            Some(entry) => Ok(entry),
            None => Err(self.bad(format!("tensor `{name}` is missing (state of another width?)"))),
        }
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), OptimError> {
        Ok(self.file.read_exact_at(bytes, at).map_err(FileError::io(&self.path, "read"))?)
    }
}
