//! The settings of an adapter, with PEFT's names and meanings.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::LoraError;
use crate::layer_pattern::LayerPattern;
use crate::python_regex::PythonRegex;
use crate::targets::{Choice, ModuleSet, Targets};

/// Settings of a LoRA adapter, with PEFT's names and meanings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the update. Default 8.
    pub r: usize,
    /// Numerator of the scale. Default 8.
    pub lora_alpha: f32,
    /// Probability that an input of the adapter is dropped in training. Default 0.
    pub lora_dropout: f32,
    /// Scale by α/√r instead of α/r (Kalajdzievski 2023). Default false.
    pub use_rslora: bool,
    /// Train each output's magnitude apart from its direction (DoRA, Liu et al. 2024). Default false.
    #[serde(skip_serializing_if = "is_off")]
    pub use_dora: bool,
    /// A bias on the output of `B`, scaled as the update is. Default false.
    #[serde(skip_serializing_if = "is_off")]
    pub lora_bias: bool,
    /// Layers that get an adapter. Default `all-linear`. A name or a pattern may also choose
    /// `lm_head` and `embed_tokens`.
    pub target_modules: Targets,
    /// Modules that get none although `target_modules` chooses them. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_modules: Option<ModuleSet>,
    /// Numbers of the decoder blocks that are adapted; empty stands for all. Needs
    /// `target_modules` to be a list or `all-linear`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub layers_to_transform: Vec<usize>,
    /// Names (patterns) of the list of blocks that `layers_to_transform` counts; empty stands for
    /// any.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub layers_pattern: Vec<String>,
    /// Ranks of layers that differ from `r`.
    #[serde(skip_serializing_if = "LayerPattern::is_empty")]
    pub rank_pattern: LayerPattern<usize>,
    /// Numerators of layers that differ from `lora_alpha`.
    #[serde(skip_serializing_if = "LayerPattern::is_empty")]
    pub alpha_pattern: LayerPattern<f32>,
    /// Modules trained whole and stored beside the factors: every module whose path ends in one of
    /// these, such as `lm_head`, `embed_tokens`, `norm`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "many_or_none")]
    pub modules_to_save: Vec<String>,
    /// Keep head and embedding one where the base ties them, though `modules_to_save` names one
    /// of them. Default false: they go apart, as in PEFT.
    #[serde(skip_serializing_if = "is_off")]
    pub ensure_weight_tying: bool,
}

fn is_off(switch: &bool) -> bool {
    !switch
}

/// A value, a list of them, or `null`.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(match Option::<OneOrMany<T>>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(value)) => vec![value],
        Some(OneOrMany::Many(values)) => values,
    })
}

/// A list or `null`.
fn many_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            use_rslora: false,
            use_dora: false,
            lora_bias: false,
            target_modules: Targets::AllLinear,
            exclude_modules: None,
            layers_to_transform: Vec::new(),
            layers_pattern: Vec::new(),
            rank_pattern: LayerPattern::default(),
            alpha_pattern: LayerPattern::default(),
            modules_to_save: Vec::new(),
            ensure_weight_tying: false,
        }
    }
}

/// Rank and scale of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerSettings {
    /// Rank.
    pub r: usize,
    /// Factor on `B·A`.
    pub scale: f32,
}

impl LoraConfig {
    /// Factor on `B·A`: α/r, or α/√r with rsLoRA.
    pub fn scale(&self) -> f32 {
        self.scale_of(self.r, self.lora_alpha)
    }

