//! `camelid eval`: measuring models.

mod agreement;
mod battle_files;
mod judge;
mod longeval;
mod outputs;
mod ratings;
mod score;
mod tasks;

use anyhow::Result;

pub use outputs::command_line;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Rate models from pairwise verdicts, with intervals and position effect
    #[command(after_help = ratings::EXAMPLES)]
    Ratings(ratings::Args),
    /// Put questions to models and have a judge grade or compare the answers
    Judge(Box<judge::Args>),
    /// How often judges agree with each other and with humans
    #[command(after_help = agreement::EXAMPLES)]
    Agreement(agreement::Args),
    /// Put benchmark tasks to a model and score its answers
    Tasks(tasks::Args),
    /// Score completions and judgments that exist already
    Score(score::Args),
    /// LongEval: what a model still finds in a long text
    #[command(subcommand, after_help = longeval::EXAMPLES)]
    Longeval(longeval::Command),
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Ratings(args) => ratings::run(args),
        Command::Judge(args) => judge::run(args),
        Command::Agreement(args) => agreement::run(args),
        Command::Tasks(args) => tasks::run(args),
        Command::Score(args) => score::run(args),
        Command::Longeval(command) => longeval::run(command),
    }
}
