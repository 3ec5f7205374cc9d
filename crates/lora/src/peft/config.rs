//! `adapter_config.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{LoraConfig, Targets, last_names};
use crate::error::LoraError;

/// Settings that change the arithmetic when they are on, and what they ask for.
/// Off is `null`, `false`, `[]` or `{}`.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("use_dora", "DoRA (weight-decomposed adapters with magnitude vectors)"),
    ("modules_to_save", "saving whole modules beside the adapter"),
    ("rank_pattern", "a rank per layer"),
    ("alpha_pattern", "an alpha per layer"),
    ("fan_in_fan_out", "a transposed base weight"),
    ("lora_bias", "a bias on the adapter's B"),
    ("layers_to_transform", "choosing layers by number"),
    ("layers_pattern", "choosing layers by number"),
    ("layer_replication", "replicated layers"),
    ("exclude_modules", "excluding modules by name"),
    ("target_parameters", "adapters on bare parameters"),
    ("trainable_token_indices", "trainable tokens"),
    ("alora_invocation_tokens", "activated LoRA"),
    ("use_qalora", "QA-LoRA"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("arrow_config", "Arrow routing"),
    ("monteclora_config", "MonteCLoRA"),
    ("kasa_config", "KaSA"),
    ("velora_config", "VeLoRA"),
];

/// Settings that leave a stored adapter's arithmetic alone: where it came from,
/// how it was initialised or distributed, and what the others qualify.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

pub(super) fn read(path: &Path) -> Result<LoraConfig, LoraError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LoraError::Io { path: path.to_path_buf(), source })?;
    let object: Map<String, Value> =
        serde_json::from_str(&text).map_err(|source| LoraError::Json { path: path.to_path_buf(), source })?;
    let fields = Fields { object, path };
    fields.refuse_unsupported()?;
    let config = LoraConfig {
        r: fields.rank()?,
        lora_alpha: fields.number("lora_alpha", 8.0)? as f32,
        lora_dropout: fields.number("lora_dropout", 0.0)? as f32,
        use_rslora: fields.switch("use_rslora")?,
        target_modules: fields.targets()?,
    };
    config.check().map_err(|error| error.in_file(path))?;
    Ok(config)
}

struct Fields<'a> {
    object: Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn refuse_unsupported(&self) -> Result<(), LoraError> {
        for (setting, value) in &self.object {
            let known = UNSUPPORTED.iter().find(|(name, _)| name == setting);
            let feature = match (setting.as_str(), known) {
                (_, Some((_, feature))) if is_on(value) => *feature,
                ("peft_type", _) if value.as_str() != Some("LORA") => "any adapter but \"LORA\"",
                ("bias", _) if value.as_str() != Some("none") => "training biases",
                // These change the base weight too, and the file holds only the adapter.
                ("init_lora_weights", _) if changes_base(value) => {
                    "an initialisation that alters the base weight"
                }
                (name, None) if !is_read(name) && !HARMLESS.contains(&name) && is_on(value) => {
                    "this setting, unknown here,"
                }
                _ => continue,
            };
            return Err(LoraError::Unsupported {
                path: self.path.to_path_buf(),
                setting: setting.clone(),
                found: value.to_string(),
                feature: feature.to_string(),
            });
        }
        Ok(())
    }

    fn wrong<T>(&self, field: &str, expected: &'static str) -> Result<T, LoraError> {
        Err(LoraError::Field {
            path: self.path.to_path_buf(),
            field: field.to_string(),
            found: self.object.get(field).map_or_else(|| "absent".to_string(), Value::to_string),
            expected,
        })
    }

    fn number(&self, field: &str, default: f64) -> Result<f64, LoraError> {
        match self.object.get(field) {
            None => Ok(default),
            Some(value) => match value.as_f64() {
                Some(n) if n >= 0.0 => Ok(n),
                _ => self.wrong(field, "a non-negative number"),
            },
        }
    }

    /// Off when absent or `null`.
    fn switch(&self, field: &str) -> Result<bool, LoraError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => self.wrong(field, "true or false"),
        }
    }

    /// `r`, a whole number; PEFT's default is 8.
    fn rank(&self) -> Result<usize, LoraError> {
        let r = self.number("r", 8.0)?;
        if r.fract() == 0.0 && r <= f64::from(u32::MAX) {
            Ok(r as usize)
        } else {
            self.wrong("r", "a whole number")
        }
    }

    fn targets(&self) -> Result<Targets, LoraError> {
        let targets = self.object.get("target_modules").cloned().unwrap_or_default();
        serde_json::from_value(targets)
            .or_else(|_| self.wrong("target_modules", "a string or a list of names"))
    }
}

