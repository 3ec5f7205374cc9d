//! `camelid data`: the catalogue of sources, and the user's own conversations.

mod catalogue;
mod convert;
mod decontaminate;
pub mod reading;
mod show;
mod stats;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the catalogue
    #[command(after_help = catalogue::LIST_EXAMPLES)]
    List(catalogue::ListArgs),
    /// Make a source available and print where it lies
    #[command(after_help = catalogue::FETCH_EXAMPLES)]
    Fetch(catalogue::FetchArgs),
    /// Print conversations as the loaders read them, and what was dropped
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Write conversations in another format
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Args),
    /// Take out conversations that share text with test sets
    #[command(after_help = decontaminate::EXAMPLES)]
    Decontaminate(decontaminate::Args),
    /// Count conversations, turns, characters and tokens
    #[command(after_help = stats::EXAMPLES)]
    Stats(stats::Args),
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::List(args) => catalogue::list(args),
        Command::Fetch(args) => catalogue::fetch(args),
        Command::Show(args) => show::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Decontaminate(args) => decontaminate::run(args),
        Command::Stats(args) => stats::run(args),
    }
}
