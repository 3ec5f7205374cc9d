//! `adapter_model.safetensors`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use crate::error::LoraError;
use crate::linear::LoraAdapter;

/// PEFT prefixes the base model's module paths with the wrappers' attribute names.
const PREFIX: &str = "base_model.model.";

fn name_a(path: &str) -> String {
    format!("{PREFIX}{path}.lora_A.weight")
}

fn name_b(path: &str) -> String {
    format!("{PREFIX}{path}.lora_B.weight")
}

/// The tensors of an adapter file, handed out layer by layer.
pub(super) struct Factors {
    file: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

pub(super) fn read(path: &Path) -> Result<Factors, LoraError> {
    let bytes = std::fs::read(path).map_err(|source| LoraError::Io { path: path.to_path_buf(), source })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|source| LoraError::Safetensors { path: path.to_path_buf(), source })?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if name.ends_with("lora_magnitude_vector") {
            return Err(tensor_error(path, name, "belongs to DoRA, which is not supported"));
        }
        let values = floats(&view).ok_or_else(|| {
            tensor_error(path, name, &format!("has type {:?}; expected F32, F16 or BF16", view.dtype()))
        })?;
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(tensor_error(path, name, &format!("is not finite at index {i}")));
        }
        tensors.insert(name.to_string(), (view.shape().to_vec(), values));
    }
    Ok(Factors { file: path.to_path_buf(), tensors })
}

fn tensor_error(path: &Path, name: &str, problem: &str) -> LoraError {
    LoraError::Tensor { path: path.to_path_buf(), name: name.to_string(), problem: problem.to_string() }
}

fn floats(view: &TensorView) -> Option<Vec<f32>> {
    let data = view.data();
    let pairs = || data.as_chunks::<2>().0.iter();
    match view.dtype() {
        Dtype::F32 => {
            let words = data.as_chunks::<4>().0;
            Some(words.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        Dtype::F16 => Some(pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}

impl Factors {
    /// `A` `[r, inputs]` and `B` `[outputs, r]` of the layer at `path`.
    pub(super) fn take(
        &mut self,
        path: &str,
        r: usize,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<(Tensor<2>, Tensor<2>), LoraError> {
        Ok((
            self.take_one(&name_a(path), [r, inputs], device)?,
            self.take_one(&name_b(path), [outputs, r], device)?,
        ))
    }

    fn take_one(
        &mut self,
        name: &str,
        expected: [usize; 2],
        device: &Device,
    ) -> Result<Tensor<2>, LoraError> {
        let Some((shape, values)) = self.tensors.remove(name) else {
            let problem = format!("is missing; expected with shape {expected:?}");
            return Err(tensor_error(&self.file, name, &problem));
        };
        if shape != expected {
            let problem = format!("has shape {shape:?}, expected {expected:?}");
            return Err(tensor_error(&self.file, name, &problem));
        }
        Ok(Tensor::from_data(TensorData::new(values, expected), device))
    }

    /// Every tensor must have found its layer.
    pub(super) fn expect_empty(&self) -> Result<(), LoraError> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(tensor_error(
                &self.file,
                name,
                "has no place: the model has no such layer, or target_modules leaves it out",
            )),
        }
    }
}

pub(super) fn write(path: &Path, adapters: &BTreeMap<String, &LoraAdapter>) -> Result<Vec<u8>, LoraError> {
    let mut tensors = Vec::with_capacity(2 * adapters.len());
    for (layer, adapter) in adapters {
        tensors.push((name_a(layer), Stored::of(adapter.lora_a.val())));
        tensors.push((name_b(layer), Stored::of(adapter.lora_b.val())));
    }
    // transformers refuses a file without this entry.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize(tensors, Some(metadata))
        .map_err(|source| LoraError::Safetensors { path: path.to_path_buf(), source })
}

/// A tensor as it lies in the file: little-endian `f32`.
struct Stored {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn of(tensor: Tensor<2>) -> Self {
        let data = tensor.cast(DType::F32).into_data();
        Self { shape: data.shape().to_vec(), bytes: data.iter::<f32>().flat_map(f32::to_le_bytes).collect() }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
