//! The rotary settings of a `config.json`, in the older and the newer form.

use serde_json::{Value, json};

use super::settings::Settings;
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::ModelError;

/// transformers 5 writes `rope_parameters` with θ inside; earlier versions write
/// `rope_theta` and, when scaled, `rope_scaling`.
pub(super) fn read(s: &Settings) -> Result<(f64, RopeScaling), ModelError> {
    let mut theta = s.f64("rope_theta")?;
    refuse_partial_rotation(s)?;
    let mut scaling = None;
    for section in ["rope_scaling", "rope_parameters"] {
        let Some(value) = s.get(section) else { continue };
        let Some(object) = value.as_object() else {
            return s.refuse(section, value, "null or an object");
        };
        let origin = format!("{}: {section}", s.origin);
        let inner = Settings { object, origin: &origin };
        theta = inner.f64("rope_theta")?.or(theta);
        refuse_partial_rotation(&inner)?;
        let Some(found) = rope_scaling(&inner, s)? else { continue };
        if scaling.as_ref().is_some_and(|earlier| *earlier != found) {
            return s.refuse(section, value, "the same scaling as in rope_scaling, or one of the two alone");
        }
        scaling = Some(found);
    }
    Ok((theta.unwrap_or(10_000.0), scaling.unwrap_or(RopeScaling::None)))
}

/// Some architectures rotate a part of each head only; LLaMA rotates all of it.
fn refuse_partial_rotation(s: &Settings) -> Result<(), ModelError> {
    match s.get("partial_rotary_factor") {
        Some(found) if found.as_f64() != Some(1.0) => s.refuse("partial_rotary_factor", found, "1"),
        _ => Ok(()),
    }
}

/// `None` where the section says nothing about scaling.
fn rope_scaling(inner: &Settings, outer: &Settings) -> Result<Option<RopeScaling>, ModelError> {
    let key = if inner.get("rope_type").is_some() { "rope_type" } else { "type" };
    let Some(kind) = inner.get(key) else {
        // A factor without the rule it belongs to must not be passed over.
        let about_scaling = |name: &str| !matches!(name, "rope_theta" | "partial_rotary_factor");
        let silent = !inner.object.iter().any(|(name, v)| about_scaling(name) && !v.is_null());
        return if silent { Ok(None) } else { Err(inner.missing("rope_type")) };
    };
    let scaling = match kind.as_str() {
        Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear { factor: inner.factor("factor")? }),
        Some("llama3") => {
            let key = "original_max_position_embeddings";
            let original = match inner.usize(key)? {
                Some(n) => n,
                None => outer.usize(key)?.ok_or_else(|| inner.missing(key))?,
            };
            Ok(RopeScaling::Llama3 {
                factor: inner.factor("factor")?,
                low_freq_factor: inner.factor("low_freq_factor")?,
                high_freq_factor: inner.factor("high_freq_factor")?,
                original_max_position_embeddings: original,
            })
        }
        Some("longrope") => divisors(inner),
        _ => inner.refuse(
            key,
            kind,
            "\"default\", \"linear\", \"llama3\", \"longrope\" of one list of factors",
        ),
    };
    scaling.map(Some)
}

/// LongRoPE with the same factors for short and long texts and no scaling of the attention, which
/// is how transformers spells a divisor for every frequency.
fn divisors(inner: &Settings) -> Result<RopeScaling, ModelError> {
    let expected = "the same list of positive numbers as `short_factor`, with `attention_factor` 1";
    let [short, long, attention] =
        ["short_factor", "long_factor", "attention_factor"].map(|key| inner.get(key));
    let (Some(short), Some(long)) = (short, long) else {
        return Err(inner.missing(if short.is_none() { "short_factor" } else { "long_factor" }));
    };
    if short != long || attention.and_then(Value::as_f64) != Some(1.0) {
        return inner.refuse("long_factor", long, expected);
    }
    let number = |v: &Value| v.as_f64().map(|v| v as f32).filter(|v| v.is_finite() && *v > 0.0);
    match long.as_array().and_then(|values| values.iter().map(number).collect::<Option<Vec<f32>>>()) {
        Some(values) => Ok(RopeScaling::Divisors(values.into())),
        None => inner.refuse("long_factor", long, expected),
    }
}

/// The rotary settings in both forms.
pub(super) struct Written {
    /// `rope_scaling`, beside which `rope_theta` stands by itself.
    pub older: Value,
    /// `rope_parameters`.
    pub newer: Value,
}

pub(super) fn write(config: &LlamaConfig) -> Written {
    let (older, mut newer) = match &config.rope_scaling {
        RopeScaling::None => (Value::Null, json!({"rope_type": "default"})),
        RopeScaling::Linear { factor } => {
            // transformers 4.31 to 4.42 demand `type` and `factor` and nothing else; later ones read both.
            (json!({"type": "linear", "factor": factor}), json!({"rope_type": "linear", "factor": factor}))
        }
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let v = json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings,
            });
            (v.clone(), v)
        }
        RopeScaling::Divisors(divisors) => {
            let divisors: Vec<f64> = divisors.iter().copied().map(f64::from).collect();
            let v = json!({
                "rope_type": "longrope",
                "short_factor": divisors,
                "long_factor": divisors,
                "attention_factor": 1.0,
                "original_max_position_embeddings": config.max_position_embeddings,
            });
            (v.clone(), v)
        }
    };
    newer["rope_theta"] = json!(config.rope_theta);
    Written { older, newer }
}
