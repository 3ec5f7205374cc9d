//! A model into a GGUF file that llama.cpp reads: weights, configuration and tokenizer.
//!
//! Names, keys and the order of rows are those of llama.cpp's converter (`convert_hf_to_gguf.py`,
//! architecture `llama`). Norms, biases and rotary divisors stay in `f32`, as there; the embedding and
//! the head of a Q4_0 file are Q8_0, since errors in them reach every token.

mod metadata;
mod proof;
mod vocabulary;

use std::fmt;
use std::path::Path;

use crate::error::ModelError;
use crate::expected::expected_tensors;
use crate::gguf::{GgufWriter, PlannedTensor, TensorType};
use crate::rope::divisors;
use crate::tokenizer::TokenizerFile;
use crate::weights::{LoadedTensor, WeightSource, gguf_name, permute_rows};

use metadata::{ROPE_FACTORS, metadata};

/// What the linear layers of a GGUF file are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// 8.5 bits a weight.
    Q8_0,
    /// 4.5 bits a weight; embedding and head in Q8_0.
    Q4_0,
}

impl ExportType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0];

    /// The name, in the small letters of llama.cpp's options.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// llama.cpp's number of the whole file's type (`enum llama_ftype`).
    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
        }
    }

    /// The type of the tensor of this Hugging Face name.
    fn of_tensor(self, name: &str, shape: &[usize]) -> TensorType {
        let wanted = match self {
            _ if shape.len() < 2 => TensorType::F32,
            Self::F32 => TensorType::F32,
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 if name == "model.embed_tokens.weight" || name == "lm_head.weight" => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
        };
        let whole = shape.last().is_some_and(|row| row.is_multiple_of(wanted.block_len()));
        if whole { wanted } else { TensorType::F16 }
    }
}

impl fmt::Display for ExportType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Parameters written.
    pub parameters: usize,
    /// Size of the file.
    pub bytes: u64,
    /// How many tensors there are of each type.
    pub tensors: Vec<(TensorType, usize)>,
    /// What was decided or left out on the way, a line each.
    pub notes: Vec<String>,
}

/// Writes the GGUF file `path`, whole or not at all. Tensors are read, stored and dropped one after the
/// other. Before the file has its name it is read back: configuration and tensor table must be the
/// model's, and the tokenizer must give the same ids for texts of many kinds.
///
/// ```no_run
/// use camelid_model::{ExportType, TokenizerFile, export_gguf, open_weights};
///
/// let folder = "SmolLM2-135M-Instruct".as_ref();
/// let (source, tokenizer) = (open_weights(folder)?, TokenizerFile::open(folder)?);
/// let exported = export_gguf(source.as_ref(), &tokenizer, ExportType::Q8_0, "SmolLM2", "smol.gguf".as_ref())?;
/// println!("{} bytes", exported.bytes);
/// # Ok::<(), camelid_model::ModelError>(())
/// ```
///
/// # Errors
/// When the model or its tokenizer cannot be said in GGUF's terms, a tensor is missing, of another
/// shape or not finite, or the file cannot be written. Nothing is left behind.
pub fn export_gguf(
    source: &dyn WeightSource,
    tokenizer: &TokenizerFile,
    kind: ExportType,
    name: &str,
    path: &Path,
) -> Result<Exported, ModelError> {
    let config = source.config()?;
    let mut notes = Vec::new();
    let mut metadata = metadata(&config, kind, name);
    let divisors = divisors(&config);
    metadata.extend(vocabulary::metadata(tokenizer, &config, &source.describe(), &mut notes)?);

    let tensors = expected_tensors(&config);
    let mut planned = Vec::new();
    for (hf, shape) in &tensors {
        let Some(name) = gguf_name(hf) else {
            return Err(ModelError::UnexpectedTensor {
                origin: source.describe(),
                name: hf.clone(),
                count: 1,
            });
        };
        planned.push(PlannedTensor { name, shape: shape.clone(), kind: kind.of_tensor(hf, shape) });
    }
    let odd = planned.iter().filter(|t| t.shape.len() == 2 && t.kind == TensorType::F16).count();
    if odd > 0 && matches!(kind, ExportType::Q8_0 | ExportType::Q4_0) {
        notes.push(format!("{odd} tensors stay in F16: their rows are no multiple of 32 values"));
    }
    let mut table = planned.clone();
    if let Some(divisors) = &divisors {
        let shape = vec![divisors.len()];
        table.push(PlannedTensor { name: ROPE_FACTORS.into(), shape, kind: TensorType::F32 });
    }

    let mut writer = GgufWriter::create(path, &metadata, &table)?;
    for ((hf, shape), planned) in tensors.iter().zip(&planned) {
        let values = dense(source, hf, shape)?;
        // Its rows are turned pair by pair there, by halves here.
        let values = match hf.rsplit('.').nth(1) {
            Some("q_proj" | "k_proj") => permute_rows(&values, shape[0], config.head_dim),
            _ => values,
        };
        writer.tensor(&planned.name, &values)?;
    }
    if let Some(divisors) = &divisors {
        writer.tensor(ROPE_FACTORS, divisors)?;
    }
    let temporary = writer.sync()?;
    let bytes = std::fs::metadata(temporary).map_err(ModelError::io(path))?.len();
    proof::read_back(temporary, &config, tokenizer, path)?;
    writer.finish()?;

    let mut counts: Vec<(TensorType, usize)> = Vec::new();
    for tensor in &table {
        match counts.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((tensor.kind, 1)),
        }
    }
    Ok(Exported { parameters: config.parameter_count(), bytes, tensors: counts, notes })
}

/// The values of a tensor, a packed one unpacked.
fn dense(source: &dyn WeightSource, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
    let (shape, values) = match source.read(name)? {
        LoadedTensor::Dense { shape, values, .. } => (shape, values),
        LoadedTensor::Quantized(packed) => (packed.shape().to_vec(), packed.dequantize()),
    };
    if shape != expected {
        return Err(ModelError::Shape {
            origin: source.describe(),
            name: name.into(),
            expected: expected.to_vec(),
            found: shape,
        });
    }
    Ok(values)
}
