//! `kill -9` or Ctrl-C at any moment, then the same command again: the same bytes as without.

mod tiny;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camelid_train::{Interrupt, TrainSettings};
use tiny::{lora_model, settings, trained_bytes, trainer};

const RUN_DIR: &str = "CAMELID_TEST_RUN_DIR";
const STEPS: usize = 24;

fn long_settings() -> TrainSettings {
    TrainSettings { max_steps: STEPS, save_every: 2, optim_budget_bytes: Some(0), ..settings() }
}

/// What the child process does. In the test run itself, without the variable, nothing.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(RUN_DIR) else { return };
    let trainer = trainer(lora_model(1), long_settings(), Path::new(&dir));
    let interrupt = Interrupt::from_ctrl_c().unwrap();
    let outcome = trainer.with_interrupt(interrupt).run().unwrap();
    println!("finished: {}", outcome.finished);
}

fn spawn(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(RUN_DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts the child and kills it as soon as `moment` says so; true when it was killed before its
/// end.
fn killed_when(dir: &Path, moment: impl Fn() -> bool) -> bool {
    let mut child = spawn(dir);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the child failed by itself");
            return false;
        }
        if moment() {
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            return true;
        }
        assert!(Instant::now() < deadline, "the moment never came");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn lines(dir: &Path) -> usize {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
    text.lines().count()
}

fn entries(dir: &Path, prefix: &str) -> bool {
    std::fs::read_dir(dir.join("checkpoints"))
        .is_ok_and(|entries| entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with(prefix)))
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trainer(lora_model(1), long_settings(), whole.path()).run().unwrap();

    let dir = broken.path();
    let mut kills = 0;
    // Before the first checkpoint, between checkpoints, while one is being written, while an old
    // one is being removed, and once more.
    kills += usize::from(killed_when(dir, || lines(dir) >= 1));
    kills += usize::from(killed_when(dir, || entries(dir, ".writing-")));
    kills += usize::from(killed_when(dir, || lines(dir) >= 5));
    kills += usize::from(killed_when(dir, || entries(dir, ".writing-") && lines(dir) >= 8));
    kills += usize::from(killed_when(dir, || entries(dir, ".removing-") && lines(dir) >= 9));
    kills += usize::from(killed_when(dir, || lines(dir) >= 15));
    println!("{kills} kills");
    assert!(kills >= 3, "only {kills} kills came in time");

    assert!(spawn(dir).wait().unwrap().success());
    assert!(
        trained_bytes(whole.path(), STEPS) == trained_bytes(dir, STEPS),
        "adapter or optimizer differ after {kills} kills"
    );
    assert_eq!(lines(dir), STEPS, "each step is recorded once");
    assert!(!entries(dir, "."), "nothing unfinished is left");
}

#[test]
fn a_second_process_on_the_same_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn(dir.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(dir.path()) < 1 {
        assert!(Instant::now() < deadline, "the first step was never done");
        std::thread::sleep(Duration::from_micros(200));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    let Err(error) = trainer(lora_model(1), long_settings(), dir.path()).run() else {
        panic!("two processes wrote into one run")
    };
    assert!(error.to_string().contains("another process is training in this folder"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(trainer(lora_model(1), long_settings(), dir.path()).run().unwrap().finished);
}

#[test]
fn ctrl_c_finishes_the_step_saves_and_the_run_goes_on_later() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    trainer(lora_model(1), long_settings(), whole.path()).run().unwrap();

    let dir = broken.path();
    let mut child = spawn(dir);
    let deadline = Instant::now() + Duration::from_secs(60);
    while lines(dir) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        assert!(Instant::now() < deadline, "two steps were never done");
        std::thread::sleep(Duration::from_micros(200));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success(), "a run that is interrupted ends in order");
    let steps = lines(dir);
    assert!(steps < STEPS, "the child was done before it was interrupted");
    assert!(entries(dir, &format!("step-{steps:06}")), "the step it was in is saved");

    assert!(spawn(dir).wait().unwrap().success());
    assert!(trained_bytes(whole.path(), STEPS) == trained_bytes(dir, STEPS));
}
