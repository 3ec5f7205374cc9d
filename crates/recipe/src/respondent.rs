//! A model that an evolution asks, as settings name it and as it is opened.

use burn::tensor::Device;
use camelid_chat::GenerateOptions;
use camelid_chat::openai::{LengthField, OpenAiConfig};
use camelid_chat::requests::{Prices, RunSettings};
use camelid_eval::judge::{JudgeError, Model as Opened, ModelPlace, ModelSpec};
use camelid_evolve::Model;
use camelid_model::LocalGenerator;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::RecipeError;

/// Temperature of a judge.
const JUDGING: f32 = 0.0;

/// A model and how it is asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Respondent {
    /// `[NAME=]PATH` of a model's files, or `[NAME=]URL#MODEL` at an OpenAI-compatible endpoint.
    pub model: String,
    /// Environment variable with the endpoint's API key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// 1 for the evolver and the answerer, 0 for the judge, unless given.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// 0.9, as in the paper, unless given.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// Most tokens of a reply: 2,048 unless given.
    #[serde(default)]
    pub max_new_tokens: Option<usize>,
    /// Prices per million tokens.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Requests under way at a time: 4 unless given.
    #[serde(default)]
    pub concurrency: Option<usize>,
    /// Most requests a minute.
    #[serde(default)]
    pub requests_per_minute: Option<f64>,
    /// Milliseconds that an endpoint has for a whole reply: 600,000 unless given.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Further attempts at a request that failed in passing: 5 unless given.
    #[serde(default)]
    pub retries: Option<u32>,
    /// Milliseconds before the second attempt, which double with each: 1,000 unless given.
    #[serde(default)]
    pub first_wait_ms: Option<u64>,
    /// The field of an endpoint that bounds the reply's length.
    #[serde(default)]
    pub length_field: LengthField,
    /// Further fields of every request to an endpoint.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
}

impl Respondent {
    /// How it generates, at a temperature unless it has its own.
    pub fn options(&self, temperature: f32) -> GenerateOptions {
        GenerateOptions {
            temperature: self.temperature.unwrap_or(temperature),
            top_p: self.top_p.unwrap_or(0.9),
            max_new_tokens: self.max_new_tokens.unwrap_or(2048),
            ..GenerateOptions::default()
        }
    }

    /// What its replies depend on, at a temperature unless it has its own.
    pub fn made_with(&self, temperature: f32) -> Value {
        json!({"model": self.model, "options": self.options(temperature), "extra_body": self.extra_body})
    }

    /// What the replies of a judge depend on.
    pub fn judging_with(&self) -> Value {
        self.made_with(JUDGING)
    }

    /// How fast an endpoint is asked.
    fn requests(&self) -> RunSettings {
        let default = RunSettings::default();
        RunSettings {
            concurrency: self.concurrency.unwrap_or(default.concurrency),
            requests_per_minute: self.requests_per_minute,
            prices: self.prices,
            spending_limit: None,
        }
    }

    fn endpoint(&self, base_url: &str, model: &str) -> OpenAiConfig {
        let config = OpenAiConfig::new(base_url, model);
        OpenAiConfig {
            api_key_env: self.api_key_env.clone(),
            length_field: self.length_field,
            extra_body: self.extra_body.clone(),
            timeout_ms: self.timeout_ms.unwrap_or(config.timeout_ms),
            retries: self.retries.unwrap_or(config.retries),
            first_wait_ms: self.first_wait_ms.unwrap_or(config.first_wait_ms),
            ..config
        }
    }
}

/// A model that was opened, with the settings by which it is asked.
pub struct OpenRespondent {
    opened: Opened,
    respondent: Respondent,
}

impl OpenRespondent {
    /// Reads a model's files, saying what of them is not taken as it stands, or prepares to ask an endpoint.
    ///
    /// # Errors
    /// A model that is spelt wrong, files that cannot be read, an endpoint that cannot be asked.
    pub fn open(respondent: &Respondent, device: &Device) -> Result<Self, RecipeError> {
        let wrong = |reason| RecipeError::Override { setting: "model".to_owned(), reason };
        let spec: ModelSpec = respondent.model.parse().map_err(wrong)?;
        let opened = match &spec.place {
            ModelPlace::Files(path) => {
                let generator = LocalGenerator::open(path, None, device)?;
                generator.notes().iter().for_each(|note| camelid_files::say!("warning: {note}"));
                Opened::local(&spec.name, generator, path)?
            }
            ModelPlace::Endpoint { base_url, model } => {
                Opened::endpoint(&spec.name, respondent.endpoint(base_url, model), respondent.requests())
                    .map_err(JudgeError::from)?
            }
        };
        Ok(Self { opened, respondent: respondent.clone() })
    }

    /// The model, at a temperature unless it has its own.
    pub fn model(&self, temperature: f32) -> Model<'_> {
        Model {
            generator: self.opened.generator.as_ref(),
            name: self.opened.request_name.clone(),
            options: self.respondent.options(temperature),
            settings: self.opened.settings.clone(),
        }
    }

    /// The model as a judge, at temperature 0 unless its settings have another.
    pub fn judge(&self) -> Model<'_> {
        self.model(JUDGING)
    }

    /// The model as a judge of what it made itself, whatever its temperature then.
    pub fn judging(&self) -> Model<'_> {
        let model = self.model(JUDGING);
        Model { options: GenerateOptions { temperature: JUDGING, ..model.options }, ..model }
    }
}
