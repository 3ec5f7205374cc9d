//! Reading and writing Hugging Face's `config.json`.

use serde_json::{Map, Value, json};

use super::{LlamaConfig, RopeScaling};
use crate::error::ModelError;
use crate::notes::LoadNote;

/// Settings of other families and of training. A LLaMA's numbers do not depend on them, or not
/// without training; a value that means something elsewhere is worth a note.
const WITHOUT_EFFECT: [(&str, &str); 12] = [
    ("attention_dropout", "it acts in training only, and training here has none"),
    ("sliding_window", "a llama attends to the whole text"),
    ("attn_logit_softcapping", "a llama has none"),
    ("final_logit_softcapping", "a llama has none"),
    ("query_pre_attn_scalar", "a llama has none"),
    ("embedding_multiplier", "a llama has none"),
    ("residual_multiplier", "a llama has none"),
    ("attention_multiplier", "a llama has none"),
    ("logits_scaling", "a llama has none"),
    ("scale_emb", "a llama has none"),
    ("scale_depth", "a llama has none"),
    ("clip_qkv", "a llama has none"),
];

/// Keys whose number the model needs.
const NUMBERS: [&str; 10] = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rope_theta",
    "rms_norm_eps",
];

/// In a file in which `NaN` or `Infinity` was read as `null`, a number that is `null` may have been
/// one of these: taking the default for it would be a guess.
pub(super) fn refuse_numbers_read_as_null(value: &Value, origin: &str) -> Result<(), ModelError> {
    let places = [Some(value), value.get("rope_scaling"), value.get("rope_parameters")];
    for object in places.into_iter().flatten().filter_map(Value::as_object) {
        let is_number = |key: &str| NUMBERS.contains(&key) || key.ends_with("factor");
        if let Some((key, _)) = object.iter().find(|(key, value)| is_number(key) && value.is_null()) {
            return Err(ModelError::Unsupported {
                origin: origin.to_string(),
                setting: key.clone(),
                found: "NaN, Infinity or null".into(),
                supported: "finite numbers".into(),
            });
        }
    }
    Ok(())
}

/// `eos_token_id` of a `generation_config.json`.
pub(super) fn end_tokens(value: &Value, origin: &str) -> Result<Vec<u32>, ModelError> {
    match value.as_object() {
        Some(object) => Settings { object, origin }.token_ids("eos_token_id"),
        None => Ok(Vec::new()),
    }
}

pub(super) fn parse(
    value: &Value,
    origin: &str,
    notes: &mut Vec<LoadNote>,
) -> Result<LlamaConfig, ModelError> {
    let Some(object) = value.as_object() else {
        return Err(ModelError::Unsupported {
            origin: origin.to_string(),
            setting: "the file's content".into(),
            found: kind(value).into(),
            supported: "a JSON object of settings".into(),
        });
    };
    let s = Settings { object, origin };
    refuse_other_models(&s)?;
    note_without_effect(&s, notes);

    let hidden_size = s.required_usize("hidden_size")?;
    let num_attention_heads = s.required_usize("num_attention_heads")?;
    let (rope_theta, rope_scaling) = rope(&s)?;
    Ok(LlamaConfig {
        vocab_size: s.required_usize("vocab_size")?,
        hidden_size,
        intermediate_size: s.required_usize("intermediate_size")?,
        num_hidden_layers: s.required_usize("num_hidden_layers")?,
        num_attention_heads,
        num_key_value_heads: s.usize("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim: match s.usize("head_dim")? {
            Some(dim) => dim,
            None if num_attention_heads > 0 && hidden_size.is_multiple_of(num_attention_heads) => {
                hidden_size / num_attention_heads
            }
            None => {
                return s.refuse(
                    "num_attention_heads",
                    &json!(num_attention_heads),
                    &format!("divisors of hidden_size = {hidden_size} when head_dim is absent"),
                );
            }
        },
        // Defaults below are transformers' own for `LlamaConfig`.
        max_position_embeddings: s.usize("max_position_embeddings")?.unwrap_or(2048),
        rope_theta,
        rope_scaling,
        rms_norm_eps: s.f64("rms_norm_eps")?.unwrap_or(1e-6),
        tie_word_embeddings: s.bool("tie_word_embeddings")?.unwrap_or(false),
        attention_bias: s.bool("attention_bias")?.unwrap_or(false),
        mlp_bias: s.bool("mlp_bias")?.unwrap_or(false),
        bos_token_id: s.token_ids("bos_token_id")?.first().copied(),
        eos_token_ids: s.token_ids("eos_token_id")?,
        pad_token_id: s.token_ids("pad_token_id")?.first().copied(),
        stored_4bit: stored_4bit(&s)?,
    })
}

