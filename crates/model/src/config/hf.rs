//! Reading and writing Hugging Face's `config.json`.

mod family;
mod rope;
mod settings;

use serde_json::{Value, json};

use self::family::{Family, note_without_effect};
use self::settings::Settings;
use super::LlamaConfig;
use crate::error::ModelError;
use crate::notes::LoadNote;

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
    let family = Family::of(&s)?;
    note_without_effect(&s, family, notes);

    let hidden_size = s.required_usize("hidden_size")?;
    let num_attention_heads = s.required_usize("num_attention_heads")?;
    let (rope_theta, rope_scaling) = rope::read(&s)?;
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
        attention_bias: s.bool("attention_bias")?.unwrap_or(family == Family::Qwen2),
        mlp_bias: s.bool("mlp_bias")?.unwrap_or(false),
        bos_token_id: s.token_ids("bos_token_id")?.first().copied(),
        eos_token_ids: s.token_ids("eos_token_id")?,
        pad_token_id: s.token_ids("pad_token_id")?.first().copied(),
        stored_4bit: stored_4bit(&s)?,
    })
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
    let rope::Written { older, newer } = rope::write(config);
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
    use crate::config::RopeScaling;

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
            ("model_type", json!("mistral"), "`model_type` is \"mistral\"; supported: \"llama\", \"qwen2\""),
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
    fn a_qwen2_is_a_llama_with_biases_on_q_k_and_v() {
        let mut qwen = with("model_type", json!("qwen2"));
        qwen["architectures"] = json!(["Qwen2ForCausalLM"]);
        qwen["sliding_window"] = json!(32768);
        qwen["max_window_layers"] = json!(2);
        let mut notes = Vec::new();
        let config = parse(&qwen, "t", &mut notes).unwrap();
        let llama = LlamaConfig::from_value(&smallest(), "t").unwrap();
        assert_eq!(config, LlamaConfig { attention_bias: true, ..llama });
        assert!(notes.is_empty(), "{notes:?}");
        qwen["use_sliding_window"] = json!(true);
        assert!(message(&qwen).contains("`use_sliding_window` is true; supported: false"));
        qwen["architectures"] = json!(["LlamaForCausalLM"]);
        assert!(message(&qwen).contains("supported: that of `model_type`"));
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
