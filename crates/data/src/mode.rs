//! Whose rules a step of Vicuna's data pipeline keeps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose rules a step of Vicuna's data pipeline keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// FastChat's own output to the byte (0.2.36, with markdownify 0.11.6), with its faults and what
    /// it loses.
    FastchatExact,
    /// What was meant: code, generics, underscores, formulas and tables survive, blocked words are whole
    /// words, near-duplicates are found, and splitting loses nothing.
    #[default]
    Correct,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 2] = [Mode::Correct, Mode::FastchatExact];

    /// Its name on the command line and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FastchatExact => "fastchat-exact",
            Self::Correct => "correct",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or_else(|| {
            format!("\"{name}\" is no mode; it is one of {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}
