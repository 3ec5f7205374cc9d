//! The recipe as a user runs it: the program itself, at the size made for tests.

mod program;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use camelid_tests::chat_server::{Answer, Server};
use program::{Recipe, said};

const RECIPE: Recipe = Recipe("guanaco");

/// The adapter of every arm that has one, by folder.
fn adapters(runs: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(runs.join("guanaco-check/arms"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("adapter/adapter_model.safetensors"))
        .filter(|path| path.exists())
        .map(|path| (path.strip_prefix(runs).unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_recipe_runs_is_reused_and_survives_an_interruption() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path();

    // From nothing to a report.
    let output = RECIPE.command(runs, &["--scale", "check"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let first = RECIPE.report(runs);
    let claims = first["claims"].as_array().unwrap();
    assert!(claims.len() >= 10);
    for row in claims {
        assert!(!row["decision"]["because"].as_str().unwrap().is_empty(), "{row}");
    }
    let verdict =
        |id: &str| claims.iter().find(|row| row["claim"]["id"] == id).unwrap()["words"].as_str().unwrap();
    assert_eq!(verdict("dq-bits"), "held");
    assert_eq!(verdict("paged-same"), "held");
    assert_eq!(verdict("fp4-behind"), "not testable at this scale");
    let page = std::fs::read_to_string(runs.join("guanaco-check/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("qlora-nf4-dq") && !page.contains("http-equiv"));
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page must stand alone");

    // Again: nothing is run twice, and the figures are the same.
    let output = RECIPE.command(runs, &["--scale", "check"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let arms = first["arms"].as_array().unwrap().len();
    assert_eq!(said(&output).matches("reused from an earlier run").count(), arms);
    let second = RECIPE.report(runs);
    assert_eq!(second["claims"], first["claims"]);
    assert_eq!(second["run"]["reused_arms"], arms);

    // The tuned answers beside the base's: marked, then by a judge that prefers what it sees first.
    let judged = &first["judged"];
    assert_eq!(judged["judge"], "exact match");
    let games: u64 = judged["wins_ties_losses"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(judged["questions"], games);
    let server = Server::start(|_| Answer::Text("The first. [[A]]".to_owned()));
    let judge = format!("{}#judge", server.base_url());
    let mut asked = Vec::new();
    for _ in 0..2 {
        let output = RECIPE.command(runs, &["--scale", "check", "--judge", &judge]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let report = RECIPE.report(runs);
        let judged = &report["judged"];
        assert_eq!(judged["wins_ties_losses"], serde_json::json!([0, games, 0]));
        assert_eq!((&judged["inconsistent"], &judged["first_position"]), (&games.into(), &1.0.into()));
        asked.push(server.counts().answered_in_all());
    }
    assert!(asked[0] > 0 && asked[0] == asked[1], "no verdict may be asked for twice: {asked:?}");

    // From the base again, interrupted in the first arm, and on again: the same adapters to the byte.
    let wanted = adapters(runs);
    assert_eq!(wanted.len(), arms - 1, "every arm but full fine-tuning leaves an adapter");
    let (first_adapter, _) =
        wanted.iter().find(|(path, _)| path.to_string_lossy().contains("/qlora-nf4-dq-")).unwrap();
    let arm_folder = runs.join(first_adapter.parent().unwrap().parent().unwrap());
    std::fs::remove_dir_all(runs.join("guanaco-check/arms")).unwrap();
    let child = RECIPE
        .command(runs, &["--scale", "check"])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = arm_folder.join("metrics.jsonl");
    let patience = Instant::now() + Duration::from_secs(120);
    while !std::fs::metadata(&begun).is_ok_and(|m| m.len() > 0) {
        assert!(Instant::now() < patience, "the first arm never began");
        std::thread::sleep(Duration::from_millis(2));
    }
    let group = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("the same command goes on from there"), "{}", said(&output));
    assert!(!arm_folder.join("outcome.json").exists(), "the arm was to be interrupted before its end");
    assert!(std::fs::read_dir(arm_folder.join("checkpoints")).unwrap().count() > 0);

    let output = RECIPE.command(runs, &["--scale", "check"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(adapters(runs) == wanted, "an interrupted run must end with the same adapters");
}

#[test]
fn a_dry_run_shows_the_plan_of_every_scale() {
    let runs = tempfile::tempdir().unwrap();
    for scale in ["nano", "smol", "7b", "13b", "33b", "65b"] {
        let output = RECIPE.command(runs.path(), &["--scale", scale, "--dry-run"]).output().unwrap();
        let text = said(&output);
        assert!(output.status.success(), "{scale}: {text}");
        for part in
            ["would fetch", "weights", "constants", "adapter", "optimizer", "activations", "tokens at most"]
        {
            assert!(text.contains(part), "{scale} lacks {part}: {text}");
        }
    }
    assert_eq!(std::fs::read_dir(runs.path()).unwrap().count(), 0, "a dry run leaves nothing");
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let runs = tempfile::tempdir().unwrap();
    let refused = |options: &[&str], reason: &str| {
        let output = RECIPE.command(runs.path(), options).output().unwrap();
        assert!(!output.status.success(), "{options:?} passed");
        assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
    };
    refused(&["--scale", "9b"], "invalid value '9b'");
    refused(&["--sclae", "nano"], "--scale");
    refused(&["--seeds", "0"], "--seeds");
    refused(&["--scale", "smol", "--base", "/nowhere/model.gguf"], "/nowhere/model.gguf");
    refused(&["--base", "/nowhere/model.gguf"], "--base has no place at scale nano");
    refused(&["--only-arm", "qlora-nf5", "--only-seed", "0"], "qlora-nf5");
}

#[test]
fn a_scale_beyond_this_machine_is_refused_before_anything_is_fetched() {
    let runs = tempfile::tempdir().unwrap();
    let output = RECIPE.command(runs.path(), &["--scale", "65b", "--offline"]).output().unwrap();
    let text = said(&output);
    assert!(!output.status.success());
    // A machine that could hold it gets as far as asking for the weights.
    assert!(text.contains("does not fit this machine") || text.contains("llama-65b"), "{text}");
}
