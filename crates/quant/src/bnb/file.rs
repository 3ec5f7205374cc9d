//! Whole safetensors files, laid out as the reference writer lays them out.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use crate::QuantError;

/// A tensor to write: name, element type, shape, little-endian bytes.
pub type Entry = (String, Dtype, Vec<usize>, Vec<u8>);

/// Parses the bytes of a safetensors file; the result borrows them. `file` appears
/// in errors only.
///
/// # Errors
/// [`QuantError::SafeTensors`] when the bytes are cut short or damaged.
pub fn parse<'a>(bytes: &'a [u8], file: &Path) -> Result<SafeTensors<'a>, QuantError> {
    SafeTensors::deserialize(bytes)
        .map_err(|source| QuantError::SafeTensors { file: file.to_owned(), source })
}

/// The file as bytes: tensors by descending element type, then by name, as the
/// safetensors library orders them; metadata in the order given.
pub fn to_bytes(entries: &[Entry], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (header, order) = layout(entries, metadata);
    bytes.extend(header);
    order.iter().for_each(|entry| bytes.extend(&entry.3));
    bytes
}

/// Writes the file of [`to_bytes`] whole or not at all: to a temporary file in the
/// same folder, synced, then renamed.
///
/// # Errors
/// [`QuantError::Io`]; an existing file is then untouched.
pub fn write_file(path: &Path, entries: &[Entry], metadata: &[(&str, &str)]) -> Result<(), QuantError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_synced(&temporary, entries, metadata).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // Best effort: the error that matters is the one being returned.
        let _ = fs::remove_file(&temporary);
        QuantError::Io { file: path.to_owned(), source }
    })
}

fn write_synced(path: &Path, entries: &[Entry], metadata: &[(&str, &str)]) -> std::io::Result<()> {
    let mut writer = BufWriter::new(File::create(path)?);
    let (header, order) = layout(entries, metadata);
    writer.write_all(&header)?;
    for entry in order {
        writer.write_all(&entry.3)?;
    }
    writer.into_inner().map_err(|error| error.into_error())?.sync_all()
}

/// The header with its length prefix, padded to 8 bytes, and the tensors in order.
fn layout<'a>(entries: &'a [Entry], metadata: &[(&str, &str)]) -> (Vec<u8>, Vec<&'a Entry>) {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));

    let mut header = Map::new();
    if !metadata.is_empty() {
        let pairs: Map<String, Value> =
            metadata.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        header.insert("__metadata__".to_owned(), pairs.into());
    }
    let mut offset = 0;
    for (name, dtype, shape, data) in &order {
        let end = offset + data.len();
        let info = json!({ "dtype": dtype.to_string(), "shape": shape, "data_offsets": [offset, end] });
        header.insert(name.clone(), info);
        offset = end;
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    (bytes, order)
}
