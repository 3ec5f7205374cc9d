//! Reading settings by their types.

use serde_json::{Map, Value, json};

use crate::error::ModelError;

/// One JSON object of settings, and where it came from for messages.
pub(super) struct Settings<'a> {
    pub object: &'a Map<String, Value>,
    pub origin: &'a str,
}

impl Settings<'_> {
    /// The value, with `null` treated as absent, as transformers does.
    pub fn get(&self, setting: &str) -> Option<&Value> {
        self.object.get(setting).filter(|v| !v.is_null())
    }

    pub fn missing(&self, setting: &str) -> ModelError {
        ModelError::MissingSetting { origin: self.origin.to_string(), setting: setting.to_string() }
    }

    pub fn refuse<T>(&self, setting: &str, found: &Value, supported: &str) -> Result<T, ModelError> {
        Err(ModelError::Unsupported {
            origin: self.origin.to_string(),
            setting: setting.to_string(),
            found: found.to_string(),
            supported: supported.to_string(),
        })
    }

    pub fn required_usize(&self, setting: &str) -> Result<usize, ModelError> {
        self.usize(setting)?.ok_or_else(|| self.missing(setting))
    }

    pub fn usize(&self, setting: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        // Some writers give whole numbers as 4096.0.
        let whole =
            || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64);
        match value.as_u64().or_else(whole).and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => self.refuse(setting, value, "non-negative integers"),
        }
    }

    pub fn f64(&self, setting: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(x) => Ok(Some(x)),
            None => self.refuse(setting, value, "numbers"),
        }
    }

    pub fn factor(&self, setting: &str) -> Result<f64, ModelError> {
        match self.f64(setting)? {
            Some(x) if x.is_finite() && x > 0.0 => Ok(x),
            Some(x) => self.refuse(setting, &json!(x), "positive numbers"),
            None => Err(self.missing(setting)),
        }
    }

    pub fn bool(&self, setting: &str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(b) => Ok(Some(b)),
            None => self.refuse(setting, value, "true or false"),
        }
    }

    /// A token id or a list of them. Negative ids mean "none" in early conversions.
    pub fn token_ids(&self, setting: &str) -> Result<Vec<u32>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(Vec::new());
        };
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut ids = Vec::with_capacity(list.len());
        for id in list {
            match id.as_i64() {
                Some(n) if n < 0 => {}
                Some(n) if u32::try_from(n).is_ok() => ids.push(n as u32),
                _ => return self.refuse(setting, value, "a token id or a list of token ids"),
            }
        }
        Ok(ids)
    }
}