    fn scale_of(&self, r: usize, alpha: f32) -> f32 {
        let r = r as f32;
        alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Rank and scale of the layer at `path`, patterns heeded.
    ///
    /// # Errors
    /// When a pattern is not a regular expression.
    pub fn layer(&self, path: &str) -> Result<LayerSettings, LoraError> {
        let r = self.rank_pattern.get("rank_pattern", path)?.unwrap_or(self.r);
        let alpha = self.alpha_pattern.get("alpha_pattern", path)?.unwrap_or(self.lora_alpha);
        Ok(LayerSettings { r, scale: self.scale_of(r, alpha) })
    }

    /// Parameters of an adapter on the layer of this path and shape.
    ///
    /// # Errors
    /// As [`LoraConfig::layer`].
    pub fn parameters_for(
        &self,
        path: &str,
        out_features: usize,
        in_features: usize,
    ) -> Result<usize, LoraError> {
        let vectors = usize::from(self.use_dora) + usize::from(self.lora_bias);
        Ok(self.layer(path)?.r * (out_features + in_features) + vectors * out_features)
    }

    /// Which of the linear layers and of `others` (embedding, head) get factors.
    ///
    /// # Errors
    /// When a pattern is not a regular expression, or nothing is chosen.
    pub fn choose(&self, linears: &[String], others: &[String]) -> Result<Choice, LoraError> {
        let Choice { paths, unmatched } = self.target_modules.among(linears, others)?;
        let excluded = match &self.exclude_modules {
            Some(set) => set.matches("exclude_modules", &paths)?,
            None => vec![false; paths.len()],
        };
        let mut chosen = Vec::new();
        for (path, excluded) in paths.into_iter().zip(excluded) {
            if !excluded && !self.contains_saved(&path) && self.counts_layer(&path)? {
                chosen.push(path);
            }
        }
        if chosen.is_empty() {
            return Err(LoraError::NothingLeft);
        }
        Ok(Choice { paths: chosen, unmatched })
    }

    /// Whether a name of `modules_to_save` stands in the path: such a module is trained whole and
    /// never gets factors.
    fn contains_saved(&self, path: &str) -> bool {
        let path = format!(".{path}.");
        self.modules_to_save.iter().any(|name| path.contains(&format!(".{name}.")))
    }

    /// Whether the module at `path`, or one that it lies in, is trained and stored whole.
    pub fn saves(&self, path: &str) -> bool {
        self.modules_to_save.iter().any(|name| !name.is_empty() && within(path, name))
    }

    /// Whether `layers_to_transform` lets the path's block take part.
    fn counts_layer(&self, path: &str) -> Result<bool, LoraError> {
        if self.layers_to_transform.is_empty() {
            return Ok(true);
        }
        let number = self.layer_number(path)?;
        Ok(number.is_some_and(|number| self.layers_to_transform.contains(&number)))
    }

    /// The first number that stands for a block in the path.
    fn layer_number(&self, path: &str) -> Result<Option<usize>, LoraError> {
        let any = [r"[^.]*".to_string()];
        // Without a name the list of blocks lies in some module; a name may be the first.
        let (before, patterns) = if self.layers_pattern.is_empty() {
            (r".*?\.", &any[..])
        } else {
            ("(?:.*?\\.)?", &self.layers_pattern[..])
        };
        for pattern in patterns {
            let fails =
                |problem| LoraError::Pattern { setting: "layers_pattern", pattern: pattern.clone(), problem };
            let regex = PythonRegex::around(&format!(r"\A{before}(?:"), pattern, r")\.(?P<idx>\d+)\.")
                .map_err(fails)?;
            if let Some(found) = regex.captures(path).map_err(fails)? {
                return Ok(found.name("idx").and_then(|number| number.as_str().parse().ok()));
            }
        }
        Ok(None)
    }

    /// Checks every number against its range, every pattern, and what belongs together.
    ///
    /// # Errors
    /// Names the setting, its value and the range.
    pub fn check(&self) -> Result<(), LoraError> {
        let wrong = |setting, found: String, expected| Err(LoraError::Setting { setting, found, expected });
        let positive = |alpha: f32| alpha.is_finite() && alpha > 0.0;
        if self.r == 0 {
            return wrong("r", "0".into(), "at least 1");
        }
        if !positive(self.lora_alpha) {
            return wrong("lora_alpha", self.lora_alpha.to_string(), "a positive number");
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return wrong("lora_dropout", self.lora_dropout.to_string(), "a number in 0..1");
        }
        if let Some((key, _)) = self.rank_pattern.entries().find(|(_, r)| *r == 0) {
            return wrong("rank_pattern", format!("0 for `{key}`"), "ranks of at least 1");
        }
        if let Some((key, alpha)) = self.alpha_pattern.entries().find(|(_, alpha)| !positive(*alpha)) {
            return wrong("alpha_pattern", format!("{alpha} for `{key}`"), "positive numbers");
        }
        if self.use_dora && self.lora_bias {
            return wrong("lora_bias", "true".into(), "false together with use_dora");
        }
        if matches!(self.target_modules, Targets::Regex(_)) && !self.layers_to_transform.is_empty() {
            let found = format!("{:?}", self.layers_to_transform);
            return wrong("layers_to_transform", found, "none when target_modules is a pattern");
        }
        if !self.layers_pattern.is_empty() && self.layers_to_transform.is_empty() {
            return wrong("layers_to_transform", "absent".into(), "numbers, since layers_pattern is given");
        }
        // Patterns are compiled where they are used; here they only have to be some.
        self.layer("")?;
        self.layer_number("")?;
        if let Targets::Regex(pattern) = &self.target_modules {
            ModuleSet::Regex(pattern.clone()).matches("target_modules", &[])?;
        }
        self.exclude_modules.as_ref().map_or(Ok(Vec::new()), |set| set.matches("exclude_modules", &[]))?;
        Ok(())
    }
}

/// Whether the path of a module, or of one that it lies in, ends in `name`.
fn within(path: &str, name: &str) -> bool {
    path.ends_with(name) || path.match_indices('.').any(|(dot, _)| path[..dot].ends_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Vec<String> {
        ["q_proj", "v_proj", "up_proj"]
            .iter()
            .flat_map(|n| (0..12).map(move |l| format!("model.layers.{l}.self_attn.{n}")))
            .collect()
    }

    fn chosen(toml: serde_json::Value) -> Result<Vec<String>, LoraError> {
        let config: LoraConfig = serde_json::from_value(toml).unwrap();
        config.check()?;
        Ok(config.choose(&paths(), &["lm_head".into(), "model.embed_tokens".into()])?.paths)
    }

    #[test]
    fn scale_is_alpha_over_r_or_over_its_root() {
        let mut c = LoraConfig { r: 16, lora_alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(c.scale(), 0.5);
        c.use_rslora = true;
        assert_eq!(c.scale(), 2.0);
    }

    #[test]
    fn rank_and_alpha_of_a_layer_come_from_the_patterns() {
        let config: LoraConfig = serde_json::from_value(serde_json::json!({
            "r": 4, "lora_alpha": 8, "rank_pattern": {"q_proj": 16, r"layers\.1\..*": 2},
            "alpha_pattern": {"up_proj": 32}
        }))
        .unwrap();
        let of = |path| config.layer(path).unwrap();
        assert_eq!(of("model.layers.1.self_attn.q_proj"), LayerSettings { r: 16, scale: 0.5 });
        assert_eq!(of("model.layers.1.self_attn.up_proj"), LayerSettings { r: 2, scale: 16.0 });
        assert_eq!(of("model.layers.0.self_attn.v_proj"), LayerSettings { r: 4, scale: 2.0 });
        assert_eq!(config.parameters_for("model.layers.0.self_attn.q_proj", 3, 5).unwrap(), 128);
    }

    #[test]
    fn exclusions_take_modules_away_by_name_or_pattern() {
        use serde_json::json;
        let q = |l: usize| format!("model.layers.{l}.self_attn.q_proj");
        let all = chosen(json!({"target_modules": ["q_proj"]})).unwrap();
        assert_eq!(all.len(), 12);
        let without = chosen(json!({"target_modules": ["q_proj"], "exclude_modules": [q(3)]})).unwrap();
        assert!(without.len() == 11 && !without.contains(&q(3)));
        let pattern = json!({"target_modules": "all-linear", "exclude_modules": r".*layers\.(\d|10)\..*"});
        assert_eq!(chosen(pattern).unwrap().len(), 3);
        let none = chosen(json!({"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]}));
        assert!(none.unwrap_err().to_string().contains("leave no layer"));
    }

    #[test]
    fn blocks_are_chosen_by_number() {
        use serde_json::json;
        let of = |extra: serde_json::Value| {
            let mut all = json!({"target_modules": ["q_proj", "lm_head"]});
            all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            chosen(all)
        };
        let q = |l: usize| format!("model.layers.{l}.self_attn.q_proj");
        assert_eq!(of(json!({"layers_to_transform": 1})).unwrap(), [q(1)]);
        assert_eq!(of(json!({"layers_to_transform": [11, 0]})).unwrap(), [q(0), q(11)]);
        assert_eq!(of(json!({"layers_to_transform": []})).unwrap().len(), 13);
        let named = json!({"layers_to_transform": [2], "layers_pattern": "layers"});
        assert_eq!(of(named).unwrap(), [q(2)]);
        let named = json!({"layers_to_transform": [2], "layers_pattern": ["h", "lay.*s"]});
        assert_eq!(of(named).unwrap(), [q(2)]);
        assert!(of(json!({"layers_to_transform": [2], "layers_pattern": ["h"]})).is_err());
        assert!(of(json!({"layers_pattern": ["layers"]})).is_err());
        assert!(chosen(json!({"target_modules": ".*q_proj", "layers_to_transform": 1})).is_err());
    }

    #[test]
    fn modules_saved_whole_are_found_by_their_end_and_get_no_factors() {
        let config =
            LoraConfig { modules_to_save: vec!["norm".into(), "mlp".into()], ..LoraConfig::default() };
        for path in ["model.norm", "model.layers.0.input_layernorm", "model.layers.0.mlp.up_proj"] {
            assert!(config.saves(path), "{path}");
        }
        assert!(!config.saves("model.layers.0.self_attn.q_proj") && !config.saves("lm_head"));
        use serde_json::json;
        let both = json!({"target_modules": ["q_proj", "lm_head"], "modules_to_save": ["lm_head"]});
        assert_eq!(chosen(both).unwrap().len(), 12);
    }

    #[test]
    fn settings_at_their_defaults_are_not_written() {
        let text = serde_json::to_string(&LoraConfig::default()).unwrap();
        let expected =
            r#"{"r":8,"lora_alpha":8.0,"lora_dropout":0.0,"use_rslora":false,"target_modules":"all-linear"}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let pattern = |r| [("q".to_string(), r)].into_iter().collect();
        for (config, name) in [
            (LoraConfig { r: 0, ..LoraConfig::default() }, "`r`"),
            (LoraConfig { lora_alpha: f32::NAN, ..LoraConfig::default() }, "`lora_alpha`"),
            (LoraConfig { lora_dropout: 1.0, ..LoraConfig::default() }, "`lora_dropout`"),
            (LoraConfig { rank_pattern: pattern(0), ..LoraConfig::default() }, "`rank_pattern`"),
            (LoraConfig { use_dora: true, lora_bias: true, ..LoraConfig::default() }, "`lora_bias`"),
            (
                LoraConfig { exclude_modules: Some(ModuleSet::Regex("(".into())), ..LoraConfig::default() },
                "exclude_modules",
            ),
        ] {
            assert!(config.check().unwrap_err().to_string().contains(name));
        }
    }
}
