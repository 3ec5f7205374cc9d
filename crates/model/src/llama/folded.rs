//! A loaded model's weights with its adapters folded in, for whoever writes them elsewhere.

use std::sync::Arc;

use camelid_lora::{AdapterHost, ModuleRef, fold};

use super::Llama;
use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::expected::expected_tensors;
use crate::weights::{LoadedTensor, StoredType, WeightSource};

/// The weights of a model, dense and with its adapters folded in. Each tensor is computed when it is
/// read and not kept: beside the model itself, one layer at a time is held densely.
#[derive(Clone, Debug)]
pub struct FoldedWeights {
    model: Arc<Llama>,
    origin: String,
}

impl FoldedWeights {
    /// Of `model`; `origin` names it in messages.
    pub fn new(model: Llama, origin: String) -> Self {
        Self { model: Arc::new(model), origin }
    }

    fn problem(&self, name: &str, problem: String) -> ModelError {
        ModelError::Tensor { origin: self.origin.clone(), name: name.into(), problem }
    }
}

impl WeightSource for FoldedWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(LlamaConfig { stored_4bit: false, ..self.model.config().clone() })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            expected_tensors(self.model.config()).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let (path, part) = name.rsplit_once('.').unwrap_or((name, ""));
        let linears = self.model.linears().into_iter().map(|(own, linear)| (own, ModuleRef::Linear(linear)));
        let found = linears.chain(self.model.others()).find(|(own, _)| own == path);
        let Some((_, module)) = found else {
            return Err(self.problem(name, "is not among the weights".into()));
        };
        let folded = fold(path, module).map_err(|error| self.problem(name, error.to_string()))?;
        let (shape, values) = match (part, folded.bias) {
            ("weight", _) => (folded.shape, folded.weight),
            ("bias", Some(bias)) => (vec![bias.len()], bias),
            _ => return Err(self.problem(name, "is not among the weights".into())),
        };
        Ok(LoadedTensor::Dense { shape, values, stored: StoredType::F32 })
    }

    fn describe(&self) -> String {
        self.origin.clone()
    }
}
