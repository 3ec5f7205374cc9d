//! Weights into a model, one tensor at a time.

use std::cell::RefCell;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use camelid_kernels::{ComputeType, device_label};
use camelid_lora::{Embedding, LoraLinear};
use camelid_quant::{
    BaseLinear, DenseLinear, Int8Linear, Int8Matrix, PIECE_VALUES, QuantLinear, QuantizedTensor,
};
use half::{bf16, f16};

use super::mapping::Mapping;
use super::storage::{DenseStorage, LoadOptions, TableStorage, WeightStorage};
use super::{Attention, Block, Llama, Mlp, RmsNorm};
use crate::config::{LinearShape, LlamaConfig};
use crate::error::ModelError;
use crate::rope::Rope;
use crate::weights::{LoadedTensor, WeightSource, needed_tensors};

impl Llama {
    /// Loads a model, holding at most one dense tensor beyond what it keeps:
    /// each tensor is read, packed if `storage` says so, and dropped.
    ///
    /// Weights that are stored packed (bitsandbytes 4-bit) stay as they are,
    /// whatever `storage` says. `device` decides whether gradients can be
    /// tracked (`Device::flex().autodiff()`). Under [`WeightStorage::Int8`] packed weights keep their
    /// codes, and so do GGUF's Q8_0, Q4_0, Q4_1 and IQ4_NL; all others are rounded to 8 bits.
    ///
    /// # Errors
    /// When `storage` is not for `device`; when a tensor is missing, of the wrong shape, or holds a value that is not finite; the
    /// message names it. Tensors that the configuration has no place for are left out:
    /// [`load_notes`](crate::load_notes) names them.
    pub fn load(
        source: &dyn WeightSource,
        storage: &WeightStorage,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::load_with(source, &LoadOptions::new(*storage), device)
    }

    /// As [`Llama::load`], with every choice open.
    ///
    /// # Errors
    /// As [`Llama::load`].
    pub fn load_with(
        source: &dyn WeightSource,
        options: &LoadOptions,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = source.config()?;
        config.check(&source.describe())?;
        needed_tensors(&config, source)?;
        let int8 = options.linears == WeightStorage::Int8 || options.embeddings == TableStorage::Int8;
        if int8 && *device != Device::flex() {
            return Err(ModelError::Unsupported {
                origin: "the device".into(),
                setting: "device".into(),
                found: device_label(device),
                supported: "flex, the CPU, for weights held as int8".into(),
            });
        }
        Loader { source, options, device, config: &config, mapping: None }.model()
    }
}

pub(super) struct Loader<'a> {
    pub source: &'a dyn WeightSource,
    pub options: &'a LoadOptions,
    pub device: &'a Device,
    pub config: &'a LlamaConfig,
    /// Where packed weights stay in their files.
    pub mapping: Option<&'a RefCell<Mapping>>,
}

