//! The Elo recipe as a user runs it.

mod program;

use std::path::{Path, PathBuf};
use std::process::Output;

use program::{Recipe, said};
use serde_json::Value;

fn recipe(runs: &Path, judgments: &Path, options: &[&str]) -> Output {
    Recipe("qlora-elo").command(runs, options).arg("--judgments").arg(judgments).output().unwrap()
}

/// The published judgments.
fn judgments() -> Option<PathBuf> {
    Some(camelid_tests::oracles()?.join("qlora-elo/vicuna-pairwise"))
}

#[test]
fn table_one_is_recomputed_with_its_readings_side_by_side() {
    let Some(judgments) = judgments() else { return };
    let runs = tempfile::tempdir().unwrap();
    let options = ["--orderings", "2000", "--replicates", "40", "--seed", "1"];
    let output = recipe(runs.path(), &judgments, &options);
    assert!(output.status.success(), "{}", said(&output));
    for line in
        ["56 files, 4480 judgments: 4467 matches (600 ties), 13 without a verdict dropped", "(inferred)"]
    {
        assert!(said(&output).contains(line), "{}", said(&output));
    }
    let folder = runs.path().join("qlora-elo");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    assert!(rows[1..].iter().all(|row| row["full"]["gap"].as_f64().unwrap().abs() < 8.0));
    assert!(rows.iter().all(|row| row["inferred"]["gap"].as_f64().unwrap().abs() < 5.0));
    let verdict = |id: &str| {
        let claims = report["claims"].as_array().unwrap();
        claims.iter().find(|row| row["claim"]["id"] == id).unwrap()["words"].clone()
    };
    assert_eq!(verdict("elo-table"), "held");
    assert_ne!(verdict("elo"), "refuted here");
    assert!(report["reversed_largest_gap"].as_f64().unwrap() > 100.0);
    assert_eq!(report["judgments"]["as_named"], 56);
    assert_eq!(report["judgments"]["dropped"].as_array().unwrap().len(), 13);
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page must stand alone");
    // The same seed, the same figures.
    let again = tempfile::tempdir().unwrap();
    assert!(recipe(again.path(), &judgments, &options).status.success());
    let second = std::fs::read(again.path().join("qlora-elo/report.json")).unwrap();
    let second: Value = serde_json::from_slice(&second).unwrap();
    assert_eq!((&report["rows"], &report["profile"]), (&second["rows"], &second["profile"]));
}

#[test]
fn judgments_that_are_not_there_are_said_to_be_missing() {
    let runs = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let output = recipe(runs.path(), empty.path(), &[]);
    assert!(!output.status.success() && said(&output).contains("holds no .jsonl file"), "{}", said(&output));
    let review = "{\"question_id\": 1, \"answer1_id\": \"a\", \"answer2_id\": \"b\", \"score\": 1}\n";
    std::fs::write(empty.path().join("x-vs-y-gpt-4-reviewer.jsonl"), review).unwrap();
    let output = recipe(runs.path(), empty.path(), &[]);
    assert!(!output.status.success() && said(&output).contains("say nothing of GPT-4"), "{}", said(&output));
    assert!(!runs.path().join("qlora-elo").exists(), "nothing is written");
}
