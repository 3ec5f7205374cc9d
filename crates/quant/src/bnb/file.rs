//! Whole safetensors files, laid out as the reference writer lays them out.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use camelid_files::{FileError, WholeFile};
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

/// Writes the file of [`to_bytes`], whole or not at all ([`WholeFile`]).
///
/// # Errors
/// [`QuantError::File`]; an existing file is then untouched.
pub fn write_file(path: &Path, entries: &[Entry], metadata: &[(&str, &str)]) -> Result<(), QuantError> {
    let mut file = WholeFile::create(path)?;
    let (header, order) = layout(entries, metadata);
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(FileError::io(path, "write"));
    write(&header)?;
    for entry in order {
        write(&entry.3)?;
    }
    Ok(file.finish()?)
}

/// A tensor's place in the header.
pub(super) struct Layout<'a> {
    pub name: &'a str,
    pub dtype: Dtype,
    pub shape: &'a [usize],
}

/// The header with its length prefix, padded to 8 bytes, and the tensors in order.
fn layout<'a>(entries: &'a [Entry], metadata: &[(&str, &str)]) -> (Vec<u8>, Vec<&'a Entry>) {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let places = entries.iter().map(|(name, dtype, shape, _)| Layout { name, dtype: *dtype, shape });
    (header(places.collect(), metadata).0, order)
}

/// The header with its length prefix, padded to 8 bytes, and where each tensor's data lie behind
/// it: by descending element type, then by name.
pub(super) fn header<'a>(
    mut tensors: Vec<Layout<'a>>,
    metadata: &[(&str, &str)],
) -> (Vec<u8>, Vec<(&'a str, Range<usize>)>) {
    tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(b.name)));
    let mut header = Map::new();
    if !metadata.is_empty() {
        let pairs: Map<String, Value> =
            metadata.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        header.insert("__metadata__".to_owned(), pairs.into());
    }
    let mut places = Vec::with_capacity(tensors.len());
    let mut offset = 0;
    for Layout { name, dtype, shape } in tensors {
        let end = offset + shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = json!({ "dtype": dtype.to_string(), "shape": shape, "data_offsets": [offset, end] });
        header.insert(name.to_owned(), info);
        places.push((name, offset..end));
        offset = end;
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    (bytes, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_over_an_older_one_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        std::fs::write(&path, "older").unwrap();
        let entries = [("w".to_owned(), Dtype::U8, vec![3], vec![1, 2, 3])];
        write_file(&path, &entries, &[]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), to_bytes(&entries, &[]));

        // A folder is in the way of the rename.
        let taken = dir.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = write_file(&taken, &entries, &[]).unwrap_err();
        assert!(matches!(&error, QuantError::File(FileError::Io { path, .. }) if *path == taken), "{error}");
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "no temporary file is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_can_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        write_file(&path, &[], &[]).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
}
