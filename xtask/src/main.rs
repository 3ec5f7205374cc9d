//! Camelid's front door: `cargo xtask reproduce guanaco`.

mod report;
mod reproduce;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Run the open-model recipes of 2023 again", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a paper's recipe and report claim by claim whether it held
    Reproduce(reproduce::Arguments),
}

fn main() {
    let arguments = Arguments::parse();
    let outcome = match arguments.task {
        Task::Reproduce(arguments) => reproduce::run(&arguments),
    };
    match outcome {
        Ok(reproduce::Ending::Finished) => {}
        Ok(reproduce::Ending::Interrupted) => std::process::exit(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
    }
}