impl Loader<'_> {
    pub(super) fn model(&self) -> Result<Llama, ModelError> {
        let embed_tokens = match self.table("model.embed_tokens.weight")? {
            Table::Dense(weight) => Embedding::new(weight),
            Table::Int8(table) => Embedding::int8(table),
        };
        let mut layers = Vec::with_capacity(self.config.num_hidden_layers);
        for i in 0..self.config.num_hidden_layers {
            if let Some(mapping) = self.mapping {
                mapping.borrow_mut().begin_block();
            }
            layers.push(self.block(i)?);
        }
        let norm = self.norm("model.norm.weight")?;
        let lm_head = match self.config.tie_word_embeddings {
            true => None,
            false => Some(match self.table("lm_head.weight")? {
                Table::Dense(weight) => head(weight),
                Table::Int8(table) => LoraLinear::new(BaseLinear::Int8(table)),
            }),
        };
        Ok(Llama::from_parts(self.config.clone(), embed_tokens, layers, norm, lm_head))
    }

    fn block(&self, i: usize) -> Result<Block, ModelError> {
        Ok(Block {
            input_layernorm: self.norm(&format!("model.layers.{i}.input_layernorm.weight"))?,
            self_attn: Attention::new(self.config, i, |shape| self.linear(&shape))?,
            post_attention_layernorm: self
                .norm(&format!("model.layers.{i}.post_attention_layernorm.weight"))?,
            mlp: Mlp::new(self.config, i, |shape| self.linear(&shape))?,
        })
    }

    fn linear(&self, shape: &LinearShape) -> Result<LoraLinear, ModelError> {
        let name = format!("{}.weight", shape.path);
        let expected = [shape.out_features, shape.in_features];
        let bias = if shape.bias {
            let values = self.dense(&format!("{}.bias", shape.path), &[shape.out_features])?;
            Some(Tensor::from_data(TensorData::new(values, [shape.out_features]), self.device))
        } else {
            None
        };
        let base = match self.in_place(&name, expected, bias.clone())? {
            Some(linear) => BaseLinear::Quant(linear),
            None => self.in_memory(&name, expected, bias)?,
        };
        Ok(LoraLinear::new(base))
    }

    /// A layer over the file itself, for a model that streams.
    fn in_place(
        &self,
        name: &str,
        expected: [usize; 2],
        bias: Option<Tensor<1>>,
    ) -> Result<Option<QuantLinear>, ModelError> {
        let Some(mapping) = self.mapping else { return Ok(None) };
        let place = self.source.locate_packed(name)?.ok_or_else(|| ModelError::Tensor {
            origin: self.source.describe(),
            name: name.to_string(),
            problem: "is not packed to 4 bits in a safetensors file; only such weights can stream \
                      (`camelid quantize` packs a model)"
                .into(),
        })?;
        self.check_shape(name, &place.header.shape, &expected)?;
        mapping.borrow_mut().linear(place, expected, bias, self.device).map(Some)
    }

    fn in_memory(
        &self,
        name: &str,
        expected: [usize; 2],
        bias: Option<Tensor<1>>,
    ) -> Result<BaseLinear, ModelError> {
        if self.options.linears == WeightStorage::Int8 {
            let matrix = self.int8(name, expected)?;
            return Ok(BaseLinear::Int8(Int8Linear::new(matrix, bias, self.device)?));
        }
        if let (WeightStorage::Quantized(config), Some(shape)) =
            (&self.options.linears, self.source.shape_in_pieces(name))
        {
            self.check_shape(name, &shape, &expected)?;
            let packed = QuantizedTensor::quantize_pieces(name, &expected, config, |first, piece| {
                self.source.read_piece(name, first, piece)
            })
            .map_err(|error| match error {
                ModelError::Quant(cause) => ModelError::Packing { origin: self.source.describe(), cause },
                other => other,
            })?;
            return Ok(BaseLinear::Quant(QuantLinear::from_quantized(packed, bias, self.device)?));
        }
        Ok(match (self.source.read(name)?, &self.options.linears) {
            (LoadedTensor::Quantized(packed), _) => {
                self.check_shape(name, packed.shape(), &expected)?;
                BaseLinear::Quant(QuantLinear::from_quantized(packed, bias, self.device)?)
            }
            (LoadedTensor::Dense { shape, values, .. }, WeightStorage::Quantized(config)) => {
                self.check_shape(name, &shape, &expected)?;
                let packed = QuantizedTensor::quantize(name, &values, &expected, config)
                    .map_err(|cause| ModelError::Packing { origin: self.source.describe(), cause })?;
                // The dense values go before the packed ones are copied to the device.
                drop(values);
                BaseLinear::Quant(QuantLinear::from_quantized(packed, bias, self.device)?)
            }
            (LoadedTensor::Dense { shape, values, .. }, storage) => {
                self.check_shape(name, &shape, &expected)?;
                self.check_finite(name, &values)?;
                let weight = matrix(values, expected, storage.dense(), self.device);
                BaseLinear::Dense(DenseLinear::from_params(weight, bias.map(Param::from_tensor)))
            }
        })
    }

    /// A matrix in blocks of integers: the file's own where they fit, else its values rounded.
    fn int8(&self, name: &str, expected: [usize; 2]) -> Result<Int8Matrix, ModelError> {
        let packing = |cause| ModelError::Packing { origin: self.source.describe(), cause };
        if let Some(matrix) = self.source.read_int8(name)? {
            let spec = matrix.spec();
            self.check_shape(name, &[spec.out_features, spec.in_features], &expected)?;
            return Ok(matrix);
        }
        match self.source.read(name)? {
            LoadedTensor::Quantized(packed) => {
                self.check_shape(name, packed.shape(), &expected)?;
                Int8Matrix::from_quantized(name, &packed).map_err(packing)
            }
            LoadedTensor::Dense { shape, values, .. } => {
                self.check_shape(name, &shape, &expected)?;
                Int8Matrix::quantize(name, &values, expected).map_err(packing)
            }
        }
    }

    fn table(&self, name: &str) -> Result<Table, ModelError> {
        let shape = [self.config.vocab_size, self.config.hidden_size];
        let dense = match self.options.embeddings {
            TableStorage::Int8 => {
                let table = Int8Linear::new(self.int8(name, shape)?, None, self.device)?;
                return Ok(Table::Int8(table));
            }
            TableStorage::Dense(dense) => dense,
        };
        Ok(Table::Dense(match dense {
            DenseStorage::F32 => matrix(self.widened(name, &shape)?, shape, DenseStorage::F32, self.device),
            DenseStorage::Bf16 => {
                half_matrix(TensorData::new(self.halves(name, &shape, bf16::from_f32)?, shape), self.device)
            }
            DenseStorage::F16 => {
                half_matrix(TensorData::new(self.halves(name, &shape, f16::from_f32)?, shape), self.device)
            }
        }))
    }

    /// The values of a dense tensor, rounded as they come where they come in pieces.
    fn halves<T>(&self, name: &str, expected: &[usize], round: fn(f32) -> T) -> Result<Vec<T>, ModelError> {
        let Some(shape) = self.source.shape_in_pieces(name) else {
            return Ok(self.widened(name, expected)?.into_iter().map(round).collect());
        };
        self.check_shape(name, &shape, expected)?;
        let len = shape.iter().product();
        let mut halves = Vec::with_capacity(len);
        let mut piece = vec![0.0; PIECE_VALUES.min(len)];
        while halves.len() < len {
            let piece = &mut piece[..PIECE_VALUES.min(len - halves.len())];
            self.source.read_piece(name, halves.len(), piece)?;
            self.check_finite_from(name, halves.len(), piece)?;
            halves.extend(piece.iter().map(|value| round(*value)));
        }
        Ok(halves)
    }

    fn norm(&self, name: &str) -> Result<RmsNorm, ModelError> {
        let size = self.config.hidden_size;
        let values = self.dense(name, &[size])?;
        let weight = Tensor::from_data(TensorData::new(values, [size]), self.device);
        Ok(RmsNorm::new(weight, self.config.rms_norm_eps))
    }

    /// The values of an embedding or head, which are held dense even where they are packed in the
    /// file (`llm_int8_skip_modules` without `lm_head`).
    fn widened(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        match self.source.read(name)? {
            LoadedTensor::Quantized(packed) => {
                self.check_shape(name, packed.shape(), expected)?;
                let values = packed.dequantize();
                self.check_finite(name, &values)?;
                Ok(values)
            }
            LoadedTensor::Dense { shape, values, .. } => self.checked(name, shape, values, expected),
        }
    }

    /// The values of a tensor that must be dense and of this shape.
    fn dense(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        match self.source.read(name)? {
            LoadedTensor::Dense { shape, values, .. } => self.checked(name, shape, values, expected),
            LoadedTensor::Quantized(_) => Err(ModelError::Tensor {
                origin: self.source.describe(),
                name: name.to_string(),
                problem: "is packed to 4 bits; only linear layers, embedding and head may be".into(),
            }),
        }
    }

    fn checked(
        &self,
        name: &str,
        shape: Vec<usize>,
        values: Vec<f32>,
        expected: &[usize],
    ) -> Result<Vec<f32>, ModelError> {
        self.check_shape(name, &shape, expected)?;
        self.check_finite(name, &values)?;
        Ok(values)
    }

    fn check_finite(&self, name: &str, values: &[f32]) -> Result<(), ModelError> {
        self.check_finite_from(name, 0, values)
    }

    /// As [`Self::check_finite`], for the values from flat index `first` on.
    fn check_finite_from(&self, name: &str, first: usize, values: &[f32]) -> Result<(), ModelError> {
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(i) => Err(ModelError::Tensor {
                origin: self.source.describe(),
                name: name.to_string(),
                problem: format!("holds {} at index {}; expected finite values", values[i], first + i),
            }),
        }
    }

    fn check_shape(&self, name: &str, found: &[usize], expected: &[usize]) -> Result<(), ModelError> {
        if found == expected {
            return Ok(());
        }
        Err(ModelError::Shape {
            origin: self.source.describe(),
            name: name.to_string(),
            expected: expected.to_vec(),
            found: found.to_vec(),
        })
    }
}

