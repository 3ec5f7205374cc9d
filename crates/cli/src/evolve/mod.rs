//! `camelid evolve`: instructions that a model makes harder.

mod config;
mod export;
mod report;
mod run;

use anyhow::Result;

/// The files of a run.
mod files {
    use std::path::{Path, PathBuf};

    /// Settings and digests that the run was made with.
    pub const MADE_WITH: &str = "made_with.json";
    /// Every reply, as it arrived.
    pub const REPLIES: &str = "replies.jsonl";
    /// Every row made.
    pub const LINEAGE: &str = "lineage.jsonl";

    /// The lineage of a run that is named by its folder or by the lineage itself.
    pub fn lineage_of(run: &Path) -> PathBuf {
        if run.is_dir() { run.join(LINEAGE) } else { run.to_owned() }
    }
}

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

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Report(args) => report::run(args),
        Command::Export(args) => export::run(args),
    }
}
