//! The packages of the workspace.

use std::process::Command;

use serde_json::Value;

use crate::workspace;

/// The workspace's packages as `cargo metadata` describes them.
///
/// # Panics
/// When cargo does not run, or prints something else.
pub fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    packages
}
