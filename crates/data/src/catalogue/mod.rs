//! The catalogue of sources: names, places, sizes, SHA-256 sums, licences.

mod download;
mod fetch;
mod package;

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::DataError;

pub use fetch::FetchOptions;
pub use package::Package;

const BUILTIN: &str = include_str!("sources.toml");

/// Sources by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename = "source")]
    sources: Vec<Source>,
}

/// A data set or model, of one or more files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What it is, in a line.
    pub about: String,
    /// The licence it is under.
    pub licence: String,
    /// The hub repository that has its files; else each file has a URL or is in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Hub>,
    /// The Python package that has its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Its files.
    #[serde(rename(deserialize = "file"))]
    pub files: Vec<SourceFile>,
}

/// A repository on the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// `owner/name`.
    pub repo: String,
    /// Models and data sets have different addresses.
    pub kind: HubKind,
    /// Branch, tag or commit.
    pub revision: String,
}

/// What a hub repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HubKind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// One file of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its path below a mirror folder and below the cache.
    pub path: String,
    /// Its address, when the source has no hub repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its path in the source's hub repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_file: Option<String>,
    /// Its path in the source's package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Size in bytes, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 in lower-case hexadecimal. Where it is not known, the first
    /// fetch's is recorded beside the cached file and compared from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Catalogue {
    /// The catalogue that comes with the crate.
    ///
    /// # Errors
    /// None but a fault of the crate itself.
    pub fn builtin() -> Result<Self, DataError> {
        Self::from_toml(BUILTIN)
    }

    /// A catalogue from TOML: `[[source]]` with `[[source.file]]`.
    ///
    /// # Errors
    /// [`DataError::Catalogue`] for an unknown or missing key, a name that comes
    /// twice, a path that leads outside, a file with no place to come from.
    pub fn from_toml(text: &str) -> Result<Self, DataError> {
        let catalogue: Self =
            toml::from_str(text).map_err(|error| DataError::Catalogue(error.to_string()))?;
        for (index, source) in catalogue.sources.iter().enumerate() {
            source.check()?;
            if catalogue.sources[..index].iter().any(|s| s.name == source.name) {
                return Err(DataError::Catalogue(format!("\"{}\" comes twice", source.name)));
            }
        }
        Ok(catalogue)
    }

    /// All sources, in the catalogue's order.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The source called `name`.
    ///
    /// # Errors
    /// [`DataError::UnknownSource`], with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Source, DataError> {
        if let Some(source) = self.sources.iter().find(|s| s.name == name) {
            return Ok(source);
        }
        let nearest = self
            .sources
            .iter()
            .map(|s| (strsim::jaro_winkler(&s.name, name), &s.name))
            .filter(|(similarity, _)| *similarity > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let known: Vec<&str> = self.sources.iter().map(|s| s.name.as_str()).collect();
        Err(DataError::UnknownSource {
            name: name.to_string(),
            hint: nearest.map_or_else(String::new, |(_, n)| format!("; did you mean \"{n}\"?")),
            known: known.join(", "),
        })
    }
}

impl Source {
    fn check(&self) -> Result<(), DataError> {
        let wrong = |message: &str| {
            let name = &self.name;
            Err(DataError::Catalogue(format!("source \"{name}\": {message}")))
        };
        if self.files.is_empty() {
            return wrong("it has no files");
        }
        for file in &self.files {
            let path = Path::new(&file.path);
            let inside = path.components().all(|c| matches!(c, Component::Normal(_)));
            if !inside || file.path.is_empty() {
                return wrong(&format!("path \"{}\" leads outside", file.path));
            }
            if path.parent() != Path::new(&self.files[0].path).parent() {
                return wrong("its files are in more than one folder");
            }
            let places = (file.url.is_some(), file.hub_file.is_some(), file.member.is_some());
            let has_one = match places {
                (true, false, false) => true,
                (false, true, false) => self.hub.is_some(),
                (false, false, true) => self.package.is_some() && file.sha256.is_some(),
                _ => false,
            };
            if !has_one {
                return wrong(&format!(
                    "\"{}\" needs one of: url; hub and hub_file; package, member and sha256",
                    file.path
                ));
            }
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if let Some(sum) = &file.sha256
                && (sum.len() != 64 || !sum.chars().all(is_hex))
            {
                return wrong("sha256 should be 64 lower-case hexadecimal digits");
            }
        }
        Ok(())
    }
}

/// Fetches a source of the crate's own catalogue: see [`Source::fetch`].
///
/// # Errors
/// As [`Catalogue::get`] and [`Source::fetch`].
pub fn fetch(name: &str, options: &FetchOptions) -> Result<std::path::PathBuf, DataError> {
    Catalogue::builtin()?.get(name)?.fetch(options)
}
