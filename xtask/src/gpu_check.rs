//! `cargo xtask gpu-check`: on a machine with a GPU, the kernel tests, the nano reproduction
//! and the benches on it, in one report. Without one it says so and exits with code 3.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::cargo::cargo;
use crate::{setup_llvm, workspace};

/// Exit code when the machine has no GPU.
const NO_GPU: u8 = 3;

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// The runtime to check
    #[arg(long, value_enum, default_value_t = Runtime::Cuda)]
    runtime: Runtime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Runtime {
    Cuda,
    Vulkan,
}

impl Runtime {
    /// The cargo feature and the name in `CAMELID_DEVICE` and `CAMELID_TEST_DEVICE`.
    fn name(self) -> &'static str {
        match self {
            Runtime::Cuda => "cuda",
            Runtime::Vulkan => "vulkan",
        }
    }

    /// The program that lists this runtime's devices, its arguments, and what a device's line holds.
    fn lister(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Runtime::Cuda => {
                ("nvidia-smi", &["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], "")
            }
            Runtime::Vulkan => ("vulkaninfo", &["--summary"], "deviceName"),
        }
    }
}

/// One command and how it ended.
#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    command: String,
    passed: bool,
    seconds: f64,
    /// The end of what it printed.
    tail: String,
}

#[derive(Serialize)]
struct Report<'a> {
    runtime: &'a str,
    devices: &'a [String],
    steps: &'a [Step],
}

/// Runs every check, writes the report, and fails when one of them did.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = arguments.runtime;
    let devices = devices(runtime);
    if devices.is_empty() {
        println!("No GPU: {} lists none. Nothing was checked (exit code {NO_GPU}).", runtime.lister().0);
        return Ok(ExitCode::from(NO_GPU));
    }
    if runtime == Runtime::Cuda {
        setup_llvm::require()?;
    }
    println!("{}: {}", runtime.name(), devices.join("; "));
    let folder = workspace().join("runs/gpu-check");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut steps = Vec::new();
    for (name, command) in commands(runtime) {
        println!("{name}: cargo {}", command.join(" "));
        steps.push(step(name, &command, runtime, &folder)?);
        write(&folder, runtime, &devices, &steps)?;
    }
    let failed = steps.iter().filter(|step| !step.passed).count();
    println!("Report: {}", folder.join("report.md").display());
    ensure!(failed == 0, "{failed} of {} steps failed", steps.len());
    Ok(ExitCode::SUCCESS)
}

/// What to run, in order.
fn commands(runtime: Runtime) -> Vec<(&'static str, Vec<String>)> {
    let words = |text: &str| text.split_whitespace().map(|word| word.replace('@', runtime.name())).collect();
    let mut commands = vec![
        ("kernel tests", words("test --package camelid-gpu --features @")),
        (
            "nano reproduction",
            words(
                "run --package xtask --features @ -- reproduce guanaco --fresh --runs runs/gpu-check/reproduction",
            ),
        ),
    ];
    if workspace().join("benches/Cargo.toml").is_file() {
        commands.push(("benches", words("bench --package camelid-benches --features @")));
    }
    commands
}

/// The machine's devices, by the program that lists them; none where it cannot be run.
fn devices(runtime: Runtime) -> Vec<String> {
    let (program, arguments, mark) = runtime.lister();
    let Ok(output) = Command::new(program).args(arguments).output() else { return Vec::new() };
    if !output.status.success() {
        return Vec::new();
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && line.contains(mark))
        .map(Into::into)
        .collect()
}

fn step(name: &'static str, command: &[String], runtime: Runtime, folder: &Path) -> anyhow::Result<Step> {
    let start = Instant::now();
    let output = cargo()
        .args(command)
        .env("CAMELID_DEVICE", runtime.name())
        .env("CAMELID_TEST_DEVICE", runtime.name())
        .output()
        .context("cannot run cargo")?;
    let text = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout).trim_end(),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let log = folder.join(format!("{}.log", name.replace(' ', "-")));
    std::fs::write(&log, &text).with_context(|| format!("cannot write {}", log.display()))?;
    Ok(Step {
        name,
        command: format!("cargo {}", command.join(" ")),
        passed: output.status.success(),
        seconds: start.elapsed().as_secs_f64(),
        tail: last_lines(&text, 25),
    })
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Writes `report.md` and `report.json`, whole or not at all.
fn write(folder: &Path, runtime: Runtime, devices: &[String], steps: &[Step]) -> anyhow::Result<()> {
    let report = Report { runtime: runtime.name(), devices, steps };
    for (name, text) in
        [("report.json", serde_json::to_string_pretty(&report)? + "\n"), ("report.md", markdown(&report))]
    {
        let scratch = folder.join(format!("{name}.part"));
        std::fs::write(&scratch, text).with_context(|| format!("cannot write {}", scratch.display()))?;
        std::fs::rename(&scratch, folder.join(name))?;
    }
    Ok(())
}

fn markdown(report: &Report<'_>) -> String {
    let mut text = format!("# GPU check: {}\n\n{}\n\n", report.runtime, report.devices.join("; "));
    text += "| step | outcome | seconds |\n|---|---|---|\n";
    for step in report.steps {
        let outcome = if step.passed { "passed" } else { "**failed**" };
        text += &format!("| {} | {outcome} | {:.0} |\n", step.name, step.seconds);
    }
    for step in report.steps {
        text += &format!("\n## {}\n\n`{}`\n\n```\n{}\n```\n", step.name, step.command, step.tail);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_what_failed() {
        let step =
            |name, passed| Step { name, command: "cargo".into(), passed, seconds: 1.0, tail: "end".into() };
        let steps = [step("kernel tests", true), step("benches", false)];
        let devices = ["a GPU".to_owned()];
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Runtime::Cuda, &devices, &steps).unwrap();
        let text = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(
            text.contains("| kernel tests | passed | 1 |") && text.contains("| benches | **failed** | 1 |")
        );
        let json = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
        assert!(json.contains("\"passed\": false"));
    }

    #[test]
    fn every_step_names_the_runtime() {
        for (name, command) in commands(Runtime::Vulkan) {
            assert!(command.iter().any(|word| word == "vulkan"), "{name}: {command:?}");
        }
    }
}
