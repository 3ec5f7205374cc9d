//! `camelid eval score`: scores of completions and judgments that exist already.

use std::path::PathBuf;

use anyhow::Result;
use camelid_eval::judge::Resampling;
use camelid_eval::score::{self, ProgramSuite, SampleForm, ScoreReport};
use camelid_eval::tasks::{DataPlaces, Task};
use camelid_files::program;
use camelid_sandbox::{Isolation, Limits, Sandbox};
use clap::ValueEnum;

use super::tasks::places;

const EXAMPLES: &str = "Examples:
  camelid eval score humaneval samples.jsonl --pass-at 1 --pass-at 10
  camelid eval score mbpp samples.jsonl.gz --data mbpp.test.zip --json
  camelid eval score gsm8k completions.jsonl
  camelid eval score mt-bench gpt-4_single.jsonl gpt-4_pair.jsonl
  camelid eval score vicuna-reviews review_gpt35_vicuna-13b.jsonl";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What the files hold
    #[arg(value_enum)]
    suite: Suite,
    /// JSON lines, arrays or tables, compressed or not; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder, file, wheel or .zip with the problems; may be repeated. What is not there comes from the
    /// catalogue
    #[arg(long)]
    data: Vec<PathBuf>,
    /// Report pass@k for this k; may be repeated [default: those of 1, 10 and 100 that there are samples
    /// enough for]
    #[arg(long = "pass-at", value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    pass_at: Vec<u64>,
    /// Samples are replies of chat models: take the code out of fences, put a lost line break or
    /// indentation back, let a function count that is defined again
    #[arg(long)]
    replies: bool,
    /// Run programs even where the kernel refuses to isolate them. Only inside a machine or container
    /// made for the purpose
    #[arg(long)]
    run_without_isolation: bool,
    /// Print the scores as JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// Samples with `task_id` and `completion` or `solution`
    Humaneval,
    /// The same for MBPP's test set
    Mbpp,
    /// Completions whose last number is the answer
    Gsm8k,
    /// FastChat's gpt-4_single.jsonl or gpt-4_pair.jsonl
    MtBench,
    /// Reviews with two grades each, as Vicuna's first evaluation
    VicunaReviews,
}

pub fn run(args: &Args) -> Result<()> {
    match args.suite {
        Suite::Humaneval => args.programs(ProgramSuite::HumanEval),
        Suite::Mbpp => args.programs(ProgramSuite::Mbpp),
        Suite::Gsm8k => {
            // The problems are worth fetching; completions may bring their right answers along.
            let task = Task::open("gsm8k")?;
            match places(&[task], Some(0), DataPlaces::open(&args.data)?) {
                Ok(places) => args.give(&score::numbers(&args.files, &places)?),
                Err(missing) => {
                    let scores = score::numbers(&args.files, &DataPlaces::default());
                    let scores = scores.ok().filter(|scores| scores.remarks.unreadable.is_empty());
                    args.give(&scores.ok_or(missing)?)
                }
            }
        }
        Suite::MtBench => args.give(&score::judgments(&args.files, &Resampling::default())?),
        Suite::VicunaReviews => args.give(&score::reviews(&args.files)?),
    }
}

impl Args {
    fn programs(&self, suite: ProgramSuite) -> Result<()> {
        let isolation = match self.run_without_isolation {
            true => Isolation::AsFarAsPossible,
            false => Isolation::Required,
        };
        let sandbox = Sandbox::new(Limits::default(), isolation)?;
        let places = places(&[suite.task()?], Some(0), DataPlaces::open(&self.data)?)?;
        let progress = |done: usize, of: usize| {
            if done.is_multiple_of((of / 10).max(1)) || done == of {
                camelid_files::say!("{done} of {of} programs have run");
            }
        };
        let form = if self.replies { SampleForm::Replies } else { SampleForm::AsTheyStand };
        let scores = score::programs(suite, &self.files, form, &places, &self.pass_at, &sandbox, progress)?;
        self.give(&scores)
    }

    fn give(&self, report: &impl ScoreReport) -> Result<()> {
        let text = if self.json { serde_json::to_string_pretty(report)? + "\n" } else { report.text() };
        Ok(program::print(text)?)
    }
}
