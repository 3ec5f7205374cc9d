//! The recipe as a user runs it: the program itself, at the size made for tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn recipe(runs: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["reproduce", "wizardmath", "--runs"]).arg(runs).args(options).stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn report(runs: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(runs.join("wizardmath-check/report.json")).unwrap()).unwrap()
}

#[test]
fn sums_are_evolved_both_ways_and_every_step_of_an_answer_is_checked() {
    let runs = tempfile::tempdir().unwrap();
    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = report(runs.path());
    let arms = first["arms"].as_array().unwrap();
    assert_eq!(arms.iter().map(|arm| arm["name"].as_str().unwrap()).collect::<Vec<_>>(), ["seeds", "both"]);
    assert!(arms.iter().all(|arm| arm["rows"] == 24 && arm["parts"].as_array().unwrap().len() == 5));

    // Each hundred answers are all accounted for, and evolved rows are right but for those that were spoilt.
    let table = |title: &str| {
        let tables = first["tables"].as_array().unwrap();
        tables.iter().find(|table| table["title"] == title).unwrap()["rows"].as_array().unwrap().clone()
    };
    let figure = |row: &Value, at: usize| row[at].as_str().unwrap().parse::<f64>().unwrap();
    for row in table("Where answers go wrong") {
        let sum: f64 = (1..=5).map(|at| figure(&row, at)).sum();
        assert!((sum - 100.0).abs() < 0.5, "{row}");
    }
    for row in table("What the step checker finds in the evolved rows") {
        assert!((80.0..100.0).contains(&figure(&row, 1)), "{row}");
    }
    let page = std::fs::read_to_string(runs.path().join("wizardmath-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 2 && !page.contains("src=\"http"));
    assert!(page.contains("camelid eval score gsm8k"));

    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 2);
    assert_eq!(report(runs.path())["claims"], first["claims"]);
}

#[test]
fn plans_are_shown_and_what_is_no_scale_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    for scale in ["nano", "13b"] {
        let output = recipe(runs.path(), &["--scale", scale, "--dry-run"]);
        assert!(output.status.success() && said(&output).contains("weights"), "{scale}: {}", said(&output));
    }
    assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0, "a dry run leaves nothing");
    let refused = |options: &[&str], code: i32, reason: &str| {
        let output = recipe(runs.path(), options);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
    };
    refused(&["--scale", "9b"], 2, "invalid value '9b'");
    refused(&["--scale", "smol"], 1, "wizardmath has no scale smol; it has nano, 7b");
    refused(&["--scale", "13b"], 1, "camelid train experiments/wizardmath/13b.toml");
    refused(&["--only-arm", "no-such-arm", "--only-seed", "0"], 1, "there is no arm named `no-such-arm`");
}
