//! Metadata by key, as the type the caller needs.

use super::error::GgufError;
use super::file::GgufFile;
use super::value::Value;

/// Accessors named after a type give the value or an error that names the key, what was
/// found and what was expected. Those named `optional_…` give `None` for a missing key,
/// and still an error for a value of the wrong type.
impl GgufFile {
    /// The metadata value of `key`, if present.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The text under `key`.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn string(&self, key: &str) -> Result<&str, GgufError> {
        self.required(key, "a text", |v| match v {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The text under `key`, if present.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.value(key).map(|_| self.string(key)).transpose()
    }

    /// The count or size under `key`: an integer of any width, not negative.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn size(&self, key: &str) -> Result<usize, GgufError> {
        self.required(key, "a non-negative integer", |v| match v {
            Value::Integer(v) => usize::try_from(*v).ok(),
            _ => None,
        })
    }

    /// The count or size under `key`, if present.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.value(key).map(|_| self.size(key)).transpose()
    }

    /// The number under `key`, an integer or a float.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn number(&self, key: &str) -> Result<f64, GgufError> {
        self.required(key, "a finite number", |v| match v {
            Value::Float(v) if v.is_finite() => Some(*v),
            Value::Integer(v) => Some(*v as f64),
            _ => None,
        })
    }

    /// The number under `key`, if present.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.value(key).map(|_| self.number(key)).transpose()
    }

    /// The boolean under `key`, if present.
    ///
    /// # Errors
    /// If the key holds something else.
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        let read = || {
            self.required(key, "a boolean", |v| match v {
                Value::Bool(v) => Some(*v),
                _ => None,
            })
        };
        self.value(key).map(|_| read()).transpose()
    }

    /// The array of texts under `key`.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn strings(&self, key: &str) -> Result<&[String], GgufError> {
        self.required(key, "an array of texts", |v| match v {
            Value::Strings(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// The array of integers under `key`.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn integers(&self, key: &str) -> Result<&[i64], GgufError> {
        self.required(key, "an array of integers", |v| match v {
            Value::Integers(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// The array of numbers under `key`.
    ///
    /// # Errors
    /// If the key is missing or holds something else.
    pub fn floats(&self, key: &str) -> Result<&[f64], GgufError> {
        self.required(key, "an array of numbers", |v| match v {
            Value::Floats(v) => Some(v.as_slice()),
            _ => None,
        })
    }

    fn required<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        pick: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value = self.value(key).ok_or_else(|| GgufError::MissingKey {
            file: self.path.clone(),
            key: key.into(),
            expected,
        })?;
        pick(value).ok_or_else(|| self.bad_value(key, expected))
    }

    /// The error for a value of `key` that a caller finds unacceptable.
    pub fn bad_value(&self, key: &str, expected: &'static str) -> GgufError {
        let found = self.value(key).map_or("missing".into(), Value::describe);
        GgufError::BadValue { file: self.path.clone(), key: key.into(), found, expected }
    }
}
