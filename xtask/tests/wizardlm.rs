//! The recipe as a user runs it: the program itself, at the size made for tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn recipe(runs: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["reproduce", "wizardlm", "--runs"]).arg(runs).args(options).stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn report(runs: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(runs.join("wizardlm-check/report.json")).unwrap()).unwrap()
}

#[test]
fn instructions_are_evolved_into_a_report_and_nothing_is_run_twice() {
    let runs = tempfile::tempdir().unwrap();
    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = report(runs.path());

    // First instructions of equal tokens are more of them, and about as many tokens.
    let arm = |name: &str| {
        let arms = first["general"].as_array().unwrap();
        arms.iter().find(|arm| arm["name"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    let figure = |name: &str, field: &str| arm(name)[field].as_f64().unwrap();
    assert_eq!(figure("mix", "rows"), figure("seeds", "rows"));
    assert!(figure("seeds-tokens", "rows") > figure("seeds", "rows"));
    let tokens = figure("seeds-tokens", "tokens") / figure("mix", "tokens");
    assert!((0.7..1.4).contains(&tokens), "{tokens}");
    assert_eq!(first["not_run"].as_array().unwrap().len(), 20);

    // Rules find what they name, and no wrong answer.
    for at in first["faults"].as_array().unwrap() {
        for fault in at["found"].as_array().unwrap() {
            let ended = if fault["name"] == "wrong answer" { &0.into() } else { &fault["named"]["made"] };
            assert_eq!(&fault["named"]["ended"], ended, "{at}");
            assert_eq!(fault["rightly"], fault["by_its_rule"], "{at}");
        }
    }
    let page = std::fs::read_to_string(runs.path().join("wizardlm-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 3 && !page.contains("src=\"http"));

    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 4);
    assert_eq!(report(runs.path())["claims"], first["claims"]);
}