fn is_read(setting: &str) -> bool {
    matches!(
        setting,
        "r" | "lora_alpha"
            | "lora_dropout"
            | "use_rslora"
            | "target_modules"
            | "peft_type"
            | "bias"
            | "init_lora_weights"
    )
}

fn is_on(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

fn changes_base(init: &Value) -> bool {
    match init.as_str() {
        None => false,
        Some(name) => !matches!(name, "gaussian" | "eva" | "orthogonal" | "true" | "false"),
    }
}

/// The file's text. `paths` are the adapted layers: `all-linear` is written as
/// their names, since not every reader of PEFT files knows the shorthand.
pub(super) fn write(config: &LoraConfig, paths: &[String], base_model: Option<&str>) -> String {
    let targets = match &config.target_modules {
        Targets::AllLinear => json!(last_names(paths)),
        other => json!(other),
    };
    // PEFT declares lora_alpha an integer; a fraction is written as it is.
    let alpha = if config.lora_alpha.fract() == 0.0 {
        json!(config.lora_alpha as i64)
    } else {
        json!(config.lora_alpha)
    };
    let value = json!({
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": alpha,
        // The shortest decimal of the f32, not the f64 nearest to it.
        "lora_dropout": config.lora_dropout.to_string().parse::<f64>().unwrap_or_default(),
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.r,
        "rank_pattern": {},
        "revision": null,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": config.use_rslora,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(field: &str, value: Value) -> Result<LoraConfig, LoraError> {
        let text = write(&LoraConfig::default(), &["m.q_proj".into()], None);
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object[field] = value;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        read(file.path())
    }

    #[test]
    fn features_this_crate_lacks_are_refused_by_name() {
        for (field, value, word) in [
            ("use_dora", json!(true), "DoRA"),
            ("modules_to_save", json!(["lm_head"]), "`modules_to_save`"),
            ("bias", json!("all"), "`bias` is \"all\""),
            ("rank_pattern", json!({"q_proj": 4}), "rank per layer"),
            ("peft_type", json!("IA3"), "`peft_type` is \"IA3\""),
            ("init_lora_weights", json!("pissa"), "`init_lora_weights` is \"pissa\""),
            ("use_something_new", json!(true), "`use_something_new`"),
        ] {
            let message = read_with(field, value).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn features_that_are_off_and_harmless_fields_are_accepted() {
        for (field, value) in [
            ("use_dora", json!(false)),
            ("modules_to_save", json!([])),
            ("something_new", Value::Null),
            ("peft_version", json!("0.21.2")),
            ("init_lora_weights", json!("gaussian")),
        ] {
            assert!(read_with(field, value).is_ok(), "{field}");
        }
    }

    #[test]
    fn settings_survive_writing_and_reading() {
        let config = LoraConfig {
            r: 64,
            lora_alpha: 16.0,
            lora_dropout: 0.1,
            use_rslora: true,
            target_modules: Targets::Names(vec!["q_proj".into(), "v_proj".into()]),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), write(&config, &[], Some("base"))).unwrap();
        assert_eq!(read(file.path()).unwrap(), config);
    }

    #[test]
    fn fields_of_the_wrong_type_are_named() {
        let message = read_with("r", json!("eight")).unwrap_err().to_string();
        assert!(message.contains("`r` is \"eight\""), "{message}");
        let message = read_with("r", json!(8.5)).unwrap_err().to_string();
        assert!(message.contains("`r` is 8.5; expected a whole number"), "{message}");
        let message = read_with("target_modules", json!(3)).unwrap_err().to_string();
        assert!(message.contains("`target_modules` is 3"), "{message}");
        for value in [json!("true"), json!(1), json!([])] {
            let message = read_with("use_rslora", value).unwrap_err().to_string();
            assert!(message.contains("`use_rslora` is") && message.contains("true or false"), "{message}");
        }
        assert!(!read_with("use_rslora", Value::Null).unwrap().use_rslora);
    }

    #[test]
    fn settings_out_of_range_are_named_with_their_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"r": 0, "target_modules": "all-linear"}"#).unwrap();
        let message = read(file.path()).unwrap_err().to_string();
        let expected = format!("{}: LoRA setting `r` is 0", file.path().display());
        assert!(message.starts_with(&expected), "{message}");
    }
}
