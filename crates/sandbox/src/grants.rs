//! What the kernel grants.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the kernel grants to programs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Programs get namespaces of their own: no network, no files but the system's programs and
    /// an empty directory, and nothing outlives them.
    pub isolated: bool,
    /// What was refused; empty where nothing was.
    pub refusals: Vec<Refusal>,
}

/// Something that the kernel or the system does not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What was asked for.
    pub what: String,
    /// The answer, in the words of who gave it.
    pub told: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.told)
    }
}

impl Grants {
    /// Whether nothing was refused.
    pub fn complete(&self) -> bool {
        self.isolated && self.refusals.is_empty()
    }

    pub(super) fn refused(what: &str, told: String) -> Self {
        Self { isolated: false, refusals: vec![Refusal { what: what.into(), told }] }
    }
}
