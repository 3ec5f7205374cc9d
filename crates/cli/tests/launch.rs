//! `camelid launch`: files that schedulers can read.

mod camelid;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use camelid::text;
use camelid_tests::workspace;
use serde_json::Value;

/// `camelid launch` from the workspace, where experiments lie.
fn launch(experiment: &str, options: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camelid"));
    command.current_dir(workspace()).args(["launch", experiment]).args(options);
    command.args(["--out", text(out)]).output().unwrap()
}

fn written(experiment: &str, options: &[&str], out: &Path) -> (String, String) {
    let output = launch(experiment, options, out);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (std::fs::read_to_string(out).unwrap(), said)
}

/// The file as Python's YAML reads it; `None`, with a line saying so, where there is none.
fn parsed(path: &Path) -> Option<Value> {
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new("python3").args(["-c", program, text(path)]).output().ok()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("No module named 'yaml'"), "{said}");
        println!("skipped: Python has no yaml to read {} with", path.display());
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn bash_reads(path: &Path) {
    let output = Command::new("bash").arg("-n").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn experiments() -> Vec<String> {
    let folder = workspace().join("experiments/vicuna");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("b.toml"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_skypilot_task_prepares_runs_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("task.yaml");
    let (file, said) = written("experiments/vicuna/qlora-13b.toml", &["--sky", "--bucket", "b-1"], &out);
    assert!(!said.contains("warning"), "a 4-bit base of 13B fits one device: {said}");
    assert!(file.starts_with("# vicuna-qlora-13b: "), "{file}");
    let Some(task) = parsed(&out) else { return };
    assert_eq!(task["name"], "vicuna-qlora-13b");
    assert_eq!(task["resources"]["accelerators"], "RTX4090:1");
    assert_eq!(task["resources"]["job_recovery"]["recover_on_exit_codes"], serde_json::json!([130]));
    assert_eq!(task["file_mounts"]["/bucket"]["name"], "b-1");
    let run = task["run"].as_str().unwrap();
    assert!(
        run.contains("train experiments/vicuna/qlora-13b.toml --run \"$RUNS/vicuna-qlora-13b\""),
        "{run}"
    );
    assert!(run.contains("--set data.source=\"$DATA/data/sharegpt-125k.json\""), "{run}");
    assert!(!run.contains("model.base="), "a base of the catalogue is fetched by its name: {run}");
    for script in ["setup", "run"] {
        let path = dir.path().join(script);
        std::fs::write(&path, task[script].as_str().unwrap()).unwrap();
        bash_reads(&path);
    }
}

#[test]
fn every_experiment_of_vicuna_makes_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let names = experiments();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let experiment = format!("experiments/vicuna/{name}");
        let at = |ending: &str| -> PathBuf { dir.path().join(format!("{name}.{ending}")) };
        written(&experiment, &["--slurm"], &at("sbatch"));
        bash_reads(&at("sbatch"));
        written(&experiment, &["--sky"], &at("yaml"));
    }
}

#[test]
fn an_sbatch_script_goes_back_into_the_queue_when_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("job.sbatch");
    let options = ["--slurm", "--accelerators", "A100-80GB:2"];
    let (script, said) = written("experiments/vicuna/v1.5-16k-7b.toml", &options, &out);
    assert!(said.contains("wrote"), "{said}");
    for part in ["#SBATCH --gpus-per-node=2", "--signal=B:INT@300", "-eq 130", "scontrol requeue"] {
        assert!(script.contains(part), "{part} in\n{script}");
    }
    assert!(script.contains("--set model.base=\"$DATA/models/Llama-2-7b-hf\""), "{script}");
}

#[test]
fn what_cannot_be_launched_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("task");
    let outside = dir.path().join("mine.toml");
    std::fs::copy(workspace().join("experiments/vicuna/v0-7b.toml"), &outside).unwrap();
    let good = "experiments/vicuna/v0-7b.toml";
    for (experiment, options, expected) in [
        (text(&outside), &["--sky"][..], "lies outside"),
        (good, &[], "required"),
        (good, &["--sky", "--slurm"], "cannot be used with"),
        (good, &["--sky", "--bucket", "a b"], "--bucket a b"),
        (good, &["--sky", "--accelerators", "A100:none"], "as in A100-80GB:1"),
    ] {
        let output = launch(experiment, options, &out);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{options:?}: {said}");
        assert!(!out.exists());
    }
    let output = launch(good, &["--sky"], &out);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("more than"),
        "full tuning of 7B fits no device"
    );
}
