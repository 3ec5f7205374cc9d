//! The configuration of a `llama` or `qwen2` model from GGUF metadata.

use crate::config::{LlamaConfig, RopeScaling};
use crate::error::ModelError;
use crate::gguf::GgufFile;
use crate::rope::inverse_frequencies;

/// GGUF's name of the divisors of the rotary frequencies; configuration, not a weight.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// No dimension of a model comes near this; larger numbers are damage, and refusing
/// them keeps products of two from overflowing.
const MAX_DIMENSION: usize = 1 << 31;

const ARCHITECTURE: &str = "general.architecture";

/// Reads the `llama.*` or `qwen2.*` keys, with the defaults ggml gives absent ones.
pub(super) fn read_config(file: &GgufFile) -> Result<LlamaConfig, ModelError> {
    let architecture = file.string(ARCHITECTURE)?;
    if !matches!(architecture, "llama" | "qwen2") {
        return Err(unsupported(file, ARCHITECTURE, format!("`{architecture}`"), "`llama`, `qwen2`"));
    }
    let experts_key = key(file, "expert_count");
    if let Some(experts @ 1..) = file.optional_size(&experts_key)? {
        return Err(unsupported(file, &experts_key, experts.to_string(), "0 (no mixture of experts)"));
    }

    let hidden_size = dimension(file, "embedding_length")?;
    let vocab_size = vocabulary(file, hidden_size)?;
    let num_hidden_layers = dimension(file, "block_count")?;
    if num_hidden_layers > file.tensors().len() {
        return Err(file.bad_value(&key(file, "block_count"), "at most the number of tensors").into());
    }
    let num_attention_heads = dimension(file, "attention.head_count")?;
    let num_key_value_heads = match file.value(&key(file, "attention.head_count_kv")) {
        Some(_) => dimension(file, "attention.head_count_kv")?,
        None => num_attention_heads,
    };
    let head_dim = head_dim(file, hidden_size / num_attention_heads)?;
    let rope_theta = file.optional_number(&key(file, "rope.freq_base"))?.unwrap_or(10_000.0);
    let eps_key = key(file, "attention.layer_norm_rms_epsilon");

    let config = LlamaConfig {
        vocab_size,
        hidden_size,
        intermediate_size: dimension(file, "feed_forward_length")?,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        max_position_embeddings: dimension(file, "context_length")?,
        rope_theta,
        rope_scaling: rope_scaling(file, head_dim, rope_theta)?,
        rms_norm_eps: decimal(file.number(&eps_key)?),
        tie_word_embeddings: file.tensor("output.weight").is_none(),
        attention_bias: attention_bias(file)?,
        mlp_bias: file.tensor("blk.0.ffn_gate.bias").is_some(),
        bos_token_id: token(file, "tokenizer.ggml.bos_token_id")?,
        eos_token_ids: end_tokens(file)?,
        pad_token_id: token(file, "tokenizer.ggml.padding_token_id")?,
        stored_4bit: false,
    };
    config.check(&file.path().display().to_string())?;
    Ok(config)
}

/// The full name of a key of the architecture.
fn key(file: &GgufFile, name: &str) -> String {
    format!("{}.{name}", file.string(ARCHITECTURE).unwrap_or("llama"))
}

/// Whether rows of q and k are stored for the rotation of interleaved pairs, as llama.cpp's converter
/// permutes a LLaMA's; a Qwen2's stay as they are.
pub(super) fn permuted(file: &GgufFile) -> bool {
    file.string(ARCHITECTURE).is_ok_and(|architecture| architecture == "llama")
}

fn unsupported(file: &GgufFile, setting: &str, found: String, supported: &str) -> ModelError {
    ModelError::Unsupported {
        origin: file.path().display().to_string(),
        setting: setting.into(),
        found,
        supported: supported.into(),
    }
}

/// All four projections have a bias or none has, as in transformers' LLaMA; that of the output may
/// be left out, where it is zero.
fn attention_bias(file: &GgufFile) -> Result<bool, ModelError> {
    let [query, output] = ["blk.0.attn_q.bias", OUTPUT_BIAS].map(|n| file.tensor(n).is_some());
    if output && !query {
        let supported = "a bias on all of q, k, v and o, on q, k and v, or on none";
        return Err(unsupported(file, OUTPUT_BIAS, "present without `blk.0.attn_q.bias`".into(), supported));
    }
    Ok(query)
}

/// Where the bias of an output projection would be.
pub(super) const OUTPUT_BIAS: &str = "blk.0.attn_output.bias";

fn dimension(file: &GgufFile, name: &str) -> Result<usize, ModelError> {
    let key = key(file, name);
    match file.size(&key)? {
        size if (1..MAX_DIMENSION).contains(&size) => Ok(size),
        _ => Err(file.bad_value(&key, "an integer from 1 to 2147483647").into()),
    }
}

