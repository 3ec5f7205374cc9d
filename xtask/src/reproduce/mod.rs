//! `cargo xtask reproduce <recipe>`: one readable script per paper.

mod arena;
mod evolved;
mod guanaco;
mod mt_bench;
mod qlora_elo;
mod qlora_memory;
mod scale;
mod tuning;
mod vicuna;
mod wizardcoder;
mod wizardlm;
mod wizardmath;

use clap::{Args, Subcommand};

/// Which recipe to run.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// QLoRA on OASST1 conversations: full, LoRA and QLoRA arms side by side
    Guanaco(Box<tuning::TuningArguments>),
    /// Vicuna: raw ShareGPT pages to a tuned model, in first and later turns, and a context stretched
    Vicuna(Box<tuning::TuningArguments>),
    /// Evol-Instruct: instructions evolved, eliminated and mixed, and a base tuned on them against the first ones
    Wizardlm(Box<wizardlm::EvolvingArguments>),
    /// WizardMath's supervised half: sums evolved downward and upward, their answers checked step by step
    Wizardmath(Box<tuning::TuningArguments>),
    /// WizardCoder: small programs evolved, run and stopped by a development set
    Wizardcoder(Box<tuning::TuningArguments>),
    /// One QLoRA step of a 33B or 65B model in the memory of a small machine
    QloraMemory(qlora_memory::QloraMemoryArguments),
    /// QLoRA's Table 1, Elo ratings, from GPT-4's published judgments
    QloraElo(qlora_elo::QloraEloArguments),
    /// Chatbot Arena's leaderboard of August 2024, from the counts of 1.67 million votes
    Arena(arena::ArenaArguments),
    /// MT-bench: 80 questions of two turns, answered by models and graded or compared by a judge
    MtBench(Box<mt_bench::MtBenchArguments>),
}

/// How a task ended when nothing went wrong.
pub enum Ending {
    /// It came to its end.
    Finished,
    /// Ctrl-C: everything so far is saved.
    Interrupted,
}

/// Runs the chosen recipe.
pub fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    match &arguments.recipe {
        Recipe::Guanaco(arguments) => guanaco::reproduce(arguments),
        Recipe::Vicuna(arguments) => vicuna::reproduce(arguments),
        Recipe::Wizardlm(arguments) => wizardlm::reproduce(arguments),
        Recipe::Wizardmath(arguments) => wizardmath::reproduce(arguments),
        Recipe::Wizardcoder(arguments) => wizardcoder::reproduce(arguments),
        Recipe::QloraMemory(arguments) => qlora_memory::reproduce(arguments),
        Recipe::QloraElo(arguments) => qlora_elo::reproduce(arguments),
        Recipe::Arena(arguments) => arena::reproduce(arguments),
        Recipe::MtBench(arguments) => mt_bench::reproduce(arguments),
    }
}
