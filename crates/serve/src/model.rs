//! The model that is served, with its adapters.

use camelid_chat::Template;
use camelid_model::{Engine, EngineThread, ModelError};

use crate::error::ServeError;
use crate::tokens::TokenTexts;
use crate::wire::{ModelCard, ModelList, unix_seconds};

/// What a [`Server`](crate::Server) serves.
pub struct Served {
    /// The name that requests give.
    pub name: String,
    /// The model with its adapters, by whose names requests ask for them.
    pub engine: Engine,
    /// How it writes conversations.
    pub template: Template,
}

/// A model that answers.
pub(crate) struct ServedModel {
    pub name: String,
    pub adapters: Vec<String>,
    pub engine: EngineThread,
    pub tokens: TokenTexts,
    pub template: Template,
    /// Tokens that prompt and answer may have together.
    pub context: usize,
    pub vocabulary: usize,
    /// The token that begins a text.
    pub begin_id: Option<u32>,
    /// Tokens that end any text, the usual one first.
    pub end_ids: Vec<u32>,
    created: u64,
}

/// Which weights a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The name that the answer carries.
    pub name: String,
    pub adapter: Option<String>,
}

impl ServedModel {
    /// Starts the model.
    ///
    /// # Errors
    /// When the tokenizer lacks a token that the template needs.
    pub fn start(served: Served) -> Result<Self, ModelError> {
        let Served { name, engine, template } = served;
        let config = engine.model().config();
        let (vocabulary, begin_id) = (config.vocab_size, config.bos_token_id);
        let end_ids = config.eos_token_ids.clone();
        let engine = EngineThread::start(engine);
        template.check_prompt(engine.tokenizer())?;
        Ok(Self {
            name,
            adapters: engine.adapters(),
            tokens: TokenTexts::new(engine.tokenizer().clone()),
            template,
            context: engine.context(),
            vocabulary,
            begin_id,
            end_ids,
            created: unix_seconds(),
            engine,
        })
    }

    /// Every name that a request may give.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.adapters.iter().map(String::as_str))
    }

    /// The weights of a name. An empty one, as clients without a choice of models send it, means the
    /// model itself; with `any` every unknown one does.
    ///
    /// # Errors
    /// For a name that no model has.
    pub fn find(&self, name: &str, any: bool) -> Result<Target, ServeError> {
        if name == self.name || name.is_empty() {
            return Ok(Target { name: self.name.clone(), adapter: None });
        }
        if self.adapters.iter().any(|adapter| adapter == name) {
            return Ok(Target { name: name.to_owned(), adapter: Some(name.to_owned()) });
        }
        match any {
            true => Ok(Target { name: self.name.clone(), adapter: None }),
            false => Err(ServeError::UnknownModel {
                model: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// `GET /v1/models`.
    pub fn list(&self) -> ModelList {
        ModelList { object: "list", data: self.names().map(|name| self.card(name)).collect() }
    }

    /// What is said of one model.
    pub fn card(&self, name: &str) -> ModelCard {
        ModelCard {
            id: name.to_owned(),
            object: "model",
            created: self.created,
            owned_by: "camelid",
            root: self.name.clone(),
            max_model_len: Some(self.context),
        }
    }
}