/// The rows of the embedding: some writers leave `llama.vocab_size` out, and padded
/// vocabularies differ from the tokenizer's.
fn vocabulary(file: &GgufFile, hidden_size: usize) -> Result<usize, ModelError> {
    let name = "token_embd.weight";
    let missing = || ModelError::MissingTensor {
        origin: file.path().display().to_string(),
        name: name.into(),
        expected: vec![file.optional_size(&key(file, "vocab_size")).ok().flatten().unwrap_or(0), hidden_size],
        found: file.tensors().iter().map(|tensor| tensor.name.clone()).collect(),
    };
    let shape = &file.tensor(name).ok_or_else(missing)?.shape;
    match shape.as_slice() {
        &[rows, columns] if columns == hidden_size => Ok(rows),
        _ => Err(ModelError::Shape {
            origin: file.path().display().to_string(),
            name: name.into(),
            expected: vec![shape.first().copied().unwrap_or(0), hidden_size],
            found: shape.clone(),
        }),
    }
}

/// The width of a head. Keys, values and the rotated part must all agree on it.
fn head_dim(file: &GgufFile, default: usize) -> Result<usize, ModelError> {
    let key_length = "attention.key_length";
    let head_dim = match file.value(&key(file, key_length)) {
        Some(_) => dimension(file, key_length)?,
        None => default,
    };
    for name in ["attention.value_length", "rope.dimension_count"] {
        let key = key(file, name);
        if let Some(size) = file.optional_size(&key)?
            && size != head_dim
        {
            return Err(unsupported(file, &key, size.to_string(), &format!("the head size {head_dim}")));
        }
    }
    Ok(head_dim)
}

fn rope_scaling(file: &GgufFile, head_dim: usize, theta: f64) -> Result<RopeScaling, ModelError> {
    let type_key = key(file, "rope.scaling.type");
    let by_type = match file.optional_string(&type_key)? {
        // Files older than the key hold only the factor.
        None => {
            let key = key(file, "rope.scale_linear");
            match file.optional_number(&key)? {
                Some(factor) => linear(file, &key, factor)?,
                None => RopeScaling::None,
            }
        }
        Some("none") => RopeScaling::None,
        Some("linear") => {
            let key = key(file, "rope.scaling.factor");
            linear(file, &key, file.number(&key)?)?
        }
        Some(other) => {
            return Err(unsupported(
                file,
                &type_key,
                format!("`{other}`"),
                "`none`, `linear`, or a rope_freqs tensor",
            ));
        }
    };
    match file.tensor(ROPE_FACTORS) {
        None => Ok(by_type),
        Some(_) => divided(file, head_dim, theta, &by_type),
    }
}

fn linear(file: &GgufFile, key: &str, factor: f64) -> Result<RopeScaling, ModelError> {
    if factor == 1.0 {
        return Ok(RopeScaling::None);
    }
    if factor <= 0.0 {
        return Err(file.bad_value(key, "a positive number").into());
    }
    Ok(RopeScaling::Linear { factor })
}

/// A stored divisor for every frequency, which is what llama.cpp divides by; a linear factor
/// divides once more. Where they are Llama 3.1's, to the rounding of f32, the settings they came
/// from are known again: the largest divisor is `factor`, and the other three are the same in all
/// released models.
fn divided(
    file: &GgufFile,
    head_dim: usize,
    theta: f64,
    by_type: &RopeScaling,
) -> Result<RopeScaling, ModelError> {
    let mut divisors = file.read(ROPE_FACTORS)?;
    let wrong = |problem: String| ModelError::Tensor {
        origin: file.path().display().to_string(),
        name: ROPE_FACTORS.into(),
        problem,
    };
    if divisors.len() != head_dim / 2 {
        let expected = head_dim / 2;
        return Err(wrong(format!("has {} divisors, expected {expected} (half a head)", divisors.len())));
    }
    if let Some(i) = divisors.iter().position(|d| !d.is_finite() || *d <= 0.0) {
        return Err(wrong(format!("holds {} at index {i}, expected positive numbers", divisors[i])));
    }
    if let RopeScaling::Linear { factor } = by_type {
        divisors.iter_mut().for_each(|d| *d *= *factor as f32);
        return Ok(RopeScaling::Divisors(divisors.into()));
    }
    let scaling = RopeScaling::Llama3 {
        factor: f64::from(divisors.iter().copied().fold(1.0, f32::max)),
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let plain = inverse_frequencies(head_dim, theta, &RopeScaling::None);
    let scaled = inverse_frequencies(head_dim, theta, &scaling);
    let agrees = plain.iter().zip(&scaled).zip(&divisors).all(|((p, s), d)| (p / s - d).abs() <= 1e-5 * d);
    if agrees {
        return Ok(if divisors.iter().all(|d| *d == 1.0) { RopeScaling::None } else { scaling });
    }
    Ok(RopeScaling::Divisors(divisors.into()))
}

fn token(file: &GgufFile, key: &'static str) -> Result<Option<u32>, ModelError> {
    let too_large = |_| file.bad_value(key, "a token id").into();
    file.optional_size(key)?.map(|id| u32::try_from(id).map_err(too_large)).transpose()
}

/// Ends of a text and of a turn: generation stops at any of them.
fn end_tokens(file: &GgufFile) -> Result<Vec<u32>, ModelError> {
    let mut ids = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        if let Some(id) = token(file, key)?
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The `f64` with the shortest decimal form of an `f32`: 1e-5, not 9.999999747378752e-6,
/// so that the configuration equals the one the file was converted from.
fn decimal(widened: f64) -> f64 {
    let narrow = widened as f32;
    if f64::from(narrow) != widened {
        return widened;
    }
    narrow.to_string().parse().unwrap_or(widened)
}
