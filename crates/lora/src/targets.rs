//! Which modules an adapter goes on.

use serde::{Deserialize, Serialize};

use crate::error::{LoraError, shortened};
use crate::python_regex::PythonRegex;

/// The layers an adapter goes on, chosen as PEFT does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TextOrNames", into = "TextOrNames")]
pub enum Targets {
    /// Every linear layer but the head.
    AllLinear,
    /// Modules whose whole path matches this regular expression (Python's).
    Regex(String),
    /// Modules whose path is one of these names or ends in `.` and one of them.
    Names(Vec<String>),
}

/// Modules chosen by a regular expression or by names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TextOrNames", into = "TextOrNames")]
pub enum ModuleSet {
    /// Modules whose whole path matches this regular expression (Python's).
    Regex(String),
    /// Modules whose path is one of these names or ends in `.` and one of them.
    Names(Vec<String>),
}

/// PEFT's form: a string is `all-linear` or a pattern, a list holds names.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TextOrNames {
    Text(String),
    Names(Vec<String>),
}

impl From<TextOrNames> for Targets {
    fn from(stored: TextOrNames) -> Self {
        match stored {
            TextOrNames::Text(t) if t.eq_ignore_ascii_case("all-linear") => Self::AllLinear,
            TextOrNames::Text(t) => Self::Regex(t),
            TextOrNames::Names(names) => Self::Names(names),
        }
    }
}

impl From<Targets> for TextOrNames {
    fn from(targets: Targets) -> Self {
        match targets {
            Targets::AllLinear => Self::Text("all-linear".into()),
            Targets::Regex(pattern) => Self::Text(pattern),
            Targets::Names(names) => Self::Names(names),
        }
    }
}

impl From<TextOrNames> for ModuleSet {
    fn from(stored: TextOrNames) -> Self {
        match stored {
            TextOrNames::Text(pattern) => Self::Regex(pattern),
            TextOrNames::Names(names) => Self::Names(names),
        }
    }
}

impl From<ModuleSet> for TextOrNames {
    fn from(set: ModuleSet) -> Self {
        match set {
            ModuleSet::Regex(pattern) => Self::Text(pattern),
            ModuleSet::Names(names) => Self::Names(names),
        }
    }
}

impl ModuleSet {
    /// For each of `paths`, whether it belongs to the set.
    ///
    /// # Errors
    /// When the pattern is not a regular expression; `setting` is its field in messages.
    pub(crate) fn matches(&self, setting: &'static str, paths: &[String]) -> Result<Vec<bool>, LoraError> {
        match self {
            Self::Names(names) => {
                Ok(paths.iter().map(|path| names.iter().any(|name| ends_in(path, name))).collect())
            }
            Self::Regex(pattern) => {
                let fails = |problem| LoraError::Pattern { setting, pattern: pattern.clone(), problem };
                let whole = PythonRegex::full(pattern).map_err(fails)?;
                paths.iter().map(|path| whole.is_match(path).map_err(fails)).collect()
            }
        }
    }
}

/// What [`Targets`] choose among the modules of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Paths that are chosen, in the model's order.
    pub paths: Vec<String>,
    /// Names of the list that no module bears.
    pub unmatched: Vec<String>,
}

impl Targets {
    /// The paths among `paths` that these targets choose, in the given order.
    ///
    /// # Errors
    /// When the pattern is not a regular expression, or a name or pattern
    /// matches nothing: a misspelt target must not go unnoticed.
    pub fn choose(&self, paths: &[String]) -> Result<Vec<String>, LoraError> {
        self.among(paths, &[])?.all_matched(paths)
    }

    /// What these targets choose among the linear layers and `others`, the modules besides
    /// (embedding, head), which only a name or a pattern reaches.
    ///
    /// # Errors
    /// When the pattern is not a regular expression, or nothing is chosen.
    pub(crate) fn among(&self, linears: &[String], others: &[String]) -> Result<Choice, LoraError> {
        let all = [linears, others].concat();
        let (chosen, unmatched) = match self {
            Self::AllLinear => ((0..all.len()).map(|i| i < linears.len()).collect(), Vec::new()),
            Self::Regex(pattern) => {
                (ModuleSet::Regex(pattern.clone()).matches("target_modules", &all)?, Vec::new())
            }
            Self::Names(names) => {
                let missing = |name: &&String| !all.iter().any(|path| ends_in(path, name));
                let unmatched = names.iter().filter(missing).cloned().collect();
                (ModuleSet::Names(names.clone()).matches("target_modules", &all)?, unmatched)
            }
        };
        let paths: Vec<String> = all.iter().zip(chosen).filter(|(_, c)| *c).map(|(p, _)| p.clone()).collect();
        if paths.is_empty() {
            return Err(self.nothing_matches(&all));
        }
        Ok(Choice { paths, unmatched })
    }

    fn nothing_matches(&self, paths: &[String]) -> LoraError {
        let target = match self {
            Self::AllLinear => "all-linear".to_string(),
            Self::Regex(pattern) => shortened(pattern),
            Self::Names(names) => names.join("`, `"),
        };
        LoraError::NoMatch { target, available: last_names(paths).join(", ") }
    }
}

impl Choice {
    /// The chosen paths, when every name of the list has found a module.
    pub(crate) fn all_matched(self, available: &[String]) -> Result<Vec<String>, LoraError> {
        match self.unmatched.first() {
            None => Ok(self.paths),
            Some(name) => {
                Err(LoraError::NoMatch { target: name.clone(), available: last_names(available).join(", ") })
            }
        }
    }
}

/// Whether `path` is `name` or ends in a dot and it.
pub(crate) fn ends_in(path: &str, name: &str) -> bool {
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
    fn a_wrong_pattern_is_told_once_and_shortly() {
        let t = Targets::Regex(format!("({}", "a_long_name|".repeat(50)));
        let error = t.choose(&paths()).unwrap_err();
        let message = error.to_string();
        assert!(message.len() < 250 && !message.contains('\n'), "{message}");
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn stored_forms_are_those_of_peft() {
        let read = |s: &str| serde_json::from_str::<Targets>(s).unwrap();
        assert_eq!(read("\"all-linear\""), Targets::AllLinear);
        assert_eq!(read("\".*q_proj\""), Targets::Regex(".*q_proj".into()));
        assert_eq!(read("[\"q_proj\"]"), Targets::Names(vec!["q_proj".into()]));
        assert_eq!(serde_json::to_string(&Targets::AllLinear).unwrap(), "\"all-linear\"");
    }
}
