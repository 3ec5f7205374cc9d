//! `adapter_config.json`.

use std::path::Path;

use camelid_files::Input;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::LoadedAdapter;
use super::note::PeftNote;
use crate::config::LoraConfig;
use crate::error::LoraError;
use crate::targets::{Targets, last_names};

/// Settings that change the arithmetic when they are on, and what they ask for.
/// Off is `null`, `false`, `[]` or `{}`.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("layer_replication", "replicated layers"),
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

/// Settings that are fields of [`LoraConfig`], or are judged here.
const READ: &[&str] = &[
    "alpha_pattern",
    "bias",
    "ensure_weight_tying",
    "exclude_modules",
    "fan_in_fan_out",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
];

/// The settings with what is to be said of them.
pub(super) fn read(path: &Path) -> Result<LoadedAdapter, LoraError> {
    let bytes = Input::open(path)?.bytes()?;
    let (object, odd) = camelid_files::json::parse::<Map<String, Value>>(&bytes)
        .map_err(|cause| LoraError::Json { path: path.to_path_buf(), cause })?;
    let mut notes: Vec<PeftNote> = odd.iter().map(|what| PeftNote::OddJson(what.to_string())).collect();
    let fields = Fields { object, path };
    fields.refuse_unsupported()?;
    let numbers = "a number for each pattern of module names";
    let config = LoraConfig {
        r: fields.rank()?,
        lora_alpha: fields.number("lora_alpha", 8.0)? as f32,
        lora_dropout: fields.number("lora_dropout", 0.0)? as f32,
        use_rslora: fields.switch("use_rslora")?,
        use_dora: fields.switch("use_dora")?,
        lora_bias: fields.switch("lora_bias")?,
        target_modules: fields.targets()?,
        exclude_modules: fields.optional("exclude_modules", "a string or a list of names")?,
        layers_to_transform: fields.list("layers_to_transform", "a whole number or a list of them")?,
        layers_pattern: fields.list("layers_pattern", "a string or a list of strings")?,
        rank_pattern: fields.optional("rank_pattern", numbers)?.unwrap_or_default(),
        alpha_pattern: fields.optional("alpha_pattern", numbers)?.unwrap_or_default(),
        modules_to_save: fields.optional("modules_to_save", "a list of names")?.unwrap_or_default(),
        ensure_weight_tying: fields.switch("ensure_weight_tying")?,
    };
    config.check().map_err(|error| error.in_file(path))?;
    let unknown = |(name, value): (&String, &Value)| {
        let known = READ.contains(&name.as_str())
            || HARMLESS.contains(&name.as_str())
            || UNSUPPORTED.iter().any(|(known, _)| known == name);
        (!known && is_on(value)).then(|| name.clone())
    };
    let unknown: Vec<String> = fields.object.iter().filter_map(unknown).collect();
    if !unknown.is_empty() {
        notes.push(PeftNote::UnknownSettings(unknown));
    }
    if fields.object.get("target_modules").is_none_or(Value::is_null) {
        notes.push(PeftNote::UsualTargets);
    }
    if fields.switch("fan_in_fan_out")? {
        let why = "the linear layers of this model store their weights as [out, in]";
        notes.push(PeftNote::SettingWithoutEffect { setting: "fan_in_fan_out", why });
    }
    Ok(LoadedAdapter { config, notes })
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
                // What these train shows in the file: tensors that have no place here.
                ("bias", _) if !matches!(value.as_str(), Some("none" | "all" | "lora_only")) => "such a bias",
                // These change the base weight too, and the file holds only the adapter.
                ("init_lora_weights", _) if changes_base(value) => {
                    "an initialisation that alters the base weight"
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
        // PEFT's table for LLaMA (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`).
        let usual = || Targets::Names(vec!["q_proj".to_owned(), "v_proj".to_owned()]);
        Ok(self.optional("target_modules", "a string or a list of names")?.unwrap_or_else(usual))
    }

    /// `None` when absent or `null`.
    fn optional<T: DeserializeOwned>(
        &self,
        field: &str,
        expected: &'static str,
    ) -> Result<Option<T>, LoraError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                serde_json::from_value(value.clone()).map(Some).or_else(|_| self.wrong(field, expected))
            }
        }
    }

    /// A list, one value of it, or nothing.
    fn list<T: DeserializeOwned>(&self, field: &str, expected: &'static str) -> Result<Vec<T>, LoraError> {
        let list = match self.object.get(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => Value::Array(list.clone()),
            Some(one) => json!([one]),
        };
        serde_json::from_value(list).or_else(|_| self.wrong(field, expected))
    }
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
    let alphas: Map<String, Value> =
        config.alpha_pattern.entries().map(|(key, alpha)| (key.to_string(), alpha_value(alpha))).collect();
    let mut value = json!({
        "alpha_pattern": alphas,
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "exclude_modules": config.exclude_modules,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layer_replication": null,
        "layers_pattern": list_or_null(&config.layers_pattern),
        "layers_to_transform": list_or_null(&config.layers_to_transform),
        "loftq_config": {},
        "lora_alpha": alpha_value(config.lora_alpha),
        // The shortest decimal of the f32, not the f64 nearest to it.
        "lora_dropout": config.lora_dropout.to_string().parse::<f64>().unwrap_or_default(),
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": list_or_null(&config.modules_to_save),
        "peft_type": "LORA",
        "r": config.r,
        "rank_pattern": config.rank_pattern,
        "revision": null,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
        "use_dora": config.use_dora,
        "use_rslora": config.use_rslora,
    });
    // Older releases of PEFT do not know these.
    for (setting, on) in
        [("lora_bias", config.lora_bias), ("ensure_weight_tying", config.ensure_weight_tying)]
    {
        if on {
            value[setting] = json!(true);
        }
    }
    format!("{value:#}\n")
}