fn refuse_other_models(s: &Settings) -> Result<(), ModelError> {
    let model_type = s.get("model_type");
    if let Some(found) = model_type
        && found.as_str() != Some("llama")
    {
        return s.refuse("model_type", found, "\"llama\"");
    }
    match s.get("architectures") {
        Some(found) => {
            let first = found.get(0).and_then(Value::as_str);
            // Early conversions spell it LLaMAForCausalLM; the model without its head is saved as
            // LlamaModel.
            let known = ["LlamaForCausalLM", "LlamaModel"];
            if !first.is_some_and(|a| known.iter().any(|known| a.eq_ignore_ascii_case(known))) {
                return s.refuse("architectures", found, "[\"LlamaForCausalLM\"]");
            }
        }
        None if model_type.is_none() => return Err(s.missing("model_type")),
        None => {}
    }
    if let Some(found) = s.get("hidden_act")
        && !matches!(found.as_str(), Some("silu" | "swish"))
    {
        return s.refuse("hidden_act", found, "\"silu\"");
    }
    // Layers that attend to a part of the text only would compute other numbers.
    if let Some(found) = s.get("layer_types") {
        let full = |kind: &Value| kind.as_str() == Some("full_attention");
        if !found.as_array().is_some_and(|kinds| kinds.iter().all(full)) {
            return s.refuse("layer_types", found, "\"full_attention\" for every layer");
        }
    }
    Ok(())
}

/// Notes settings that would mean something in another model, where they are not neutral.
fn note_without_effect(s: &Settings, notes: &mut Vec<LoadNote>) {
    for (setting, because) in WITHOUT_EFFECT {
        let Some(found) = s.get(setting) else { continue };
        let neutral = match setting {
            "attention_dropout" => found.as_f64() == Some(0.0),
            "sliding_window" => s.get("use_sliding_window") == Some(&json!(false)),
            _ => found.as_f64() == Some(1.0),
        };
        if !neutral {
            notes.push(LoadNote::SettingIgnored {
                origin: s.origin.to_string(),
                setting: setting.to_string(),
                found: found.to_string(),
                because,
            });
        }
    }
}

/// transformers 5 writes `rope_parameters` with θ inside; earlier versions write
/// `rope_theta` and, when scaled, `rope_scaling`.
fn rope(s: &Settings) -> Result<(f64, RopeScaling), ModelError> {
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

fn stored_4bit(s: &Settings) -> Result<bool, ModelError> {
    let Some(value) = s.get("quantization_config") else {
        return Ok(false);
    };
    let Some(object) = value.as_object() else {
        return s.refuse("quantization_config", value, "null or an object");
    };
    let origin = format!("{}: quantization_config", s.origin);
    let inner = Settings { object, origin: &origin };
    match inner.get("quant_method") {
        None => {}
        Some(found) if found.as_str() == Some("bitsandbytes") => {}
        Some(found) => return inner.refuse("quant_method", found, "\"bitsandbytes\""),
    }
    if inner.bool("load_in_8bit")? == Some(true) {
        return inner.refuse("load_in_8bit", &json!(true), "false (4-bit weights)");
    }
    if let Some(found) = inner.get("bnb_4bit_quant_type")
        && !matches!(found.as_str(), Some("nf4" | "fp4" | "int4"))
    {
        return inner.refuse("bnb_4bit_quant_type", found, "\"nf4\", \"fp4\", \"int4\"");
    }
    // `bnb_4bit_quant_storage`, the compute type and the like change nothing that is stored.
    inner.bool("load_in_4bit").map(|on| on.unwrap_or(false))
}

pub(super) fn write(config: &LlamaConfig) -> Value {
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
    let eos = match config.eos_token_ids.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position_embeddings,
        "rope_theta": config.rope_theta,
        "rope_scaling": older,
        "rope_parameters": newer,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": eos,
        "pad_token_id": config.pad_token_id,
    })
}

/// One JSON object of settings, and where it came from for messages.
struct Settings<'a> {
    object: &'a Map<String, Value>,
    origin: &'a str,
}

