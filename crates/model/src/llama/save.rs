//! A model into a directory that transformers and [`open_weights`](crate::open_weights) read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use burn::tensor::{DType, Tensor};
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
        let index = dir.join(SHARD_INDEX);
        if index.exists() {
            let problem = "belongs to a sharded model; a folder holds one model: save into another directory";
            return Err(ModelError::File { path: index, problem: problem.into() });
        }
        std::fs::create_dir_all(dir).map_err(ModelError::io(dir))?;
        let staged_weights = self.stage_weights(dir, &weights)?;

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
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(ModelError::io(&path))?;
        file.write_all(format!("{config:#}\n").as_bytes()).map_err(ModelError::io(&path))?;
        finish(&file, &path)?;

        remove(&path)?;
        persist(staged_weights, &weights)?;
        persist(file, &path)
    }

    /// The weights in a temporary file, flushed.
    fn stage_weights(&self, dir: &Path, path: &Path) -> Result<tempfile::NamedTempFile, ModelError> {
        let file = tempfile::NamedTempFile::new_in(dir).map_err(ModelError::io(path))?;
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        // Tensors are read from the device one by one as the writer comes to them.
        safetensors::serialize_to_file(self.stored_tensors(), Some(metadata), file.path()).map_err(
            |source| ModelError::File {
                path: path.to_path_buf(),
                problem: format!("could not be written: {source}"),
            },
        )?;
        finish(&file, path)?;
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
        let spec = self.linears().into_iter().find_map(|(_, l)| match &l.base {
            BaseLinear::Quant(quant) => Some(quant.spec()),
            BaseLinear::Dense(_) => None,
        })?;
        Some(json!({
            "quant_method": "bitsandbytes",
            "load_in_4bit": true,
            "load_in_8bit": false,
            "bnb_4bit_quant_type": Format::from(spec.code),
            "bnb_4bit_use_double_quant": spec.nested.is_some(),
            "bnb_4bit_compute_dtype": "float32",
            "bnb_4bit_quant_storage": "uint8",
        }))
    }
}

/// Flushes a temporary file that is to become `path`.
fn finish(file: &tempfile::NamedTempFile, path: &Path) -> Result<(), ModelError> {
    make_readable(file.as_file()).map_err(ModelError::io(path))?;
    file.as_file().sync_all().map_err(ModelError::io(path))
}

/// Gives a finished temporary file its name.
fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), ModelError> {
    file.persist(path).map_err(|e| ModelError::io(path)(e.error))?;
    sync_folder(path)
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), ModelError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(ModelError::io(path)(e)),
        _ => sync_folder(path),
    }
}

/// A rename or removal is durable once its directory is.
fn sync_folder(path: &Path) -> Result<(), ModelError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(ModelError::io(dir))
}

/// Temporary files are private by default; saved weights are ordinary files.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> std::io::Result<()> {
    Ok(())
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
