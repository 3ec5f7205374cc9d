//! What an adapter's files say that the model does not follow to the letter.

use std::fmt;

/// Something that was left out or taken otherwise than the files say, in one line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeftNote {
    /// Names of `target_modules` that the model does not have.
    TargetsWithoutModule(Vec<String>),
    /// Names of `modules_to_save` that the model does not have.
    SavesWithoutModule(Vec<String>),
    /// Modules that the settings choose and for which the file holds no factors: they stay as the
    /// base has them.
    ModulesWithoutFactors(Vec<String>),
    /// Modules for which the file brings a weight that differs from the base's, though the settings
    /// do not say so: it takes the place of the base's.
    BringsWeights(Vec<String>),
    /// Tensors of the file for which the settings or the model have no place.
    TensorsLeftOut {
        /// Their names.
        names: Vec<String>,
        /// Why.
        why: &'static str,
    },
    /// The file holds several adapters, of which one is loaded.
    OneOfSeveral {
        /// The one.
        taken: String,
        /// The others.
        left: Vec<String>,
    },
    /// Settings that are not known here.
    UnknownSettings(Vec<String>),
    /// No `target_modules` are given.
    UsualTargets,
    /// A value that JSON does not have.
    OddJson(String),
    /// A setting without meaning for linear layers.
    SettingWithoutEffect {
        /// The setting.
        setting: &'static str,
        /// Why it changes nothing.
        why: &'static str,
    },
}

impl fmt::Display for PeftNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetsWithoutModule(names) => {
                write!(f, "target_modules: the model has no {}; ignored", listed(names))
            }
            Self::SavesWithoutModule(names) => {
                write!(f, "modules_to_save: the model has no {}; ignored", listed(names))
            }
            Self::ModulesWithoutFactors(paths) => write!(
                f,
                "the file holds no factors for {}, which target_modules chooses: left as in the base",
                listed(paths)
            ),
            Self::BringsWeights(paths) => {
                write!(
                    f,
                    "the file brings its own weight of {}, which is used instead of the base's",
                    listed(paths)
                )
            }
            Self::TensorsLeftOut { names, why } => {
                write!(f, "{} tensors of the file are ignored, {why}: {}", names.len(), listed(names))
            }
            Self::OneOfSeveral { taken, left } => {
                write!(f, "the file holds several adapters: `{taken}` is loaded, not {}", listed(left))
            }
            Self::UnknownSettings(names) => write!(f, "{}: unknown here and ignored", listed(names)),
            Self::UsualTargets => f.write_str(
                "target_modules is not given: q_proj and v_proj are adapted, PEFT's choice for LLaMA",
            ),
            Self::OddJson(what) => write!(f, "{what}"),
            Self::SettingWithoutEffect { setting, why } => write!(f, "`{setting}` is ignored: {why}"),
        }
    }
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|i| format!("m{i}")).collect();
        let line = PeftNote::TargetsWithoutModule(names).to_string();
        assert_eq!(line, "target_modules: the model has no `m0`, `m1`, `m2`, `m3` and 3 more; ignored");
    }
}
