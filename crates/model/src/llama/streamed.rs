//! A model whose packed weights stay in their file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use camelid_kernels::{MappedFile, Packed4Spec};
use camelid_quant::{PackedParts, QuantLinear};

use super::Llama;
use super::load::{DenseStorage, LoadOptions, Loader, WeightStorage, needed_tensors};
use crate::error::ModelError;
use crate::stream::{BlockStream, Piece};
use crate::weights::{FilePart, PackedPlace, WeightSource};

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
        let load = LoadOptions { linears: WeightStorage::F32, embeddings: options.embeddings };
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

/// The files mapped so far and what of them each block needs.
#[derive(Default)]
pub(super) struct Mapping {
    files: BTreeMap<PathBuf, Arc<MappedFile>>,
    blocks: Vec<Vec<Piece>>,
}

impl Mapping {
    /// A block begins; the layers made from now on are its.
    pub(super) fn begin_block(&mut self) {
        self.blocks.push(Vec::new());
    }

    /// The layer over the packed weight at `place`, `shape` being `[out_features, in_features]`.
    pub(super) fn linear(
        &mut self,
        place: PackedPlace,
        shape: [usize; 2],
        bias: Option<Tensor<1>>,
        device: &Device,
    ) -> Result<QuantLinear, ModelError> {
        let PackedPlace { header, packed, absmax, nested_absmax } = place;
        let spec = Packed4Spec {
            code: header.config.format.code(),
            out_features: shape[0],
            in_features: shape[1],
            block_size: header.config.block_size,
            nested: header.nested,
        };
        let packed = self.data(packed, DType::U8)?;
        let parts = match nested_absmax {
            Some(scales) => {
                let count = scales.len();
                let codes = self.data(absmax, DType::U8)?;
                PackedParts { packed, absmax: TensorData::new(scales, [count]), absmax_codes: Some(codes) }
            }
            None => PackedParts { packed, absmax: self.data(absmax, DType::F32)?, absmax_codes: None },
        };
        Ok(QuantLinear::from_packed_parts(spec, header.source, parts, bias, device))
    }

    /// A part as a tensor's data in the file; in memory where its place does not suit its type.
    fn data(&mut self, part: FilePart, dtype: DType) -> Result<TensorData, ModelError> {
        let file = self.file(&part.file)?;
        if part.range.end > file.len() {
            let problem = format!("was shortened: tensor `{}` ends at byte {}", part.name, part.range.end);
            return Err(ModelError::File { path: part.file, problem });
        }
        match file.tensor_data(part.range.clone(), dtype) {
            Some(data) => {
                let piece = Piece { tensor: part.name, file, range: part.range };
                if let Some(block) = self.blocks.last_mut() {
                    block.push(piece);
                }
                Ok(data)
            }
            None => {
                let bytes = part.read()?;
                let count = bytes.len() / dtype.size();
                Ok(TensorData::from_bytes_vec(bytes, [count], dtype))
            }
        }
    }

    fn file(&mut self, path: &Path) -> Result<Arc<MappedFile>, ModelError> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let file = Arc::new(MappedFile::open(path).map_err(ModelError::io(path))?);
        self.files.insert(path.to_owned(), file.clone());
        Ok(file)
    }
}
