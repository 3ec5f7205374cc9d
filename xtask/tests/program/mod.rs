//! `cargo xtask reproduce` as a user runs it: the program itself, at the size made for tests.
#![allow(dead_code, reason = "each suite uses its part")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A recipe by its name on the command line.
pub struct Recipe(pub &'static str);

impl Recipe {
    /// The recipe with its files in `runs`.
    pub fn command(&self, runs: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["reproduce", self.0, "--runs"]).arg(runs).args(options).stdin(Stdio::null());
        command
    }

    /// The same, run to its end.
    pub fn run(&self, runs: &Path, options: &[&str]) -> Output {
        self.command(runs, options).output().unwrap()
    }

    /// The report of a run at the scale made for tests.
    pub fn report(&self, runs: &Path) -> Value {
        let json = std::fs::read(runs.join(format!("{}-check/report.json", self.0))).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    /// Of a recipe with the scales nano and 7b to 70b: plans are shown and leave nothing; another scale, a
    /// scale that is not run here and an arm that is none are refused.
    pub fn shows_plans_and_refuses_what_is_none(&self) {
        let runs = tempfile::tempdir().unwrap();
        for scale in ["nano", "13b"] {
            let output = self.run(runs.path(), &["--scale", scale, "--dry-run"]);
            assert!(
                output.status.success() && said(&output).contains("weights"),
                "{scale}: {}",
                said(&output)
            );
        }
        assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0, "a dry run leaves nothing");
        let refused = |options: &[&str], code: i32, reason: &str| {
            let output = self.run(runs.path(), options);
            assert_eq!(output.status.code(), Some(code), "{options:?}: {}", said(&output));
            assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
        };
        let name = self.0;
        refused(&["--scale", "9b"], 2, "invalid value '9b'");
        refused(&["--scale", "smol"], 1, &format!("{name} has no scale smol; it has nano, 7b"));
        refused(&["--scale", "13b"], 1, &format!("camelid train experiments/{name}/13b.toml"));
        refused(&["--scale", "check", "--judge", "http://localhost:1/v1#m"], 1, "--judge has no place here");
        refused(&["--only-arm", "no-such-arm", "--only-seed", "0"], 1, "there is no arm named `no-such-arm`");
    }
}

/// What a program said on both its streams.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
