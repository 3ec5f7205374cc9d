//! The memory recipe as a user runs it, at sizes that take seconds.

mod program;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camelid_tests::SmallDisk;
use program::{Recipe, said};
use serde_json::Value;

const RECIPE: Recipe = Recipe("qlora-memory");

fn finished(runs: &Path, options: &[&str]) -> String {
    let output = RECIPE.command(runs, options).output().unwrap();
    assert!(output.status.success(), "{options:?}: {}", said(&output));
    said(&output)
}

fn refused(runs: &Path, options: &[&str], reason: &str) {
    let output = RECIPE.command(runs, options).output().unwrap();
    assert!(!output.status.success(), "{options:?} passed");
    assert!(said(&output).contains(reason), "{options:?}: {}", said(&output));
}

fn report(runs: &Path, folder: &str) -> Value {
    serde_json::from_slice(&std::fs::read(runs.join(folder).join("report.json")).unwrap()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn streamed_and_resident_weights_give_the_same_step_and_leave_reports_alone() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path();
    let stale = runs.join("qlora-memory-nano-streamed/weights-left");
    std::fs::create_dir_all(&stale).unwrap();
    std::fs::write(stale.join("model.safetensors"), "what a killed run left").unwrap();

    finished(runs, &["--size", "nano", "--steps", "2"]);
    let budget = ["--weights-budget", "0", "--inputs-budget", "0"];
    finished(runs, &[&["--size", "nano", "--steps", "2", "--stream"], &budget[..]].concat());
    let (resident, streamed) =
        (report(runs, "qlora-memory-nano"), report(runs, "qlora-memory-nano-streamed"));
    assert_eq!(resident["losses"].as_array().unwrap().len(), 2);
    assert_eq!(resident["losses"], streamed["losses"]);
    assert_eq!(resident["grad_norms"], streamed["grad_norms"]);
    assert!(streamed["streamed"]["read_bytes"].as_u64().unwrap() > 0, "two blocks of four stay at most");
    let block = streamed["plan"]["streamed_block"].as_u64().unwrap();
    assert_eq!(streamed["streamed"]["peak_resident_bytes"].as_u64().unwrap(), 2 * block);
    for phase in ["forward", "head", "backward", "optimizer"] {
        let phases = streamed["phases"].as_array().unwrap();
        assert!(phases.iter().any(|p| p["phase"] == phase && p["peak_bytes"].as_u64().unwrap() > 0));
    }
    for folder in ["qlora-memory-nano", "qlora-memory-nano-streamed"] {
        assert_eq!(names(&runs.join(folder)), ["report.json", "report.md"]);
    }
}

#[test]
fn the_balance_of_disk_and_cores_is_reported_with_a_plot_and_leaves_no_weights() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path();
    let text = finished(runs, &["--size", "nano", "--balance", "--seq", "4", "--rank", "8"]);
    for part in ["disk and cores balance", "by the formula", "NVMe, PCIe 4.0 ×4", "weights in memory"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let folder = "qlora-memory-nano-balance";
    let found = report(runs, folder);
    let computed = found["measured"]["computed"].as_array().unwrap();
    assert_eq!(computed.len(), 6, "three ranks at 4 and 16 tokens");
    assert!(computed.iter().all(|times| times["forward"].as_f64() > Some(0.0)));
    let streamed = found["measured"]["streamed"].as_array().unwrap();
    assert!(streamed.iter().all(|times| times["reading"].as_f64() > Some(0.0)), "blocks were read");
    assert_eq!(names(&runs.join(folder)), ["balance.svg", "report.json", "report.md"]);
    refused(runs, &["--size", "nano", "--balance", "--layers", "2"], "expected more than 2");
    refused(runs, &["--size", "nano", "--balance", "--dry-run"], "--dry-run");
}

#[test]
fn a_dry_run_prints_the_plan_and_leaves_nothing() {
    let runs = tempfile::tempdir().unwrap();
    for size in ["nano", "7b", "33b", "65b"] {
        let text = finished(runs.path(), &["--size", size, "--dry-run"]);
        for part in ["weights", "adapter", "gradients", "optimizer", "peak of the step", "budget"] {
            assert!(text.contains(part), "{size} lacks {part}: {text}");
        }
    }
    assert_eq!(names(runs.path()), Vec::<String>::new());
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path();
    refused(runs, &["--size", "9b"], "invalid value '9b'");
    refused(runs, &["--size", "nano", "--budget", "16 gallons"], "gallons");
    refused(runs, &["--size", "nano", "--layers", "9"], "has 4 blocks");
    refused(runs, &["--size", "nano", "--stream", "--no-checkpointing"], "--no-checkpointing");
    refused(runs, &["--size", "nano", "--budget", "1MiB"], "more than the budget of 1.0 MiB");
    refused(runs, &["--size", "7b", "--stream", "--budget", "1GiB", "--layers", "2"], "more than the budget");
}

#[test]
fn a_disk_without_room_is_refused_before_anything_is_made() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    refused(disk.path(), &["--size", "nano", "--stream"], "not enough for one block");
    assert_eq!(names(disk.path()), Vec::<String>::new());
}

#[test]
fn a_disk_with_room_for_some_blocks_gets_those_and_the_report_says_so() {
    // A gigabyte is kept free; a block of LLaMA 7B takes a tenth of one, the tables half of one.
    let Some(disk) = SmallDisk::mount("1750m") else { return };
    let text = finished(disk.path(), &["--size", "7b", "--stream", "--dry-run"]);
    assert!(text.contains("of 32 blocks"), "{text}");
}

#[test]
fn ctrl_c_while_weights_are_made_leaves_nothing_of_them() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("qlora-memory-7b-streamed");
    let child = RECIPE
        .command(runs.path(), &["--size", "7b", "--layers", "3", "--stream"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    let begun = || folder.is_dir() && names(&folder).iter().any(|name| name.starts_with("weights-"));
    while !begun() {
        assert!(Instant::now() < patience, "no weights were begun");
        std::thread::sleep(Duration::from_millis(2));
    }
    let child_id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(child_id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("nothing is left on the disk"), "{}", said(&output));
    assert_eq!(names(&folder), Vec::<String>::new());
}