/// The weight of an embedding or head.
enum Table {
    Dense(Param<Tensor<2>>),
    Int8(Int8Linear),
}

/// The head over its weight, `[vocab_size, hidden_size]`.
pub(super) fn head(weight: Param<Tensor<2>>) -> LoraLinear {
    LoraLinear::new(BaseLinear::Dense(DenseLinear::from_params(weight, None)))
}

/// A parameter of the given storage; halves are frozen, since an optimizer
/// updates `f32` only.
pub(super) fn matrix(
    values: Vec<f32>,
    shape: [usize; 2],
    storage: DenseStorage,
    device: &Device,
) -> Param<Tensor<2>> {
    match storage {
        DenseStorage::F32 => Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device)),
        DenseStorage::Bf16 => {
            let halves: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
            half_matrix(TensorData::new(halves, shape), device)
        }
        DenseStorage::F16 => {
            let halves: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            half_matrix(TensorData::new(halves, shape), device)
        }
    }
}

fn half_matrix(data: TensorData, device: &Device) -> Param<Tensor<2>> {
    let dtype = data.dtype();
    Param::from_tensor(Tensor::from_data(data, (device, dtype))).set_require_grad(false)
}

impl Llama {
    pub(super) fn from_parts(
        config: LlamaConfig,
        embed_tokens: Embedding,
        layers: Vec<Block>,
        norm: RmsNorm,
        lm_head: Option<LoraLinear>,
    ) -> Self {
        let rope = Rope::new(&config);
        let compute_type = ComputeType::F32;
        let config = config.into();
        Self { embed_tokens, layers, norm, lm_head, config, rope, compute_type, stream: None }
    }
}
