//! Systems without Linux's namespaces and limits: nothing runs, and the error says so.

use std::path::PathBuf;

use super::system::System;
use super::{Grants, Limits, Outcome, Program, SandboxError};

pub(super) struct Here;

impl System for Here {
    fn ready() -> Result<(), SandboxError> {
        Err(SandboxError::SetUp { stage: "namespaces and limits".into(), told: told() })
    }

    fn probe() -> Grants {
        Grants::refused("namespaces", told())
    }

    fn run(_: &Program, _: &Limits, _: &[PathBuf], _: bool) -> Result<Outcome, SandboxError> {
        Err(SandboxError::SetUp { stage: "namespaces and limits".into(), told: told() })
    }
}

fn told() -> String {
    format!("they are Linux's, and this is {}: run it in a Linux machine or container", std::env::consts::OS)
}
