//! `camelid arena`: two models answer, people choose the better.

mod cleaning;
mod demo;
mod files;
mod run;
mod simulate;

use anyhow::Result;

const EXAMPLES: &str = "Examples:
  camelid arena --demo
  camelid arena --model small=models/small --model large=http://localhost:8000/v1#large --db votes.db
  camelid arena --replay mt-bench-answers --questions question.jsonl
  camelid arena export --db votes.db votes.jsonl";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Write an arena's votes: FastChat's log, or a table of battles that `camelid eval ratings` reads
    #[command(after_help = files::EXPORT)]
    Export(files::ExportArgs),
    /// Read FastChat's log or a table of battles into an arena
    #[command(after_help = files::IMPORT)]
    Import(files::ImportArgs),
    /// Copy an arena's database while it runs
    #[command(after_help = files::BACKUP)]
    Backup(files::BackupArgs),
    /// Arenas whose truth is known: coverage of intervals, votes needed, voters found out
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Args),
}

pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        None => run::run(&args.run),
        Some(Command::Export(args)) => files::export(args),
        Some(Command::Import(args)) => files::import(args),
        Some(Command::Backup(args)) => files::backup(args),
        Some(Command::Simulate(args)) => simulate::run(args),
    }
}
