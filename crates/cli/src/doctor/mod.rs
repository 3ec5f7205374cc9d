//! `camelid doctor`: what this machine has for Camelid, what it lacks, and the command that brings it.

mod machine;
mod needs;

use std::process::ExitCode;

use anyhow::Result;
use camelid_files::program;
use camelid_report::text_table;
use serde::Serialize;

use machine::Machine;
use needs::Need;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  camelid doctor
  camelid doctor --json > machine.json";

/// Everything that was looked at.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    #[serde(flatten)]
    machine: Machine,
    /// Variables that change what Camelid does and are set here.
    environment: Vec<(String, String)>,
    needs: Vec<Need>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let machine = Machine::here();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        needs: needs::all(&machine.gpus),
        machine,
        environment: environment(),
    };
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { words(&report) };
    program::print(text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is set and changes what Camelid does; keys are never among them.
fn environment() -> Vec<(String, String)> {
    let ours = |name: &str| name.starts_with("CAMELID_") && !name.contains("KEY") && !name.contains("TOKEN");
    let mut set: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| ours(name))
        .collect();
    set.sort();
    set
}

fn words(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = vec![
        ["camelid".to_owned(), report.version.to_owned()],
        ["system".to_owned(), machine.system.clone()],
        ["processor".to_owned(), format!("{}, {} cores", machine.processor.name, machine.processor.cores)],
        [
            "instruction sets".to_owned(),
            format!(
                "{}; kernels use {}",
                machine.processor.instruction_sets.join(", "),
                machine.processor.used
            ),
        ],
        [
            "memory".to_owned(),
            format!("{}, {} free", gib(machine.memory.total), gib(machine.memory.available)),
        ],
    ];
    for disk in &machine.disks {
        let free =
            disk.free.map_or_else(|| "free space not known".to_owned(), |free| format!("{} free", gib(free)));
        let writable = if disk.writable { "" } else { ", cannot be written to" };
        rows.push([disk.of.to_owned(), format!("{}, {free}{writable}", disk.path.display())]);
    }
    match machine.gpus.as_slice() {
        [] => rows.push(["GPU drivers".to_owned(), "none seen".to_owned()]),
        gpus => rows.extend(
            gpus.iter().map(|gpu| ["GPU driver".to_owned(), format!("{}: {}", gpu.driver, gpu.found)]),
        ),
    }
    rows.extend(report.environment.iter().map(|(name, value)| [name.clone(), value.clone()]));

    let table = |rows: &[[String; 2]]| {
        let width = rows.iter().map(|[name, _]| name.chars().count()).max().unwrap_or(0);
        rows.iter().map(|[name, value]| format!("{name:width$}  {value}\n")).collect::<String>()
    };
    let mut text = table(&rows);
    let needs = report
        .needs
        .iter()
        .map(|need| vec![need.what.to_owned(), need.found.clone(), need.purpose.to_owned()]);
    let needs: Vec<Vec<String>> = needs.collect();
    text.push('\n');
    text.push_str(&text_table(&["what", "here", "needed for"], &needs, &[0, 1, 2]));
    let missing: Vec<&Need> = report.needs.iter().filter(|need| need.command.is_some()).collect();
    if missing.is_empty() {
        text.push_str("\nNothing is missing.\n");
    } else {
        text.push_str("\nWhat is missing is optional; it comes by:\n");
        for need in missing {
            text.push_str(&format!("  {}: {}\n", need.what, need.command.as_deref().unwrap_or_default()));
        }
    }
    text
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
