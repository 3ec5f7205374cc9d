//! `camelid`: the workspace's crates on the command line.
//!
//! No algorithms live here. Each command opens what it was given, calls the crate
//! that does the work, and says what came of it. Results go to standard output,
//! notices to standard error. A wrong command line ends with exit code 2, any other
//! failure with 1, and nothing is left half-written.

mod adapter;
mod arena;
mod chat;
mod choice;
mod controller;
mod data;
mod device;
mod doctor;
mod eval;
mod evolve;
mod export;
mod launch;
mod merge;
mod model_files;
mod output_dir;
mod quantize;
mod serve;
mod shell_files;
mod train;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;

use camelid_files::program;
use camelid_kernels::Isa;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "camelid",
    version,
    about = "Tune, quantise, merge, export, serve, chat with and measure LLaMA-family models",
    after_help = EXAMPLES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tune a model on conversations, as an experiment file says
    Train(train::Args),
    /// Write the file by which SkyPilot or Slurm runs an experiment
    Launch(launch::Args),
    /// Write a model as Hugging Face files with bitsandbytes 4-bit weights
    Quantize(quantize::Args),
    /// Fold a PEFT adapter into its base model and measure what that did
    Merge(merge::Args),
    /// Write a model, with an adapter folded in, as a GGUF file for llama.cpp
    Export(export::Args),
    /// Talk with a model: one message a line; /reset, /quit
    Chat(chat::Args),
    /// An arena: two models answer, people choose the better; votes become a leaderboard
    Arena(arena::Args),
    /// Serve a model by the API that every client speaks, with a page to chat
    Serve(serve::Args),
    /// Put many workers, `camelid serve` or FastChat's, behind one address
    Controller(controller::Args),
    /// Measure models: benchmark tasks, judged answers, ratings, agreement between judges
    #[command(subcommand, after_help = EVAL)]
    Eval(eval::Command),
    /// Evol-Instruct: a model rewrites instructions into harder ones
    #[command(subcommand, after_help = EVOLVE)]
    Evolve(evolve::Command),
    /// Data sets: the catalogue, and the user's own conversations cleaned, shown, converted and counted
    #[command(subcommand, after_help = DATA)]
    Data(data::Command),
    /// Say what this machine has for Camelid, and what it lacks
    Doctor(doctor::Args),
    /// Print the completions of a shell; see `camelid completions --help`
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for every command
    #[command(after_help = MAN)]
    Man {
        /// Write camelid.1, camelid-chat.1, … into this folder
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "Examples:
  camelid data fetch oasst1-ready-trees
  camelid chat --model models/llama --prompt 'Name three colours.'
  camelid eval ratings votes.csv
  camelid arena --demo
  camelid help eval tasks";

const EVAL: &str = "Examples:
  camelid eval tasks --model SmolLM2-135M-Instruct --task mmlu --limit 500
  camelid eval judge --model model.gguf --judge http://localhost:8000/v1#judge --first 10
  camelid eval ratings votes.csv --html board.html";

const EVOLVE: &str = "Examples:
  camelid evolve run evolve.toml --run runs/evolved
  camelid evolve report runs/evolved";

const DATA: &str = "Examples:
  camelid data list
  camelid data show sharegpt.json --limit 2
  camelid data clean raw.json --out clean.json
  camelid data convert sharegpt.json --to messages --out messages.jsonl";

const COMPLETIONS: &str = "Examples:
  camelid completions bash > ~/.local/share/bash-completion/completions/camelid
  camelid completions zsh > ~/.zfunc/_camelid
  camelid completions fish > ~/.config/fish/completions/camelid.fish";

const MAN: &str = "Examples:
  camelid man | man -l -
  camelid man --out ~/.local/share/man/man1";

fn main() -> ExitCode {
    let mut command = conventions(Cli::command());
    let cli =
        match command.try_get_matches_from_mut(std::env::args_os()).and_then(|m| Cli::from_arg_matches(&m)) {
            Ok(cli) => cli,
            // Help and version come this way too, and are no failure.
            Err(error) => {
                let code = error.exit_code();
                return match error.print() {
                    Err(cause) if !error.use_stderr() && cause.kind() != std::io::ErrorKind::BrokenPipe => {
                        camelid_files::say!("error: cannot print: {cause}");
                        ExitCode::FAILURE
                    }
                    _ => ExitCode::from(u8::try_from(code).unwrap_or(2)),
                };
            }
        };
    program::run(|| run(cli.command))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    Isa::from_environment()?;
    match command {
        Command::Train(args) => return train::run(&args),
        Command::Launch(args) => launch::run(&args),
        Command::Data(command) => return data::run(&command),
        Command::Quantize(args) => quantize::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Doctor(args) => return doctor::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Arena(args) => arena::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Controller(args) => controller::run(&args),
        Command::Eval(command) => eval::run(&command),
        Command::Evolve(command) => return evolve::run(&command),
        Command::Completions { shell } => shell_files::completions(conventions(Cli::command()), shell),
        Command::Man { out } => shell_files::man(conventions(Cli::command()), out.as_deref()),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// What holds for every command: a negative number is a value and no option.
fn conventions(mut command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, conventions);
    }
    command.allow_negative_numbers(true)
}

#[cfg(test)]
mod tests {
    use camelid_tests::pages;

    use super::*;

    #[test]
    fn every_command_shows_examples_of_itself() {
        fn check(command: &clap::Command, words: &str) {
            let below = command.get_subcommands().filter(|below| below.get_name() != "help");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("  {words}")), "`{words} --help` has no example");
            below.for_each(|below| check(below, &format!("{words} {}", below.get_name())));
        }
        check(&Cli::command(), "camelid");
    }

    /// What a shell is told on the pages, without the words before `camelid`'s own.
    fn typed() -> Vec<(std::path::PathBuf, Vec<String>)> {
        let mut found = Vec::new();
        for page in pages::pages() {
            let text = std::fs::read_to_string(&page).unwrap();
            for words in pages::commands(&text) {
                let own = words
                    .iter()
                    .position(|word| word == "camelid")
                    .filter(|at| *at == 0 || words[..*at].join(" ") == "cargo run -p");
                if let Some(at) = own {
                    let rest = words[at + 1..].iter().filter(|word| *word != "--" || at == 0);
                    let line = std::iter::once("camelid".to_owned()).chain(rest.cloned()).collect();
                    found.push((page.clone(), line));
                }
            }
        }
        found
    }

    #[test]
    fn every_command_line_of_the_pages_is_one() {
        let typed = typed();
        assert!(typed.len() > 80, "{}", typed.len());
        for (page, words) in typed {
            if let Err(error) = conventions(Cli::command()).try_get_matches_from(&words) {
                assert!(!error.use_stderr(), "{}: `{}`:\n{error}", page.display(), words.join(" "));
            }
        }
    }
}
