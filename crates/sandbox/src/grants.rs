//! What the kernel grants, found by trying.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Limits, Outcome, Program, SandboxError, isolated, launch, processes};

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

    pub(super) fn probe() -> Self {
        let missing = launch::missing_tools();
        if !missing.is_empty() {
            let told = format!("not found: {}", missing.join(", "));
            return Self::refused("namespaces", told);
        }
        match try_out("exit 0\n", Limits::default()) {
            Ok(Outcome::Passed) => {}
            Ok(other) => return Self::refused("namespaces", format!("`exit 0` ended as {other:?}")),
            Err(SandboxError::SetUp { stage, told }) => return Self::refused(&stage, told),
            Err(other) => return Self::refused("namespaces", other.to_string()),
        }
        let mut refusals = Vec::new();
        if let Some(told) = unlimited_processes() {
            refusals.push(Refusal { what: "a limit on processes".into(), told });
        }
        if let Err(error) = processes::children(std::process::id()) {
            let told = format!("/proc lists no children of a process: {error}");
            refusals.push(Refusal { what: "a limit on the memory of all processes".into(), told });
        }
        Self { isolated: true, refusals }
    }

    fn refused(what: &str, told: String) -> Self {
        Self { isolated: false, refusals: vec![Refusal { what: what.into(), told }] }
    }
}

/// A shell that may have two processes starts three more. Where the limit holds, it can not
/// (some shells then fail, others try again until their time is up).
fn unlimited_processes() -> Option<String> {
    let limits = Limits { processes: 2, wall_seconds: 2.0, ..Limits::default() };
    let outcome = try_out("sleep 9 & sleep 9 & sleep 9 & exit 0\n", limits);
    match outcome {
        Ok(Outcome::Failed { .. } | Outcome::TimedOut) => None,
        Ok(Outcome::Passed) => Some("a program started more processes than it may".into()),
        Ok(other) => Some(format!("trying it ended as {other:?}")),
        Err(error) => Some(error.to_string()),
    }
}

fn try_out(source: &str, limits: Limits) -> Result<Outcome, SandboxError> {
    isolated::run(&Program::new(["sh"], "try.sh", source), &limits, &[])
}
