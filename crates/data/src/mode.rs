//! Whose rules a step of Vicuna's data pipeline keeps.

use serde::{Deserialize, Serialize};

/// Whose rules a step of Vicuna's data pipeline keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// FastChat's own, to the byte, with what they lose.
    FastchatExact,
    /// What was meant by them.
    #[default]
    Correct,
}
