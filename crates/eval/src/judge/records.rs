//! Files of records: JSON lines, arrays and the other shapes of [`camelid_files::records`].

use std::path::Path;

use camelid_files::records::{Place, Records};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::JudgeError;

/// The records of a file with their places; `what` names them in errors.
///
/// # Errors
/// [`JudgeError::File`] for a file that cannot be read or holds not one record;
/// [`JudgeError::Record`] for the first that is no such record.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    what: &'static str,
) -> Result<Vec<(Place, T)>, JudgeError> {
    let mut file = Records::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = file.next_record()? {
        let record = record.map_err(|bad| {
            JudgeError::record(path, bad.place, format!("{}; expected {what}", bad.message))
        })?;
        let read = serde_json::from_value(Value::Object(record.fields))
            .map_err(|error| JudgeError::record(path, record.place, format!("{error}; expected {what}")))?;
        records.push((record.place, read));
    }
    if records.is_empty() {
        return Err(JudgeError::content(path, format!("the file is empty; expected {what}")));
    }
    Ok(records)
}

/// Writes records as JSON lines, whole or not at all.
///
/// # Errors
/// [`JudgeError::File`].
pub(super) fn write<T: Serialize>(path: &Path, records: &[T]) -> Result<(), JudgeError> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record)
            .map_err(|error| JudgeError::content(path, format!("cannot write a record as JSON: {error}")))?;
        bytes.push(b'\n');
    }
    Ok(camelid_files::write_whole(path, &bytes)?)
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
            // pandas writes whole numbers as 81.0 where a column lacks some.
            Value::Number(number) => Ok(match number.as_f64().filter(|_| number.is_f64()) {
                Some(whole) if whole.fract() == 0.0 && whole.abs() < 9e15 => (whole as i64).to_string(),
                _ => number.to_string(),
            }),
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