impl Settings<'_> {
    /// The value, with `null` treated as absent, as transformers does.
    fn get(&self, setting: &str) -> Option<&Value> {
        self.object.get(setting).filter(|v| !v.is_null())
    }

    fn missing(&self, setting: &str) -> ModelError {
        ModelError::MissingSetting { origin: self.origin.to_string(), setting: setting.to_string() }
    }

    fn refuse<T>(&self, setting: &str, found: &Value, supported: &str) -> Result<T, ModelError> {
        Err(ModelError::Unsupported {
            origin: self.origin.to_string(),
            setting: setting.to_string(),
            found: found.to_string(),
            supported: supported.to_string(),
        })
    }

    fn required_usize(&self, setting: &str) -> Result<usize, ModelError> {
        self.usize(setting)?.ok_or_else(|| self.missing(setting))
    }

    fn usize(&self, setting: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        // Some writers give whole numbers as 4096.0.
        let whole =
            || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64);
        match value.as_u64().or_else(whole).and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => self.refuse(setting, value, "non-negative integers"),
        }
    }

    fn f64(&self, setting: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(x) => Ok(Some(x)),
            None => self.refuse(setting, value, "numbers"),
        }
    }

    fn factor(&self, setting: &str) -> Result<f64, ModelError> {
        match self.f64(setting)? {
            Some(x) if x.is_finite() && x > 0.0 => Ok(x),
            Some(x) => self.refuse(setting, &json!(x), "positive numbers"),
            None => Err(self.missing(setting)),
        }
    }

    fn bool(&self, setting: &str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(None);
        };
        match value.as_bool() {
            Some(b) => Ok(Some(b)),
            None => self.refuse(setting, value, "true or false"),
        }
    }

    /// A token id or a list of them. Negative ids mean "none" in early conversions.
    fn token_ids(&self, setting: &str) -> Result<Vec<u32>, ModelError> {
        let Some(value) = self.get(setting) else {
            return Ok(Vec::new());
        };
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut ids = Vec::with_capacity(list.len());
        for id in list {
            match id.as_i64() {
                Some(n) if n < 0 => {}
                Some(n) if u32::try_from(n).is_ok() => ids.push(n as u32),
                _ => return self.refuse(setting, value, "a token id or a list of token ids"),
            }
        }
        Ok(ids)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest() -> Value {
        json!({
            "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4,
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut v = smallest();
        v[key] = value;
        v
    }

    fn message(value: &Value) -> String {
        LlamaConfig::from_value(value, "config.json").unwrap_err().to_string()
    }

    #[test]
    fn absent_settings_take_transformers_defaults() {
        let c = LlamaConfig::from_value(&smallest(), "t").unwrap();
        assert_eq!((c.num_key_value_heads, c.head_dim), (4, 4));
        assert_eq!((c.rope_theta, c.rms_norm_eps), (10_000.0, 1e-6));
        assert!(!c.tie_word_embeddings && !c.attention_bias && !c.mlp_bias);
    }

    #[test]
    fn written_configurations_read_back_equal() {
        for rope_scaling in [
            RopeScaling::None,
            RopeScaling::Linear { factor: 4.0 },
            RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192,
            },
            RopeScaling::Divisors((0..32).map(|i| 1.0 + i as f32 / 7.0).collect()),
        ] {
            let config =
                LlamaConfig { rope_scaling, eos_token_ids: vec![2, 7], ..LlamaConfig::smollm2_135m() };
            assert_eq!(LlamaConfig::from_value(&config.to_value(), "t").unwrap(), config);
        }
    }

    #[test]
    fn linear_scaling_is_written_as_vicunas_16k_files_have_it() {
        let scaling = RopeScaling::Linear { factor: 4.0 };
        let config = LlamaConfig { rope_scaling: scaling, ..LlamaConfig::llama_7b() };
        let written = config.to_value();
        assert_eq!(written["rope_scaling"], json!({"type": "linear", "factor": 4.0}));
        assert_eq!(
            written["rope_parameters"],
            json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0})
        );
        // The number of the original stays, and the room is four times as long.
        assert_eq!(
            (written["max_position_embeddings"].as_u64(), config.context_length()),
            (Some(2048), 8192)
        );
    }

    #[test]
    fn older_and_newer_rope_settings_mean_the_same() {
        let mut older = with("rope_theta", json!(5e5));
        older["rope_scaling"] = json!({"type": "linear", "factor": 2.0});
        let newer = with("rope_parameters", json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}));
        assert_eq!(
            LlamaConfig::from_value(&older, "t").unwrap(),
            LlamaConfig::from_value(&newer, "t").unwrap()
        );
    }

    #[test]
    fn rope_sections_add_up_or_are_refused() {
        let mut both = with("rope_scaling", json!({"type": "linear", "factor": 2.0}));
        both["rope_parameters"] = json!({"rope_theta": 5e5});
        let config = LlamaConfig::from_value(&both, "t").unwrap();
        assert_eq!((config.rope_theta, config.rope_scaling), (5e5, RopeScaling::Linear { factor: 2.0 }));

        both["rope_parameters"] = json!({"rope_type": "default"});
        let m = message(&both);
        assert!(m.contains("`rope_parameters`") && m.contains("the same scaling as in rope_scaling"), "{m}");

        for section in ["rope_scaling", "rope_parameters"] {
            let m = message(&with(section, json!({"factor": 8.0})));
            assert_eq!(m, format!("config.json: {section}: the setting `rope_type` is missing"));
            let m = message(&with(section, json!({"rope_type": "default", "partial_rotary_factor": 0.5})));
            assert_eq!(m, format!("config.json: {section}: `partial_rotary_factor` is 0.5; supported: 1"));
        }
        let m = message(&with("partial_rotary_factor", json!(0.5)));
        assert!(m.contains("`partial_rotary_factor` is 0.5"), "{m}");
        assert!(LlamaConfig::from_value(&with("partial_rotary_factor", json!(1.0)), "t").is_ok());
        assert!(LlamaConfig::from_value(&with("rope_scaling", json!({})), "t").is_ok());
    }

    #[test]
    fn sizes_beyond_any_model_are_refused_by_name() {
        for (key, value) in [
            ("vocab_size", json!(u64::MAX)),
            ("intermediate_size", json!((1_u64 << 31) + 1)),
            ("num_hidden_layers", json!(65_537)),
            ("max_position_embeddings", json!(1_u64 << 40)),
            ("rms_norm_eps", json!(-1e-6)),
        ] {
            let m = message(&with(key, value));
            assert!(m.starts_with(&format!("config.json: `{key}` is ")), "{m}");
        }
        let mut wide = with("num_attention_heads", json!(1_u64 << 20));
        wide["head_dim"] = json!(1_u64 << 20);
        let m = message(&wide);
        assert!(m.contains("`head_dim` is 1048576; supported: at most 2048 with 1048576 heads"), "{m}");
        let infinite = LlamaConfig { rms_norm_eps: f64::INFINITY, ..LlamaConfig::smollm2_135m() };
        assert!(infinite.check("t").unwrap_err().to_string().contains("`rms_norm_eps` is inf"));
    }

    #[test]
    fn unsupported_settings_are_named_with_what_is_supported() {
        for (key, value, expected) in [
            ("model_type", json!("mistral"), "`model_type` is \"mistral\"; supported: \"llama\""),
            ("architectures", json!(["GPT2LMHeadModel"]), "architectures"),
            ("hidden_act", json!("gelu"), "`hidden_act` is \"gelu\"; supported: \"silu\""),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "`rope_type` is \"yarn\""),
            ("quantization_config", json!({"quant_method": "gptq"}), "`quant_method` is \"gptq\""),
            (
                "layer_types",
                json!(["full_attention", "sliding_attention"]),
                "supported: \"full_attention\" for every layer",
            ),
            ("vocab_size", json!("many"), "`vocab_size` is \"many\""),
        ] {
            let m = message(&with(key, value));
            assert!(m.contains(expected) && m.starts_with("config.json"), "{m}");
        }
    }

    #[test]
    fn a_missing_setting_is_named() {
        let mut v = smallest();
        v.as_object_mut().unwrap().remove("hidden_size");
        assert_eq!(message(&v), "config.json: the setting `hidden_size` is missing");
    }

    #[test]
    fn unknown_harmless_settings_are_accepted() {
        assert!(LlamaConfig::from_value(&with("pretraining_tp", json!(1)), "t").is_ok());
        assert!(LlamaConfig::from_value(&with("use_cache", json!(true)), "t").is_ok());
    }

    #[test]
    fn what_changes_nothing_is_accepted_and_noted_where_it_says_something() {
        let plain = LlamaConfig::from_value(&smallest(), "t").unwrap();
        for (key, value, noted) in [
            ("attention_dropout", json!(0.1), true),
            ("attention_dropout", json!(0), false),
            ("sliding_window", json!(4096), true),
            ("final_logit_softcapping", json!(30.0), true),
            ("logits_scaling", json!(1.0), false),
            ("layer_types", json!(["full_attention", "full_attention"]), false),
            ("use_cache", json!(false), false),
            ("pretraining_tp", json!(2), false),
            ("vocab_size", json!(32.0), false),
            ("architectures", json!(["LlamaModel"]), false),
        ] {
            let mut notes = Vec::new();
            assert_eq!(parse(&with(key, value), "config.json", &mut notes).unwrap(), plain, "{key}");
            let said: Vec<String> = notes.iter().map(ToString::to_string).collect();
            assert_eq!(said.iter().any(|note| note.contains(key)), noted, "{key}: {said:?}");
        }
    }
}
