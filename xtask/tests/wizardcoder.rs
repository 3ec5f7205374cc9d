//! The recipe as a user runs it: the program itself, at the size made for tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn recipe(runs: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["reproduce", "wizardcoder", "--runs"]).arg(runs).args(options).stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn report(runs: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(runs.join("wizardcoder-check/report.json")).unwrap()).unwrap()
}

#[test]
fn programs_are_evolved_written_and_run_and_a_development_set_says_where_to_stop() {
    let runs = tempfile::tempdir().unwrap();
    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = report(runs.path());
    let arms = first["arms"].as_array().unwrap();
    let names: Vec<_> = arms.iter().map(|arm| arm["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["seeds", "round-1", "union-1", "union-2", "stopped"]);
    for arm in arms {
        assert_eq!((&arm["rows"], &arm["programs"]), (&24.into(), &12.into()), "{arm}");
        assert!(arm["drawn_often"][0].as_f64().unwrap() >= arm["drawn"][0].as_f64().unwrap());
    }

    // Two of seven of each length are for development; what is kept is what stood before the first fall.
    let tables = first["tables"].as_array().unwrap();
    let stops = tables.iter().find(|table| table["title"] == "The stop rule").unwrap();
    assert!(stops["note"].as_str().unwrap().contains("8 development problems"), "{stops}");
    let row = stops["rows"][0].as_array().unwrap();
    let scores: Vec<f64> = row[1..].iter().map_while(|cell| cell.as_str().unwrap().parse().ok()).collect();
    assert_eq!(scores.len(), 3, "{row:?}");
    let rises = scores.windows(2).take_while(|pair| pair[1] > pair[0]).count();
    assert_eq!(row.last().unwrap(), &rises.to_string());
    let page = std::fs::read_to_string(runs.path().join("wizardcoder-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 2 && page.contains("--cut wizardcoder"));

    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 4);
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
    refused(&["--scale", "smol"], 1, "wizardcoder has no scale smol; it has nano, 7b");
    refused(&["--scale", "13b"], 1, "camelid train experiments/wizardcoder/13b.toml");
    refused(&["--only-arm", "no-such-arm", "--only-seed", "0"], 1, "there is no arm named `no-such-arm`");
}
