//! What a sandbox needs of the system it stands on.

use std::path::PathBuf;

use super::{Grants, Limits, Outcome, Program, SandboxError};

/// A system; that of a build is `Here`, in a module of its own.
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
