//! `camelid data`: the catalogue of sources, and the user's own conversations.

mod catalogue;
mod clean;
mod clean_report;
mod convert;
mod decontaminate;
mod filter;
mod inspect;
mod markdown;
mod passing;
pub mod reading;
mod show;
mod split;
mod stats;
pub mod test_sets;

use std::process::ExitCode;

use anyhow::Result;
use camelid_data::DataError;
use camelid_data::Mode;
use clap::builder::{PossibleValuesParser, TypedValueParser};

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
    /// Clean raw ShareGPT pages: HTML to Markdown, conversations dropped by rule, and why
    #[command(after_help = clean::EXAMPLES)]
    Clean(clean::Args),
    /// Convert a page's HTML on standard input to Markdown
    #[command(after_help = markdown::EXAMPLES)]
    Markdown(markdown::Args),
    /// Split long conversations into parts that fit a model's context
    #[command(after_help = split::EXAMPLES)]
    Split(split::Args),
    /// Leave out conversations that break a rule
    #[command(after_help = filter::EXAMPLES)]
    Filter(filter::Args),
    /// Show the tokens that carry loss, and prove that they are the answers and nothing else
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
}

/// Takes the names of the modes, and lists them in the help.
fn mode_parser() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(Mode::as_str)).try_map(|name| name.parse::<Mode>())
}

/// Runs a command; one that was interrupted ends with 130, as the shell has it.
pub fn run(command: &Command) -> Result<ExitCode> {
    match run_command(command) {
        Err(error) if matches!(error.downcast_ref(), Some(DataError::Stopped)) => {
            camelid_files::say!("{error}");
            Ok(ExitCode::from(130))
        }
        ended => ended,
    }
}

fn run_command(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Clean(args) => return clean::run(args),
        Command::Markdown(args) => return markdown::run(args),
        Command::List(args) => catalogue::list(args),
        Command::Fetch(args) => catalogue::fetch(args),
        Command::Show(args) => show::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Decontaminate(args) => decontaminate::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Split(args) => split::run(args),
        Command::Filter(args) => filter::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}
