//! What a sandbox needs of the system it stands on.

use std::path::PathBuf;

#[cfg(not(target_os = "linux"))]
pub(super) use super::elsewhere::Here;
#[cfg(target_os = "linux")]
pub(super) use super::linux::Here;
use super::{Grants, Limits, Outcome, Program, SandboxError};

/// A system; the one of this build is [`Here`].
pub(super) trait System {
    /// Whether programs can be run at all, isolated or not.
    fn ready() -> Result<(), SandboxError>;

    /// What it grants, found by trying.
    fn probe() -> Grants;

    /// Runs a program to its end; isolated, it may read `readable` beside the system's directories.
    fn run(
        program: &Program,
        limits: &Limits,
        readable: &[PathBuf],
        isolated: bool,
    ) -> Result<Outcome, SandboxError>;
}
