//! A model into a directory that transformers and [`open_weights`](crate::open_weights) read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use camelid_files::{WholeFile, remove_whole};
use camelid_lora::{AdapterHost, ForwardContext};
use camelid_quant::{BaseLinear, Format, bnb};
use safetensors::tensor::{Dtype, View};
use serde_json::{Value, json};

use super::Llama;
use crate::error::ModelError;
use crate::weights::SHARD_INDEX;

impl Llama {
    /// Writes `model.safetensors` and `config.json` to `dir` (made if absent)
    /// under Hugging Face's names, 4-bit layers in bitsandbytes' form.
    ///
    /// Each file appears whole or not at all, the configuration last, and that of a
    /// model stored there before goes first: a directory with a `config.json` is
    /// complete, and its files belong together.
    ///
    /// # Errors
    /// When a file cannot be written, the directory holds a sharded model, whose
    /// index readers would follow instead, or the model carries adapters: they
    /// are saved beside the base or merged into it first.
    pub fn save_safetensors(&self, dir: &Path) -> Result<(), ModelError> {
        let weights = dir.join("model.safetensors");
        if self.has_adapter() {
            return Err(ModelError::File {
                path: weights,
                problem: "the model carries an adapter; save that with save_peft, or merge it first".into(),
            });
        }
        let int8 = |linear: &BaseLinear| matches!(linear, BaseLinear::Int8(_));
        let linears = self.linears();
        let mut bases =
            linears.iter().map(|(_, linear)| &linear.base).chain(self.lm_head.iter().map(|h| &h.base));
        if self.embed_tokens.int8_table().is_some() || bases.any(int8) {
            let problem = "the model is held as int8, which is for computing and no format for files; load it as \
                           it is stored, or in another storage, to save it";
            return Err(ModelError::File { path: weights, problem: problem.into() });
        }
        let index = dir.join(SHARD_INDEX);
        if index.exists() {
            let problem = "belongs to a sharded model; a folder holds one model: save into another directory";
            return Err(ModelError::File { path: index, problem: problem.into() });
        }
        std::fs::create_dir_all(dir).map_err(ModelError::io(dir))?;
        let staged_weights = self.stage_weights(&weights)?;

        let mut config = self.config().to_value();
        config["dtype"] = json!(match self.embed_tokens.weight.val().dtype() {
            DType::BF16 => "bfloat16",
            DType::F16 => "float16",
            _ => "float32",
        });
        if let Some(quantization) = self.quantization_config() {
            config["quantization_config"] = quantization;
        }
        let path = dir.join("config.json");
        let mut staged_config = WholeFile::create(&path)?;
        staged_config.write_all(format!("{config:#}\n").as_bytes()).map_err(ModelError::io(&path))?;
        staged_config.sync()?;

        remove_whole(&path)?;
        staged_weights.finish()?;
        Ok(staged_config.finish()?)
    }

    /// The weights, not yet under their name.
    fn stage_weights(&self, path: &Path) -> Result<WholeFile, ModelError> {
        let mut file = WholeFile::create(path)?;
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        // Tensors are read from the device one by one as the writer comes to them.
        safetensors::serialize_to_file(self.stored_tensors(), Some(metadata), file.temporary_path())
            .map_err(|source| ModelError::File {
                path: path.to_path_buf(),
                problem: format!("could not be written: {source}"),
            })?;
        file.sync()?;
        Ok(file)
    }

    fn stored_tensors(&self) -> Vec<(String, Stored)> {
        let mut tensors = vec![
            ("model.embed_tokens.weight".to_string(), Stored::matrix(self.embed_tokens.weight.val())),
            ("model.norm.weight".to_string(), Stored::vector(self.norm.weight.val())),
        ];
        if let Some(head) = &self.lm_head {
            tensors.push((
                "lm_head.weight".to_string(),
                Stored::matrix(head.weight(&ForwardContext::evaluation())),
            ));
        }
        for (i, block) in self.layers.iter().enumerate() {
            for (name, norm) in block.norms() {
                let name = format!("model.layers.{i}.{name}.weight");
                tensors.push((name, Stored::vector(norm.weight.val())));
            }
        }
        for (path, linear) in self.linears() {
            let name = format!("{path}.weight");
            let bias =
                match &linear.base {
                    BaseLinear::Dense(dense) => {
                        tensors.push((name, Stored::matrix(dense.weight.val())));
                        &dense.bias
                    }
                    // Refused before anything was written.
                    BaseLinear::Int8(int8) => &int8.bias,
                    BaseLinear::Quant(quant) => {
                        let parts = bnb::tensors_for(&name, &quant.to_quantized());
                        tensors.extend(parts.into_iter().map(|(name, dtype, shape, bytes)| {
                            (name, Stored::Bytes { dtype, shape, bytes })
                        }));
                        &quant.bias
                    }
                };
            if let Some(bias) = bias {
                tensors.push((format!("{path}.bias"), Stored::vector(bias.val())));
            }
        }
        tensors
    }

    /// What transformers needs to read the 4-bit layers, if there are any.
    fn quantization_config(&self) -> Option<Value> {
        let linears = self.linears();
        let spec = linears.iter().find_map(|(_, l)| match &l.base {
            BaseLinear::Quant(quant) => Some(quant.spec()),
            BaseLinear::Dense(_) | BaseLinear::Int8(_) => None,
        })?;
        // Without their names transformers would pack dense layers as it loads them.
        let dense: Vec<&str> = linears
            .iter()
            .filter(|(_, linear)| matches!(linear.base, BaseLinear::Dense(_)))
            .map(|(path, _)| path.as_str())
            .collect();
        let skipped = match dense.is_empty() {
            true => Value::Null,
            false => ["lm_head"].into_iter().chain(dense).collect(),
        };
        Some(json!({
            "quant_method": "bitsandbytes",
            "load_in_4bit": true,
            "load_in_8bit": false,
            "bnb_4bit_quant_type": Format::from(spec.code),
            "bnb_4bit_use_double_quant": spec.nested.is_some(),
            "bnb_4bit_compute_dtype": "float32",
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_skip_modules": skipped,
        }))
    }
}

/// A tensor on its way to the file.
enum Stored {
    Matrix { tensor: Tensor<2>, shape: [usize; 2] },
    Vector { tensor: Tensor<1>, shape: [usize; 1] },
    Bytes { dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8> },
}

impl Stored {
    fn matrix(tensor: Tensor<2>) -> Self {
        Self::Matrix { shape: tensor.dims(), tensor }
    }

    fn vector(tensor: Tensor<1>) -> Self {
        Self::Vector { shape: tensor.dims(), tensor }
    }

    fn elements(&self) -> usize {
        self.shape().iter().product()
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        let dtype = match self {
            Self::Matrix { tensor, .. } => tensor.dtype(),
            Self::Vector { tensor, .. } => tensor.dtype(),
            Self::Bytes { dtype, .. } => return *dtype,
        };
        match dtype {
            DType::BF16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Matrix { shape, .. } => shape,
            Self::Vector { shape, .. } => shape,
            Self::Bytes { shape, .. } => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            // Burn's own bytes are little-endian on every machine it runs on.
            Self::Matrix { tensor, .. } => Cow::Owned(tensor.to_data().as_bytes().to_vec()),
            Self::Vector { tensor, .. } => Cow::Owned(tensor.to_data().as_bytes().to_vec()),
            Self::Bytes { bytes, .. } => Cow::Borrowed(bytes),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Bytes { bytes, .. } => bytes.len(),
            dense => dense.elements() * dense.dtype().bitsize() / 8,
        }
    }
}
