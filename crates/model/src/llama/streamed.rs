//! A model whose packed weights stay in their file.

use std::cell::RefCell;
use std::sync::Arc;

use burn::tensor::Device;

use super::Llama;
use super::load::Loader;
use super::mapping::Mapping;
use super::storage::{DenseStorage, LoadOptions, WeightStorage};
use crate::error::ModelError;
use crate::stream::BlockStream;
use crate::weights::{WeightSource, needed_tensors};

/// How a streamed model is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Most bytes of the blocks' packed weights that may be in memory; at least two blocks.
    pub budget: u64,
    /// Token embedding and head, which do not stream.
    pub embeddings: DenseStorage,
}

impl Llama {
    /// Loads a model whose 4-bit weights stay in their safetensors file (bitsandbytes' format, as
    /// `camelid quantize` writes it) and stream from there block by block, with the very numbers
    /// of [`Llama::load`]. Embedding, norms, head and the scales of the scales are in memory.
    ///
    /// Whoever walks the blocks says so by [`BlockStack::prepare_block`](crate::BlockStack).
    /// The file must stay as it is while the model exists.
    ///
    /// # Errors
    /// As [`Llama::load`]; [`ModelError::Tensor`] when a linear layer is not packed, and
    /// [`ModelError::StreamBudget`] when two blocks do not fit the budget.
    pub fn load_streamed(
        source: &dyn WeightSource,
        options: &StreamOptions,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = source.config()?;
        config.check(&source.describe())?;
        needed_tensors(&config, source)?;
        let load = LoadOptions { linears: WeightStorage::F32, embeddings: options.embeddings.into() };
        let mapping = RefCell::new(Mapping::default());
        let loader = Loader { source, options: &load, device, config: &config, mapping: Some(&mapping) };
        let model = loader.model()?;
        let stream = BlockStream::new(&source.describe(), mapping.into_inner().blocks, options.budget)?;
        Ok(model.streaming(Arc::new(stream)))
    }

    /// The stream its blocks come from; `None` when they are in memory.
    pub fn stream(&self) -> Option<&Arc<BlockStream>> {
        self.stream.as_ref()
    }
}
