//! JSON lines: one record a line, empty lines between them allowed.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::JudgeError;
use camelid_files::write_whole;

/// The records of a file with the numbers of their lines, from 1; `what` names them in errors.
///
/// # Errors
/// [`JudgeError::Read`], [`JudgeError::Line`] for the first line that is no such record, and
/// [`JudgeError::File`] when there is not one record.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    what: &'static str,
) -> Result<Vec<(usize, T)>, JudgeError> {
    let text = std::fs::read_to_string(path).map_err(|source| JudgeError::Read {
        path: path.to_owned(),
        what,
        source,
    })?;
    let mut records = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(line).map_err(|error| {
            // The parser sees one line only; the line's own number is the one that helps.
            let message = error.to_string();
            let message = message.split(" at line 1 column").next().unwrap_or(&message);
            JudgeError::line(path, index + 1, format!("{message}; expected {what}"))
        })?;
        records.push((index + 1, record));
    }
    if records.is_empty() {
        return Err(JudgeError::file(path, format!("no {what}: the file is empty")));
    }
    Ok(records)
}

/// Writes records as JSON lines, whole or not at all.
///
/// # Errors
/// [`JudgeError::Write`]; [`JudgeError::File`] for a record that JSON cannot hold.
pub(super) fn write<T: Serialize>(path: &Path, records: &[T]) -> Result<(), JudgeError> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record)
            .map_err(|error| JudgeError::file(path, format!("cannot write a record as JSON: {error}")))?;
        bytes.push(b'\n');
    }
    Ok(write_whole(path, &bytes)?)
}

/// Question ids: FastChat numbers its questions, others name them.
pub(super) mod id {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::Value;

    /// A number or a text, as text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if !text.trim().is_empty() => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(D::Error::invalid_value(
                Unexpected::Other(&format!("question_id {other}")),
                &"a number or a name",
            )),
        }
    }

    /// A text that is a whole number, as that number.
    pub fn serialize<S: Serializer>(id: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match id.parse::<i64>() {
            Ok(number) if number.to_string() == id => serializer.serialize_i64(number),
            _ => serializer.serialize_str(id),
        }
    }
}
