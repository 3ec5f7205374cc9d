//! What a finished arm leaves behind: one JSON file, written whole, which knows the settings that
//! determined it and is used again only where they are the same.

use std::path::Path;

use camelid_files::{FileError, write_whole};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// A stored outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored<T> {
    /// Digest of all that determines it: settings, base, data, the way of measuring.
    pub key: String,
    /// The settings as text, one a line.
    pub settings: String,
    /// What was measured.
    pub outcome: T,
}

impl<T: Serialize + DeserializeOwned> Stored<T> {
    /// The outcome in `path`, if there is one and it was determined by the same.
    pub fn reuse(path: &Path, key: &str) -> Option<T> {
        let stored: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (stored.key == key).then_some(stored.outcome)
    }

    /// Writes the outcome whole or not at all, in a folder that is made for it.
    ///
    /// # Errors
    /// A disk that is full or must not be written to.
    pub fn keep(&self, path: &Path) -> Result<(), RecipeError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(FileError::io(folder, "create"))?;
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| FileError::Content { path: path.to_owned(), message: error.to_string() })?;
        Ok(write_whole(path, &json)?)
    }
}

/// The settings of the outcome in `path`, whatever it holds besides.
pub(crate) fn settings_of(path: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Settings {
        settings: String,
    }
    let stored: Settings = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(stored.settings)
}

/// Lines of settings that differ, as `now (was before)`.
pub(crate) fn changed(before: &str, now: &str) -> Vec<String> {
    let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
    now.lines()
        .filter(|line| !before.lines().any(|other| other == *line))
        .map(|line| {
            let was = before.lines().find(|other| key(other).is_some() && key(other) == key(line));
            match was.and_then(|was| was.split_once('=')) {
                Some((_, was)) => format!("{line} (was {})", was.trim()),
                None => line.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_used_again_only_under_its_own_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arms/a-seed0/outcome.json");
        let stored = Stored { key: "k1".into(), settings: "seed = 0\nr = 4".into(), outcome: vec![1.5] };
        assert_eq!(Stored::<Vec<f64>>::reuse(&path, "k1"), None);
        stored.keep(&path).unwrap();
        assert_eq!(Stored::reuse(&path, "k1"), Some(vec![1.5]));
        assert_eq!(Stored::<Vec<f64>>::reuse(&path, "k2"), None);
        let before = settings_of(&path).unwrap();
        assert_eq!(changed(&before, "seed = 0\nr = 8\nq = 1"), ["r = 8 (was 4)", "q = 1"]);
        // What is cut off is as good as absent.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(Stored::<Vec<f64>>::reuse(&path, "k1"), None);
    }
}
