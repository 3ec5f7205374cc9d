//! `cargo xtask bench`: criterion's benches, or our figures beside the Python peers'.

mod child;
mod compare;
mod python;
mod report;
mod table;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use camelid_benches::{Machine, Row, serve};
use clap::Args;

use compare::{Effort, compare};
use report::Report;
use table::{COMPARISONS, Comparison};

use crate::workspace;

/// Options of the benches.
#[derive(Args)]
pub struct Arguments {
    /// Measure beside PyTorch, bitsandbytes, transformers and PEFT instead
    #[arg(long)]
    peers: bool,
    /// Criterion's benches whose name contains this
    #[arg(conflicts_with = "peers")]
    filter: Option<String>,
    /// Only rows whose name contains one of these, separated by commas
    #[arg(long, requires = "peers", value_name = "PATTERN")]
    rows: Option<String>,
    /// Samples of each side; rows of many seconds take fewer, but three
    #[arg(long, requires = "peers", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// One short sample of each side: to see that everything works
    #[arg(long, requires = "peers")]
    quick: bool,
    /// Place the table in benches/README.md
    #[arg(long, requires = "peers")]
    write: bool,
    /// A Python that has the peers [default: CAMELID_PEERS_PYTHON, else one is set up under runs/peers]
    #[arg(long, requires = "peers", value_name = "PATH")]
    python: Option<PathBuf>,
    /// Answer requests to measure our side (the command starts one process a row)
    #[arg(long, hide = true, exclusive = true)]
    serve: bool,
}

/// Runs the benches that were asked for.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.serve {
        return Ok(serve(std::io::stdin().lock(), std::io::stdout().lock())?);
    }
    if arguments.peers { peers(arguments) } else { criterion(arguments.filter.as_deref()) }
}

/// The development profile, so that tests and benches share what is built.
fn criterion(filter: Option<&str>) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["bench", "-p", "camelid-benches", "--profile", "dev", "--"]).args(filter);
    let status = command.current_dir(workspace()).status().context("starting cargo")?;
    if !status.success() {
        bail!("the benches ended with {status}");
    }
    Ok(())
}

fn peers(arguments: &Arguments) -> Result<()> {
    let chosen = chosen(arguments.rows.as_deref())?;
    let python = python::interpreter(workspace(), arguments.python.as_deref())?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::thorough(arguments.rounds) };
    let started = std::time::Instant::now();
    camelid_files::say!("measuring the machine");
    let machine = Machine::measure();
    let mut report = Report::open(&workspace().join("runs/bench"), machine)?;
    let mut peers = python.peers();
    for comparison in chosen {
        camelid_files::say!("{}: {}", comparison.row, comparison.title);
        // A row that fails is a row of the report: the others go on.
        let outcome = compare(comparison, &mut peers, &effort);
        report.put(comparison, outcome)?;
        report.print_row(comparison.row);
    }
    println!("{}", report.markdown());
    camelid_files::say!(
        "{:.1} minutes; written to {}",
        started.elapsed().as_secs_f64() / 60.0,
        report.folder().display()
    );
    if arguments.write {
        report.write_into(&workspace().join("benches/README.md"))?;
    }
    Ok(())
}

fn chosen(patterns: Option<&str>) -> Result<Vec<&'static Comparison>> {
    let Some(patterns) = patterns else { return Ok(COMPARISONS.iter().collect()) };
    let mut chosen = vec![];
    for pattern in patterns.split(',') {
        let matching = COMPARISONS.iter().filter(|comparison| comparison.row.name().contains(pattern));
        let before = chosen.len();
        chosen.extend(matching);
        if chosen.len() == before {
            bail!("--rows: no row contains \"{pattern}\"; there are {}", Row::ALL.map(Row::name).join(", "));
        }
    }
    chosen.sort_by_key(|comparison| comparison.row);
    chosen.dedup_by_key(|comparison| comparison.row);
    Ok(chosen)
}
