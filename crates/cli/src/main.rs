//! `camelid`: the workspace's crates on the command line.
//!
//! No algorithms live here. Each command opens what it was given, calls the crate
//! that does the work, and says what came of it. Results go to standard output,
//! notices to standard error; any failure ends with exit code 1 and leaves nothing
//! half-written.

mod chat;
mod data;
mod device;
mod eval;
mod merge;
mod model_files;
mod output_dir;
mod quantize;

use std::process::ExitCode;

use camelid_kernels::Isa;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "camelid", version, about = "Quantise, merge, chat with and measure LLaMA-family models")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a model as Hugging Face files with bitsandbytes 4-bit weights
    Quantize(quantize::Args),
    /// Fold a PEFT adapter into its base model and measure what that did
    Merge(merge::Args),
    /// Talk with a model: one message a line; /reset, /quit
    Chat(chat::Args),
    /// Measure models: benchmark tasks, judged answers, ratings, agreement between judges
    #[command(subcommand)]
    Eval(eval::Command),
    /// Data sets and models of the catalogue
    #[command(subcommand)]
    Data(data::Command),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no failure. Nothing is
            // left to do when even the message cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    if let Err(error) = Isa::from_environment() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        Command::Quantize(args) => quantize::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::Eval(command) => eval::run(&command),
        Command::Data(command) => data::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
