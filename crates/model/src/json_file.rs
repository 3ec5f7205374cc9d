//! JSON files beside the weights, as Python writes them.

use std::path::Path;

use camelid_files::Input;
use serde_json::Value;

use crate::error::ModelError;
use crate::notes::LoadNote;

/// The JSON of a file, and a note for what JSON proper does not hold.
///
/// # Errors
/// When the file cannot be read, is a Git LFS pointer or no JSON.
pub(crate) fn read_json(path: &Path) -> Result<(Value, Vec<LoadNote>), ModelError> {
    let bytes = Input::open(path)?.bytes()?;
    let (value, odd) = camelid_files::json::parse(&bytes)
        .map_err(|cause| ModelError::Json { path: path.to_path_buf(), cause })?;
    Ok((value, odd.iter().map(|what| odd_json(path, what)).collect()))
}

/// The note that a file held what JSON proper does not.
pub(crate) fn odd_json(path: &Path, what: &camelid_files::json::Note) -> LoadNote {
    LoadNote::OddJson { origin: path.display().to_string(), what: what.to_string() }
}

/// As [`read_json`]; `null` where there is no such file.
///
/// # Errors
/// As [`read_json`].
pub(crate) fn read_json_if_there(path: &Path) -> Result<Value, ModelError> {
    if path.exists() { Ok(read_json(path)?.0) } else { Ok(Value::Null) }
}
