//! From what a user names to a session.

use std::path::{Path, PathBuf};

use camelid_chat::openai::OpenAiConfig;

use super::answers::Answers;
use super::error::JudgeError;
use super::judging::{Judge, Mode, Opponents};
use super::prompts::PromptSet;
use super::protocol::Protocol;
use super::questions::QuestionSet;
use super::respondent::{ModelPlace, ModelSpec, Respondent};
use super::session::Session;
use camelid_chat::requests::RunSettings;

/// What a user names.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The questions.
    pub questions: QuestionSet,
    /// A file of right answers, besides those that questions have of their own.
    pub references: Option<PathBuf>,
    /// Judge every category without them.
    pub without_references: bool,
    /// Models to be asked.
    pub models: Vec<ModelSpec>,
    /// Files of answers that are there already.
    pub answers: Vec<PathBuf>,
    /// The judge.
    pub judge: ModelSpec,
    /// Its prompts.
    pub prompts: PromptSet,
    /// How answers and judgments are sampled.
    pub protocol: Protocol,
    /// What the judge is asked for.
    pub mode: Mode,
    /// Which models are compared.
    pub opponents: Opponents,
    /// Seed of the answers' sampling.
    pub seed: u64,
    /// Endpoints of the models to be asked.
    pub model_endpoints: EndpointSettings,
    /// Endpoint of the judge.
    pub judge_endpoint: EndpointSettings,
    /// Most that the run may spend on all endpoints together.
    pub spending_limit: Option<f64>,
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
}

impl Setup {
    /// Opens everything; `open_local` opens a model by its name and its files. A judge that is one
    /// of the models is opened once.
    ///
    /// # Errors
    /// [`JudgeError`] for what cannot be read or opened, and for a spending limit over an endpoint
    /// without prices.
    pub fn open(
        self,
        open_local: &dyn Fn(&str, &Path) -> Result<Respondent, JudgeError>,
    ) -> Result<Session, JudgeError> {
        self.protocol.check()?;
        let given = self.answers.iter().map(|path| Answers::read(path)).collect::<Result<Vec<_>, _>>()?;
        let references = self.references.as_deref().map(Answers::read).transpose()?;
        let open = |spec: &ModelSpec, endpoint: &EndpointSettings| match &spec.place {
            ModelPlace::Files(path) => open_local(&spec.name, path),
            ModelPlace::Endpoint { base_url, model } => {
                if self.spending_limit.is_some() && endpoint.run.prices.is_none() {
                    return Err(JudgeError::Setting {
                        name: "spending_limit",
                        found: format!("set, but the prices of {} are not known", spec.name),
                        expected: "prices of every endpoint",
                    });
                }
                let mut config = OpenAiConfig::new(base_url, model);
                config.api_key_env.clone_from(&endpoint.api_key_env);
                config.retries = endpoint.retries.unwrap_or(config.retries);
                Ok(Respondent::endpoint(&spec.name, config, endpoint.run.clone())?)
            }
        };
        let mut respondents = Vec::new();
        for spec in &self.models {
            respondents.push(open(spec, &self.model_endpoints)?);
        }
        let same =
            |spec: &&ModelSpec| matches!(spec.place, ModelPlace::Files(_)) && spec.place == self.judge.place;
        let judge_respondent = match self.models.iter().position(|spec| same(&spec)) {
            Some(index) => Respondent::clone(&respondents[index]),
            None => open(&self.judge, &self.judge_endpoint)?,
        };
        Ok(Session {
            judge: Judge {
                name: self.judge.name.clone(),
                model: judge_respondent.contestant.model.clone(),
                prompts: self.prompts,
                protocol: self.protocol,
                without_references: self.without_references,
            },
            questions: self.questions,
            references,
            seed: self.seed,
            respondents,
            given,
            judge_respondent,
            mode: self.mode,
            opponents: self.opponents,
            spending_limit: self.spending_limit,
        })
    }
}
