//! What of a request can be found wrong before it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use camelid_chat::OptionError;
use tokenizers::Tokenizer;

use super::constraint::{Constrained, Constraint, Constraints};
use super::request::EngineRequest;
use crate::config::LlamaConfig;
use crate::error::ModelError;

/// What an engine and the handles to it know alike.
pub(super) struct Checks {
    config: LlamaConfig,
    tokenizer: Arc<Tokenizer>,
    context: usize,
    /// Positions of the whole cache.
    cached_positions: usize,
    adapters: Mutex<BTreeMap<String, usize>>,
    /// Made when one is first asked for.
    constraints: OnceLock<Constraints>,
}

/// A request that can run.
pub(super) struct Checked {
    pub request: EngineRequest,
    /// Index of the model it goes through.
    pub model: usize,
    pub constrained: Option<Constrained>,
}

impl Checks {
    pub fn new(config: &LlamaConfig, tokenizer: Tokenizer, context: usize, cached_positions: usize) -> Self {
        Self {
            config: config.clone(),
            tokenizer: Arc::new(tokenizer),
            context,
            cached_positions,
            adapters: Mutex::default(),
            constraints: OnceLock::new(),
        }
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    /// Most tokens of a prompt and its answer together.
    pub fn context(&self) -> usize {
        self.context.min(self.cached_positions)
    }

    /// Says that `name` is the model of this index from now on.
    pub fn name_adapter(&self, name: &str, model: usize) {
        self.adapters.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), model);
    }

    /// The names of the adapters.
    pub fn adapters(&self) -> Vec<String> {
        self.adapters.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// A text that is read and not continued.
    pub fn check_text(&self, ids: &[u32]) -> Result<(), ModelError> {
        if ids.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        self.config.check_ids(ids)?;
        if ids.len() > self.context {
            return Err(ModelError::ContextOverflow { prompt: ids.len(), new: 0, context: self.context });
        }
        Ok(())
    }

    pub fn check(&self, request: EngineRequest) -> Result<Checked, ModelError> {
        request.check()?;
        self.config.check_ids(&request.prompt)?;
        if let Some((id, _)) =
            request.logit_bias.iter().find(|(id, _)| *id as usize >= self.config.vocab_size)
        {
            let expected = "ids of the vocabulary";
            return Err(
                OptionError { option: "logit_bias", found: format!("for token {id}"), expected }.into()
            );
        }
        let (prompt, new) = (request.prompt.len(), request.options.max_new_tokens);
        let context = self.context;
        let positions = prompt.saturating_add(new);
        if positions > context {
            return Err(ModelError::ContextOverflow { prompt, new, context });
        }
        if positions > self.cached_positions {
            return Err(ModelError::CacheOverflow { positions, cache: self.cached_positions });
        }
        let model = match &request.adapter {
            None => 0,
            Some(name) => {
                let adapters = self.adapters.lock().unwrap_or_else(PoisonError::into_inner);
                let unknown = || ModelError::UnknownAdapter {
                    name: name.clone(),
                    known: adapters.keys().cloned().collect(),
                };
                *adapters.get(name).ok_or_else(unknown)?
            }
        };
        let constrained = match &request.constraint {
            None => None,
            Some(constraint) => Some(self.start(constraint)?),
        };
        Ok(Checked { request, model, constrained })
    }

    /// A constraint at the start of its text.
    pub fn start(&self, constraint: &Constraint) -> Result<Constrained, ModelError> {
        self.constraints()?.start(constraint)
    }

    fn constraints(&self) -> Result<&Constraints, ModelError> {
        if let Some(known) = self.constraints.get() {
            return Ok(known);
        }
        let made = Constraints::new(&self.tokenizer, &self.config)?;
        Ok(self.constraints.get_or_init(|| made))
    }
}
