//! What a user names, with defaults, and its opening.

use std::path::{Path, PathBuf};

use super::answers::Answers;
use super::error::JudgeError;
use super::judging::{Judge, Mode, Opponents};
use super::model::{EndpointSettings, Model, ModelPlace, ModelSpec};
use super::prompts::PromptSet;
use super::protocol::Protocol;
use super::questions::QuestionSet;
use super::session::Session;

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

impl Setup {
    /// Every two, or each alone, judged as in MT-bench with our own prompts: a `judge` and `questions`
    /// are all that has no default.
    ///
    /// # Errors
    /// Only if this crate were damaged.
    pub fn new(questions: QuestionSet, judge: ModelSpec) -> Result<Self, JudgeError> {
        Ok(Self {
            questions,
            references: None,
            without_references: false,
            models: Vec::new(),
            answers: Vec::new(),
            judge,
            prompts: PromptSet::own()?,
            protocol: Protocol::mt_bench()?,
            mode: Mode::Single,
            opponents: Opponents::All,
            seed: 0,
            model_endpoints: EndpointSettings::default(),
            judge_endpoint: EndpointSettings::default(),
            spending_limit: None,
        })
    }

    /// Opens everything, models in files on `device`. A judge that is one of the models is opened once.
    ///
    /// # Errors
    /// [`JudgeError`] for what cannot be read or opened, and for a spending limit over an endpoint
    /// without prices.
    #[cfg(feature = "models")]
    pub fn open(self, device: &burn::tensor::Device) -> Result<Session, JudgeError> {
        self.open_with(&|name, path| {
            let generator = camelid_model::LocalGenerator::open(path, None, device)
                .map_err(|error| JudgeError::Model { path: path.to_owned(), message: error.to_string() })?;
            Model::local(name, generator, path)
        })
    }

    /// As [`Setup::open`], with a way of the caller's own to open a model by its name and its files.
    ///
    /// # Errors
    /// As [`Setup::open`].
    pub fn open_with(
        self,
        open_files: &dyn Fn(&str, &Path) -> Result<Model, JudgeError>,
    ) -> Result<Session, JudgeError> {
        self.protocol.check()?;
        let given = self.answers.iter().map(|path| Answers::read(path)).collect::<Result<Vec<_>, _>>()?;
        let references = self.references.as_deref().map(Answers::read).transpose()?;
        let open = |spec: &ModelSpec, endpoint: &EndpointSettings| {
            let asked = matches!(spec.place, ModelPlace::Endpoint { .. });
            if asked && self.spending_limit.is_some() && endpoint.run.prices.is_none() {
                return Err(JudgeError::Setting {
                    name: "spending_limit",
                    found: format!("set, but the prices of {} are not known", spec.name),
                    expected: "prices of every endpoint",
                });
            }
            spec.open(endpoint, open_files)
        };
        let mut models = Vec::new();
        for spec in &self.models {
            models.push(open(spec, &self.model_endpoints)?);
        }
        let same =
            |spec: &&ModelSpec| matches!(spec.place, ModelPlace::Files(_)) && spec.place == self.judge.place;
        let judge = match self.models.iter().position(|spec| same(&spec)) {
            Some(index) => Model { name: self.judge.name.clone(), ..models[index].clone() },
            None => open(&self.judge, &self.judge_endpoint)?,
        };
        Ok(Session {
            judge: Judge {
                model: judge,
                prompts: self.prompts,
                protocol: self.protocol,
                without_references: self.without_references,
            },
            questions: self.questions,
            references,
            seed: self.seed,
            models,
            given,
            mode: self.mode,
            opponents: self.opponents,
            spending_limit: self.spending_limit,
        })
    }
}
