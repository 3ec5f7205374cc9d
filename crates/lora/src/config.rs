//! Which layers get an adapter, of what rank and scale.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::error::LoraError;

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
    /// Layers that get an adapter. Default `all-linear`.
    pub target_modules: Targets,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            use_rslora: false,
            target_modules: Targets::AllLinear,
        }
    }
}

impl LoraConfig {
    /// Factor on `B·A`: α/r, or α/√r with rsLoRA.
    pub fn scale(&self) -> f32 {
        let r = self.r as f32;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Parameters of an adapter on a layer of this shape.
    pub fn parameters_for(&self, out_features: usize, in_features: usize) -> usize {
        self.r * (out_features + in_features)
    }

    /// Checks every number against its range.
    ///
    /// # Errors
    /// Names the setting, its value and the range.
    pub fn check(&self) -> Result<(), LoraError> {
        let wrong = |setting, found: String, expected| Err(LoraError::Setting { setting, found, expected });
        if self.r == 0 {
            return wrong("r", "0".into(), "at least 1");
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            return wrong("lora_alpha", self.lora_alpha.to_string(), "a positive number");
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return wrong("lora_dropout", self.lora_dropout.to_string(), "a number in 0..1");
        }
        Ok(())
    }
}

/// The layers an adapter goes on, chosen as PEFT does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub enum Targets {
    /// Every linear layer but the head.
    AllLinear,
    /// Layers whose whole path matches this regular expression.
    Regex(String),
    /// Layers whose path is one of these names or ends in `.` and one of them.
    Names(Vec<String>),
}

/// PEFT's form: a string is `all-linear` or a pattern, a list holds names.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Names(Vec<String>),
}

impl From<Stored> for Targets {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(t) if t.eq_ignore_ascii_case("all-linear") => Self::AllLinear,
            Stored::Text(t) => Self::Regex(t),
            Stored::Names(names) => Self::Names(names),
        }
    }
}

impl From<Targets> for Stored {
    fn from(targets: Targets) -> Self {
        match targets {
            Targets::AllLinear => Self::Text("all-linear".into()),
            Targets::Regex(pattern) => Self::Text(pattern),
            Targets::Names(names) => Self::Names(names),
        }
    }
}

impl Targets {
    /// The paths among `paths` that these targets choose, in the given order.
    ///
    /// # Errors
    /// When the pattern is not a regular expression, or a name or pattern
    /// matches nothing: a misspelt target must not go unnoticed.
    pub fn choose(&self, paths: &[String]) -> Result<Vec<String>, LoraError> {
        let no_match = |target: &str| LoraError::NoMatch {
            target: target.to_string(),
            available: last_names(paths).join(", "),
        };
        let keep = |f: &dyn Fn(&str) -> bool| paths.iter().filter(|p| f(p)).cloned().collect();
        let chosen: Vec<String> = match self {
            Self::AllLinear => paths.to_vec(),
            Self::Regex(pattern) => {
                // PEFT uses `re.fullmatch`.
                let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|source| LoraError::Pattern {
                    pattern: pattern.clone(),
                    source: Box::new(source),
                })?;
                keep(&|path| whole.is_match(path))
            }
            Self::Names(names) => {
                for name in names {
                    if !paths.iter().any(|path| ends_in(path, name)) {
                        return Err(no_match(name));
                    }
                }
                keep(&|path| names.iter().any(|name| ends_in(path, name)))
            }
        };
        if chosen.is_empty() {
            return Err(match self {
                Self::AllLinear => no_match("all-linear"),
                Self::Regex(pattern) => no_match(pattern),
                Self::Names(names) => no_match(&format!("{names:?}")),
            });
        }
        Ok(chosen)
    }
}

fn ends_in(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The last components of the paths, sorted, each once: `down_proj`, `gate_proj`, …
pub(crate) fn last_names(paths: &[String]) -> Vec<String> {
    let names: std::collections::BTreeSet<_> =
        paths.iter().map(|p| p.rsplit('.').next().unwrap_or(p).to_string()).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Vec<String> {
        ["q_proj", "v_proj", "up_proj"]
            .iter()
            .flat_map(|n| (0..2).map(move |l| format!("model.layers.{l}.self_attn.{n}")))
            .collect()
    }

    #[test]
    fn names_match_whole_path_components_only() {
        let t = Targets::Names(vec!["q_proj".into()]);
        assert_eq!(t.choose(&paths()).unwrap().len(), 2);
        // "proj" is the end of every path, but no component.
        let t = Targets::Names(vec!["proj".into()]);
        assert!(t.choose(&paths()).is_err());
        let t = Targets::Names(vec!["model.layers.1.self_attn.up_proj".into()]);
        assert_eq!(t.choose(&paths()).unwrap(), ["model.layers.1.self_attn.up_proj"]);
    }

    #[test]
    fn patterns_must_match_the_whole_path() {
        let t = Targets::Regex(r".*\.(q|v)_proj".into());
        assert_eq!(t.choose(&paths()).unwrap().len(), 4);
        assert!(Targets::Regex("q_proj".into()).choose(&paths()).is_err());
        // Alternation binds inside the anchors.
        assert!(Targets::Regex("x|q_proj".into()).choose(&paths()).is_err());
    }

    #[test]
    fn a_target_without_a_layer_is_named_beside_the_layers_there_are() {
        let t = Targets::Names(vec!["q_proj".into(), "k_porj".into()]);
        let message = t.choose(&paths()).unwrap_err().to_string();
        assert!(message.contains("`k_porj`"), "{message}");
        assert!(message.contains("q_proj, up_proj, v_proj"), "{message}");
    }

    #[test]
    fn stored_forms_are_those_of_peft() {
        let read = |s: &str| serde_json::from_str::<Targets>(s).unwrap();
        assert_eq!(read("\"all-linear\""), Targets::AllLinear);
        assert_eq!(read("\".*q_proj\""), Targets::Regex(".*q_proj".into()));
        assert_eq!(read("[\"q_proj\"]"), Targets::Names(vec!["q_proj".into()]));
        assert_eq!(serde_json::to_string(&Targets::AllLinear).unwrap(), "\"all-linear\"");
    }

    #[test]
    fn scale_is_alpha_over_r_or_over_its_root() {
        let mut c = LoraConfig { r: 16, lora_alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(c.scale(), 0.5);
        c.use_rslora = true;
        assert_eq!(c.scale(), 2.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (config, name) in [
            (LoraConfig { r: 0, ..LoraConfig::default() }, "`r`"),
            (LoraConfig { lora_alpha: f32::NAN, ..LoraConfig::default() }, "`lora_alpha`"),
            (LoraConfig { lora_dropout: 1.0, ..LoraConfig::default() }, "`lora_dropout`"),
        ] {
            assert!(config.check().unwrap_err().to_string().contains(name));
        }
    }
}
