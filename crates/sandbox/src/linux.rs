//! Linux: namespaces and limits, made of util-linux's tools.

use std::path::PathBuf;

use super::system::System;
use super::{Grants, Limits, Outcome, Program, Refusal, SandboxError};
use super::{isolated, launch, open, processes};

pub(super) struct Here;

impl System for Here {
    fn ready() -> Result<(), SandboxError> {
        Ok(())
    }

    fn probe() -> Grants {
        let missing = launch::missing_tools();
        if !missing.is_empty() {
            let told = format!("not found: {}", missing.join(", "));
            return Grants::refused("namespaces", told);
        }
        match try_out("exit 0\n", Limits::default()) {
            Ok(Outcome::Passed) => {}
            Ok(other) => return Grants::refused("namespaces", format!("`exit 0` ended as {other:?}")),
            Err(SandboxError::SetUp { stage, told }) => return Grants::refused(&stage, told),
            Err(other) => return Grants::refused("namespaces", other.to_string()),
        }
        let mut refusals = Vec::new();
        if let Some(told) = unlimited_processes() {
            refusals.push(Refusal { what: "a limit on processes".into(), told });
        }
        if let Err(error) = processes::children(std::process::id()) {
            let told = format!("/proc lists no children of a process: {error}");
            refusals.push(Refusal { what: "a limit on the memory of all processes".into(), told });
        }
        Grants { isolated: true, refusals }
    }

    fn run(
        program: &Program,
        limits: &Limits,
        readable: &[PathBuf],
        isolated: bool,
    ) -> Result<Outcome, SandboxError> {
        launch::check(program, limits)?;
        if isolated {
            launch::check_readable(program, readable)?;
            isolated::run(program, limits, readable)
        } else {
            open::run(program, limits)
        }
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
