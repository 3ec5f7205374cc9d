//! `camelid evolve`: instructions that a model makes harder.

mod config;
mod export;
mod folder;
mod report;
mod run;
mod self_instruct;
mod tune;

use std::process::ExitCode;

use anyhow::Result;
use config::Method;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make instructions from seeds, by evolution or Self-Instruct; goes on where an earlier run stopped
    #[command(after_help = run::EXAMPLES)]
    Run(run::Args),
    /// Search a method of evolution that fails less often, by an optimizer model
    #[command(after_help = tune::EXAMPLES)]
    Tune(tune::Args),
    /// What became of a run: by round, operator and rule, with examples and lines of descent
    #[command(after_help = report::EXAMPLES)]
    Report(report::Args),
    /// Write a run's instructions and answers as training data
    #[command(after_help = export::EXAMPLES)]
    Export(export::Args),
}

pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => {
            let config = args.settings()?;
            return match config.method {
                Method::EvolInstruct => run::run(args, &config),
                Method::SelfInstruct => self_instruct::run(args, config),
            };
        }
        Command::Tune(args) => return tune::run(args),
        Command::Report(args) => report::run(args),
        Command::Export(args) => export::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}
