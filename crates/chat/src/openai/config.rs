//! Which endpoint, and how patiently.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::OpenAiError;

/// The field of a request that bounds the reply's length.
///
/// A client that learns from the server's words that it has to be the other one uses that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthField {
    /// `max_tokens`, which nearly every server knows.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models ask for.
    MaxCompletionTokens,
}

/// An OpenAI-compatible endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiConfig {
    /// Up to and with `/v1`, e.g. `http://localhost:8000/v1`; the whole address of the chat
    /// completions will do as well.
    pub base_url: String,
    /// The model's name at that endpoint.
    pub model: String,
    /// The environment variable that holds the API key; `None` sends no key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// The field that bounds the reply's length.
    #[serde(default)]
    pub length_field: LengthField,
    /// Further fields of every request, as `{"reasoning_effort": "low"}`. They replace fields of the
    /// same name; those that the options of generation set are refused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra_body: Map<String, Value>,
    /// Milliseconds for a whole reply. Default 600,000.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Milliseconds for a connection. Default 10,000.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_ms: u64,
    /// Further attempts after one that failed in passing. Default 5. A server that never replied is
    /// waited for three seconds in all, for then its address is more likely wrong.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Milliseconds before the second attempt; they double with each. Default 1,000.
    #[serde(default = "default_first_wait")]
    pub first_wait_ms: u64,
    /// Most milliseconds before an attempt. A server that asks for more is not asked again.
    /// Default 120,000.
    #[serde(default = "default_longest_wait")]
    pub longest_wait_ms: u64,
    /// Seed of the waits' jitter. Default 0.
    #[serde(default)]
    pub seed: u64,
}

fn default_timeout() -> u64 {
    600_000
}

fn default_connect_timeout() -> u64 {
    10_000
}

fn default_retries() -> u32 {
    5
}

fn default_first_wait() -> u64 {
    1_000
}

fn default_longest_wait() -> u64 {
    120_000
}

impl OpenAiConfig {
    /// An endpoint with every other setting at its default.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            api_key_env: None,
            length_field: LengthField::default(),
            extra_body: Map::new(),
            timeout_ms: default_timeout(),
            connect_timeout_ms: default_connect_timeout(),
            retries: default_retries(),
            first_wait_ms: default_first_wait(),
            longest_wait_ms: default_longest_wait(),
            seed: 0,
        }
    }

    /// Where chats are posted.
    pub(super) fn url(&self) -> Result<String, OpenAiError> {
        let base = self.base_url.trim();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(OpenAiError::Setting {
                setting: "base_url",
                found: self.base_url.clone(),
                expected: "a URL that begins with http:// or https:// and usually ends with /v1",
            });
        }
        // A query, such as Azure's `api-version`, stays behind the path.
        let (path, query) = match base.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (base, String::new()),
        };
        let path = path.trim_end_matches('/');
        let whole = path.strip_suffix("/chat/completions").or_else(|| path.strip_suffix("/completions"));
        let path = whole.unwrap_or(path).trim_end_matches('/');
        Ok(format!("{path}/chat/completions{query}"))
    }

    /// That `extra_body` sets nothing that has an option of its own.
    pub(super) fn check_body(&self) -> Result<(), OpenAiError> {
        match OWN_FIELDS.iter().find(|field| self.extra_body.contains_key(**field)) {
            None => Ok(()),
            Some(field) => Err(OpenAiError::Setting {
                setting: "extra_body",
                found: format!("setting `{field}`"),
                expected: "fields that no option sets (model, messages, temperature, the reply's length), and \
                           neither `stream` nor `n`",
            }),
        }
    }
}

/// Fields of a request that are the client's own.
const OWN_FIELDS: [&str; 7] =
    ["model", "messages", "temperature", "max_tokens", "max_completion_tokens", "stream", "n"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_and_misspelt_ones_are_refused() {
        let read = serde_json::from_str::<OpenAiConfig>;
        let config = read(r#"{"base_url": "http://localhost:1/v1", "model": "m"}"#).unwrap();
        assert_eq!(config, OpenAiConfig::new("http://localhost:1/v1", "m"));
        let error = read(r#"{"base_url": "u", "model": "m", "retry": 3}"#).unwrap_err().to_string();
        assert!(error.contains("`retry`"), "{error}");
    }

    #[test]
    fn a_base_url_is_joined_with_or_without_a_slash_and_needs_a_scheme() {
        for base in [
            "http://localhost:1/v1",
            "http://localhost:1/v1/",
            "http://localhost:1/v1/chat/completions",
            " http://localhost:1/v1/chat/completions/ ",
            "http://localhost:1/v1/completions",
        ] {
            assert_eq!(OpenAiConfig::new(base, "m").url().unwrap(), "http://localhost:1/v1/chat/completions");
        }
        for base in ["http://h/gpt?api-version=1", "http://h/gpt/chat/completions?api-version=1"] {
            let url = OpenAiConfig::new(base, "m").url().unwrap();
            assert_eq!(url, "http://h/gpt/chat/completions?api-version=1");
        }
        let error = OpenAiConfig::new("localhost:1", "m").url().unwrap_err().to_string();
        assert!(error.contains("`base_url` is localhost:1"), "{error}");
    }

    #[test]
    fn fields_that_options_set_are_refused_in_the_body() {
        let mut config = OpenAiConfig::new("http://localhost:1/v1", "m");
        config.extra_body.insert("reasoning_effort".into(), "low".into());
        assert!(config.check_body().is_ok());
        config.extra_body.insert("temperature".into(), 1.into());
        let error = config.check_body().unwrap_err().to_string();
        assert!(error.contains("`extra_body` is setting `temperature`"), "{error}");
    }
}
