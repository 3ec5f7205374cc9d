//! API keys, of which the server knows the hashes alone.

use std::collections::HashMap;
use std::path::Path;

use axum::http::{HeaderMap, header};
use camelid_files::{FileError, Input, digest};

use crate::error::ServeError;

/// The keys that let a request in.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    /// Names by the SHA-256 of the key.
    names: HashMap<String, String>,
}

/// Why a file of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is not what it should be.
    #[error("{path}: line {line} is {problem}; expected a name and the SHA-256 of the key in hexadecimal")]
    Line {
        /// The file.
        path: String,
        /// The line's number, from 1.
        line: usize,
        /// What it is.
        problem: &'static str,
    },
    /// It has no key.
    #[error("{path}: no key in it; each line is a name and the SHA-256 of a key in hexadecimal")]
    Empty {
        /// The file.
        path: String,
    },
}

impl ApiKeys {
    /// Reads a file with a key a line: a name, white space, and the SHA-256 of the key in hexadecimal,
    /// as `sha256sum` prints it. Empty lines and those that begin with `#` are passed over.
    ///
    /// Keys should be long and random: their hashes are not salted.
    ///
    /// # Errors
    /// When the file cannot be read, has a line of another form, or no key.
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let text = Input::open(path)?.text()?;
        let shown = || path.display().to_string();
        let mut names = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem| KeysError::Line { path: shown(), line: at + 1, problem };
            let mut words = line.split_whitespace();
            let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong("not two words"));
            };
            if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong("without 64 hexadecimal digits as its second word"));
            }
            if names.insert(hash.to_ascii_lowercase(), name.to_owned()).is_some() {
                return Err(wrong("a key that stands there already"));
            }
        }
        if names.is_empty() {
            return Err(KeysError::Empty { path: shown() });
        }
        Ok(Self { names })
    }

    /// The name of the key that a request brings, as `Authorization: Bearer KEY` or `x-api-key: KEY`.
    ///
    /// # Errors
    /// When it brings none, or an unknown one.
    pub fn name_of(&self, headers: &HeaderMap) -> Result<&str, ServeError> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        let plain = || headers.get("x-api-key").and_then(|value| value.to_str().ok());
        let key = bearer.or_else(plain).ok_or(ServeError::Unauthorized(
            "no API key was given: send it in the header `Authorization: Bearer KEY`",
        ))?;
        // Looked up by its hash, the time of a comparison tells nothing about a key.
        let name = self.names.get(&digest::of_bytes(key));
        name.map(String::as_str).ok_or(ServeError::Unauthorized("the API key is wrong"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<ApiKeys, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, text).unwrap();
        ApiKeys::open(&path).map_err(|error| error.to_string())
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_key_is_known_by_its_hash() {
        // printf %s secret | sha256sum
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let keys = open(&format!("# people\n\nalice {hash}\n")).unwrap();
        assert_eq!(keys.name_of(&with("authorization", "Bearer secret")).unwrap(), "alice");
        assert_eq!(keys.name_of(&with("authorization", "bearer  secret")).unwrap(), "alice");
        assert_eq!(keys.name_of(&with("x-api-key", "secret")).unwrap(), "alice");
        for headers in [
            HeaderMap::new(),
            with("authorization", "Bearer Secret"),
            with("authorization", "Basic secret"),
            with("authorization", &format!("Bearer {hash}")),
        ] {
            assert!(keys.name_of(&headers).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_file_of_keys_is_refused_by_line() {
        assert!(open("").unwrap_err().contains("no key in it"));
        assert!(open("alice\n").unwrap_err().contains("line 1 is not two words"));
        assert!(open("\nalice secret\n").unwrap_err().contains("line 2 is without 64"));
    }
}