/// PEFT declares alphas integers; a fraction is written as it is, in the shortest decimal.
fn alpha_value(alpha: f32) -> Value {
    if alpha.fract() == 0.0 {
        json!(alpha as i64)
    } else {
        json!(alpha.to_string().parse::<f64>().unwrap_or_default())
    }
}

fn list_or_null<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::ModuleSet;

    fn read_with(field: &str, value: Value) -> Result<LoraConfig, LoraError> {
        let text = write(&LoraConfig::default(), &["m.q_proj".into()], None);
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object[field] = value;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        Ok(read(file.path())?.config)
    }

    #[test]
    fn features_this_crate_lacks_are_refused_by_name() {
        for (field, value, word) in [
            ("use_qalora", json!(true), "QA-LoRA"),
            ("layer_replication", json!([[0, 1]]), "`layer_replication`"),
            ("bias", json!("some"), "`bias` is \"some\""),
            ("peft_type", json!("IA3"), "`peft_type` is \"IA3\""),
            ("init_lora_weights", json!("pissa"), "`init_lora_weights` is \"pissa\""),
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
    fn what_is_left_out_or_unknown_is_as_peft_has_it_and_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"target_modules": null, "lora_dropout": 0, "new": NaN, "newer": 3}"#)
            .unwrap();
        let LoadedAdapter { config, notes } = read(file.path()).unwrap();
        assert_eq!(config.target_modules, Targets::Names(vec!["q_proj".into(), "v_proj".into()]));
        let said: Vec<String> = notes.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("NaN or Infinity, read as null"), "{said:?}");
        assert!(said[1].contains("`newer`") && !said[1].contains("`new`"), "{said:?}");
        assert!(said[2].contains("q_proj and v_proj"), "{said:?}");
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn settings_survive_writing_and_reading() {
        let config = LoraConfig {
            r: 64,
            lora_alpha: 16.0,
            lora_dropout: 0.1,
            use_rslora: true,
            use_dora: true,
            target_modules: Targets::Names(vec!["q_proj".into(), "v_proj".into()]),
            exclude_modules: Some(ModuleSet::Regex(r".*\.7\..*".into())),
            layers_to_transform: vec![3, 1],
            layers_pattern: vec!["layers".into()],
            // Not in alphabetical order: the first that matches counts.
            rank_pattern: [("v_proj".to_string(), 4), ("1.*q_proj".to_string(), 2)].into_iter().collect(),
            alpha_pattern: [("v_proj".to_string(), 0.1)].into_iter().collect(),
            modules_to_save: vec!["lm_head".into()],
            ..LoraConfig::default()
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), write(&config, &[], Some("base"))).unwrap();
        assert_eq!(read(file.path()).unwrap().config, config);
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
