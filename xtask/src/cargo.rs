//! Cargo, called from a task.

use std::process::Command;

use crate::workspace;

/// What `cargo run` tells this program of its own package, by the beginnings of the names.
const OF_THIS_PACKAGE: [&str; 6] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// Cargo in the workspace, as a shell would call it.
pub fn cargo() -> Command {
    let mut command = as_a_shell_would(Command::new(env!("CARGO")));
    command.current_dir(workspace());
    command
}

/// A command that calls cargo, told nothing of this package. Build scripts that look at the variables of
/// their own package, as ring's does, would take this package's for theirs, run again, and have
/// burn built again.
pub fn as_a_shell_would(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let told =
            name.to_str().is_some_and(|name| OF_THIS_PACKAGE.iter().any(|part| name.starts_with(part)));
        if told {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_nothing_of_this_package() {
        // Cargo sets these for tests as it does for programs.
        assert_eq!(std::env::var("CARGO_PKG_NAME").as_deref(), Ok("xtask"));
        let cargo = cargo();
        let removed: Vec<_> = cargo.get_envs().filter(|(_, value)| value.is_none()).collect();
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(removed.iter().any(|(removed, _)| *removed == name), "{name}");
        }
        assert!(!removed.iter().any(|(name, _)| *name == "PATH" || *name == "CARGO_HOME"));
    }
}
