//! What a tie says.

use serde::{Deserialize, Serialize};

/// What a tie says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Half a win for each, as FastChat counts them.
    #[default]
    Half,
    /// An outcome of its own: P(i wins) = πᵢ / (πᵢ + ν πⱼ) with ν ≥ 1 fitted (Rao and Kupper 1967).
    RaoKupper,
    /// An outcome of its own: P(tie) = ν √(πᵢπⱼ) / (πᵢ + πⱼ + ν √(πᵢπⱼ)) with ν fitted (Davidson 1970).
    Davidson,
    /// Nothing: ties are left out.
    Skip,
}

impl Ties {
    /// The name of a model of ties with a parameter of its own.
    pub(crate) fn model_name(self) -> Option<&'static str> {
        match self {
            Ties::RaoKupper => Some("rao-kupper"),
            Ties::Davidson => Some("davidson"),
            Ties::Half | Ties::Skip => None,
        }
    }
}
