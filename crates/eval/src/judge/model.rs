//! Models to be asked: an endpoint, or the files of one to run here.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use camelid_chat::TextGenerator;
use camelid_chat::openai::{LengthField, OpenAiClient, OpenAiConfig, OpenAiError};
use camelid_chat::requests::RunSettings;

use super::error::JudgeError;

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
            if rest.contains('#') && !path.exists() {
                return Err(format!(
                    "`{rest}` is neither a file nor a URL; an endpoint is http://…/v1#MODEL"
                ));
            }
            let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
            let own = stem.map_or_else(|| rest.to_owned(), |stem| stem.to_string_lossy().into_owned());
            (ModelPlace::Files(path), own)
        };
        Ok(Self { name: name.map_or(own_name, str::to_owned), place })
    }
}

/// How endpoints are asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointSettings {
    /// Concurrency, rate and prices.
    pub run: RunSettings,
    /// The environment variable that holds the API key.
    pub api_key_env: Option<String>,
    /// Further attempts after one that failed in passing, where not the client's default.
    pub retries: Option<u32>,
    /// The field that bounds the reply's length, where the server knows one only.
    pub length_field: LengthField,
    /// Further fields of every request; see [`OpenAiConfig::extra_body`].
    pub extra_body: serde_json::Map<String, serde_json::Value>,
}

/// A model, whom to ask for its replies, and how fast.
#[derive(Clone)]
pub struct Model {
    /// Its name in reports.
    pub name: String,
    /// Its name in requests, which tells it apart from every other model (see
    /// [`ChatRequest::model`](camelid_chat::requests::ChatRequest::model)).
    pub request_name: String,
    /// Who replies.
    pub generator: Arc<dyn TextGenerator>,
    /// How it is asked; a spending limit is the session's to set.
    pub settings: RunSettings,
    /// What it is, in words.
    pub about: String,
    /// What of its files was not taken as it stands there, a line each; the user should see it.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("about", &self.about).finish_non_exhaustive()
    }
}

impl Model {
    /// A model at an endpoint. In requests it is called by endpoint, name and the body's further
    /// fields, so that replies of another server are never taken for its own.
    ///
    /// # Errors
    /// [`OpenAiError`] when URL, API key or body cannot be used.
    pub fn endpoint(name: &str, config: OpenAiConfig, settings: RunSettings) -> Result<Self, OpenAiError> {
        let mut model = format!("{}#{}", config.base_url.trim_end_matches('/'), config.model);
        if !config.extra_body.is_empty() {
            let body = serde_json::Value::Object(config.extra_body.clone());
            model += &format!(" {body}");
        }
        Ok(Self {
            name: name.to_owned(),
            about: format!("{name}: {model}, over HTTP"),
            request_name: model,
            generator: Arc::new(OpenAiClient::new(config)?),
            settings,
            notes: Vec::new(),
        })
    }

    /// A model in this process that was opened from `path`, asked one question at a time, which takes
    /// all cores.
    ///
    /// # Errors
    /// [`JudgeError::Model`] when the files there cannot be looked at.
    #[cfg(feature = "models")]
    pub fn local(
        name: &str,
        generator: camelid_model::LocalGenerator,
        path: &std::path::Path,
    ) -> Result<Self, JudgeError> {
        let notes = generator.notes().iter().map(ToString::to_string).collect();
        let bounded = super::local::Bounded::new(generator, path)?;
        let version = bounded.version().to_owned();
        Ok(Self {
            name: name.to_owned(),
            request_name: format!("{name} {version}"),
            about: format!("{name}: in this process, files {version}"),
            generator: Arc::new(bounded),
            // Several at once go through the model together.
            settings: RunSettings::default(),
            notes,
        })
    }
}

impl ModelSpec {
    /// Opens the model; `open_files` one in files.
    ///
    /// # Errors
    /// [`JudgeError`] for what cannot be opened.
    pub(super) fn open(
        &self,
        endpoint: &EndpointSettings,
        open_files: &dyn Fn(&str, &std::path::Path) -> Result<Model, JudgeError>,
    ) -> Result<Model, JudgeError> {
        match &self.place {
            ModelPlace::Files(path) => open_files(&self.name, path),
            ModelPlace::Endpoint { base_url, model } => {
                let mut config = OpenAiConfig::new(base_url, model);
                config.api_key_env.clone_from(&endpoint.api_key_env);
                config.retries = endpoint.retries.unwrap_or(config.retries);
                config.length_field = endpoint.length_field;
                config.extra_body.clone_from(&endpoint.extra_body);
                Ok(Model::endpoint(&self.name, config, endpoint.run.clone())?)
            }
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
        assert!(read("own=localhost:1/v1#m").unwrap_err().contains("an endpoint is http://"));
        for nothing in ["", "=x", "own="] {
            assert!(read(nothing).unwrap_err().contains("names no model"), "{nothing}");
        }
    }
}
