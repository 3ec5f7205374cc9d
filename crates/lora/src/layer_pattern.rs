//! Settings that differ from layer to layer (PEFT's `rank_pattern` and `alpha_pattern`).

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::LoraError;
use crate::python_regex::PythonRegex;

/// Values by patterns of module paths, in the order in which they were written.
///
/// A key is a regular expression (Python's) for the end of a path, from a dot or the path's
/// beginning on; the first one that matches counts.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPattern<T>(Vec<(String, T)>);

impl<T> Default for LayerPattern<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(String, T)> for LayerPattern<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: Copy> LayerPattern<T> {
    /// Whether it says nothing of any layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns with their values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, T)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// The value for the module at `path`; `None` when no pattern matches it.
    ///
    /// # Errors
    /// When a key is not a regular expression; `setting` is its field in messages.
    pub(crate) fn get(&self, setting: &'static str, path: &str) -> Result<Option<T>, LoraError> {
        for (key, value) in &self.0 {
            let fails = |problem| LoraError::Pattern { setting, pattern: key.clone(), problem };
            let regex = PythonRegex::around(r"\A(?:.*\.)?(?:", key, r")\z").map_err(fails)?;
            if regex.is_match(path).map_err(fails)? {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }
}

impl<T: Serialize> Serialize for LayerPattern<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for LayerPattern<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = LayerPattern<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number for each pattern of module names")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(LayerPattern::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(LayerPattern(entries))
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(json: &str, path: &str) -> Option<usize> {
        serde_json::from_str::<LayerPattern<usize>>(json).unwrap().get("rank_pattern", path).unwrap()
    }

    #[test]
    fn the_first_key_that_ends_the_path_counts() {
        let json = r#"{"layers.1.self_attn.q_proj": 2, "q_proj": 4, ".*k_proj": 16}"#;
        assert_eq!(get(json, "model.layers.1.self_attn.q_proj"), Some(2));
        assert_eq!(get(json, "model.layers.11.self_attn.q_proj"), Some(4));
        assert_eq!(get(json, "model.layers.0.self_attn.k_proj"), Some(16));
        assert_eq!(get(json, "model.layers.0.self_attn.v_proj"), None);
        // Not alphabetical order, and a name counts from a dot on.
        assert_eq!(get(r#"{"z|q_proj": 1, "q_proj": 2}"#, "a.q_proj"), Some(1));
        assert_eq!(get(r#"{"proj": 1}"#, "a.q_proj"), None);
        assert_eq!(get("null", "a.q_proj"), None);
    }

    #[test]
    fn a_key_that_is_no_pattern_is_named_with_its_setting() {
        let pattern: LayerPattern<usize> = [("(q".to_string(), 2)].into_iter().collect();
        let message = pattern.get("rank_pattern", "q").unwrap_err().to_string();
        assert!(message.starts_with("rank_pattern: `(q` is not a regular expression"), "{message}");
    }
}
