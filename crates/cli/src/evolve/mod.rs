//! `camelid evolve`: instructions that a model makes harder.

mod config;
mod export;
mod folder;
mod report;
mod respondent;
mod run;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Evolve the seeds that a file of settings names; goes on where an earlier run stopped
    #[command(after_help = run::EXAMPLES)]
    Run(run::Args),
    /// What became of a run: by round, operator and rule, with examples and lines of descent
    #[command(after_help = report::EXAMPLES)]
    Report(report::Args),
    /// Write a run's instructions and answers as training data
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
}

pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => return run::run(args),
        Command::Report(args) => report::run(args),
        Command::Export(args) => export::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}
