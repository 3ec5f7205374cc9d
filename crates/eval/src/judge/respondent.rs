//! Models to be asked: an endpoint, or the files of one to run here.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use camelid_chat::TextGenerator;
use camelid_chat::openai::{OpenAiClient, OpenAiConfig, OpenAiError};

use super::answering::Contestant;
use camelid_chat::requests::RunSettings;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelPlace {
    /// In files, to be run in this process.
    Files(PathBuf),
    /// At an OpenAI-compatible endpoint.
    Endpoint {
        /// Its URL up to and with `/v1`.
        base_url: String,
        /// The model's name there.
        model: String,
    },
}

/// A model and its name, read from `[NAME=]PATH` or `[NAME=]URL#MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// Its name in reports: unless given, the name of its file or folder, or the one at the endpoint.
    pub name: String,
    /// Where it is.
    pub place: ModelPlace,
}

impl FromStr for ModelSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.find("://");
        // An equals sign within a URL or below a folder is not the one behind a name.
        let before = scheme.or_else(|| text.find('/')).unwrap_or(text.len());
        let (name, rest) = match text[..before].split_once('=') {
            Some((name, _)) => (Some(name), &text[name.len() + 1..]),
            None => (None, text),
        };
        if name.is_some_and(|name| name.trim().is_empty()) || rest.is_empty() {
            return Err(format!("`{text}` names no model; expected [NAME=]PATH or [NAME=]URL#MODEL"));
        }
        let (place, own_name) = if scheme.is_some() {
            let (base_url, model) = rest
                .split_once('#')
                .filter(|(_, model)| !model.is_empty())
                .ok_or_else(|| format!("`{rest}` does not say which model; expected URL#MODEL"))?;
            let place = ModelPlace::Endpoint { base_url: base_url.to_owned(), model: model.to_owned() };
            (place, model.to_owned())
        } else {
            let path = PathBuf::from(rest);
            let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
            let own = stem.map_or_else(|| rest.to_owned(), |stem| stem.to_string_lossy().into_owned());
            (ModelPlace::Files(path), own)
        };
        Ok(Self { name: name.map_or(own_name, str::to_owned), place })
    }
}

/// A model, whom to ask for its replies, and how fast.
#[derive(Clone)]
pub struct Respondent {
    /// Its names.
    pub contestant: Contestant,
    /// Who replies.
    pub generator: Arc<dyn TextGenerator>,
    /// How it is asked; a spending limit is the session's to set.
    pub settings: RunSettings,
    /// What it is, in words.
    pub about: String,
}

impl Respondent {
    /// A model at an endpoint. In requests it is called by endpoint and name, so that replies of
    /// another server are never taken for its own.
    ///
    /// # Errors
    /// [`OpenAiError`] when URL or API key cannot be used.
    pub fn endpoint(name: &str, config: OpenAiConfig, settings: RunSettings) -> Result<Self, OpenAiError> {
        let model = format!("{}#{}", config.base_url.trim_end_matches('/'), config.model);
        Ok(Self {
            contestant: Contestant { name: name.to_owned(), model: model.clone() },
            about: format!("{name}: {model}, over HTTP"),
            generator: Arc::new(OpenAiClient::new(config)?),
            settings,
        })
    }

    /// A model in this process, asked one question at a time, which takes all cores.
    #[cfg(feature = "models")]
    pub fn local(name: &str, model: super::local::LocalModel) -> Self {
        let version = model.version().to_owned();
        Self {
            contestant: Contestant { name: name.to_owned(), model: format!("{name} {version}") },
            about: format!("{name}: in this process, files {version}"),
            generator: Arc::new(model),
            settings: RunSettings { concurrency: 1, ..RunSettings::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_path_or_url() {
        let read = |text: &str| text.parse::<ModelSpec>();
        let files = |name: &str, path: &str| ModelSpec {
            name: name.to_owned(),
            place: ModelPlace::Files(PathBuf::from(path)),
        };
        let endpoint = |name: &str, url: &str, model: &str| ModelSpec {
            name: name.to_owned(),
            place: ModelPlace::Endpoint { base_url: url.to_owned(), model: model.to_owned() },
        };
        assert_eq!(read("models/tiny.gguf"), Ok(files("tiny", "models/tiny.gguf")));
        assert_eq!(read("base=models/tiny.gguf"), Ok(files("base", "models/tiny.gguf")));
        assert_eq!(read("runs/lr=2e-4/merged"), Ok(files("merged", "runs/lr=2e-4/merged")));
        let url = "http://localhost:1/v1";
        assert_eq!(read("http://localhost:1/v1#m/n"), Ok(endpoint("m/n", url, "m/n")));
        assert_eq!(read("own=http://localhost:1/v1#m"), Ok(endpoint("own", url, "m")));
        assert!(read("http://localhost:1/v1").unwrap_err().contains("which model"));
        for nothing in ["", "=x", "own="] {
            assert!(read(nothing).unwrap_err().contains("names no model"), "{nothing}");
        }
    }
}
