//! `camelid evolve report`: what became of a run.

use std::path::PathBuf;

use anyhow::Result;
use camelid_evolve::{EvolveReport, lineage};
use camelid_files::{program, write_whole};
use camelid_report::Report;

use super::folder;

pub const EXAMPLES: &str = "Examples:
  camelid evolve report runs/evolved
  camelid evolve report runs/evolved --html evolved.html --json > evolved.json";

#[derive(clap::Args)]
pub struct Args {
    /// Folder of a run, or its lineage.jsonl
    #[arg(value_name = "DIR")]
    run: PathBuf,
    /// Print the whole report as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write the report as one HTML page with its plot
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    let mut report = EvolveReport::new(&lineage::read(&folder::lineage_of(&args.run))?);
    report.forecast = folder::forecast_of(&args.run)?;
    if let Some(path) = &args.html {
        write_whole(path, report.page()?.as_bytes())?;
        camelid_files::say!("wrote {}", path.display());
    }
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.text() };
    Ok(program::print(text)?)
}
