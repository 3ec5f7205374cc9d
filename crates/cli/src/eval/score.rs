//! `camelid eval score`: scores of completions and judgments that exist already.

use std::path::PathBuf;

use anyhow::Result;
use camelid_eval::answers::{Leniency, Protocol, Reading};
use camelid_eval::judge::Resampling;
use camelid_eval::score::{
    self, AnswerOptions, AnswerSuite, ProgramSuite, SampleForm, SampleOptions, ScoreReport,
};
use camelid_eval::tasks::DataPlaces;
use camelid_files::program;
use camelid_sandbox::programs::cut::Cut;
use camelid_sandbox::{Isolation, Sandbox};
use clap::ValueEnum;

use super::tasks::places;
use crate::choice::one_of;

const EXAMPLES: &str = "Examples:
  camelid eval score humaneval samples.jsonl --pass-at 1 --pass-at 10
  camelid eval score mbpp samples.jsonl.gz --data mbpp.test.zip --json
  camelid eval score humaneval replies.jsonl --cut wizardcoder
  camelid eval score gsm8k completions.jsonl
  camelid eval score gsm8k completions.jsonl --allow percent,close
  camelid eval score math completions.jsonl --like wizardmath
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
    /// humaneval, mbpp: where samples end: a list of response, carriage-returns, python-fence, python-fence-line,
    /// main-guard, example-usage, test-examples, asserts, stop-sequences, one after the other; `wizardcoder` is what
    /// its script for this set does
    #[arg(long, value_name = "RULES", value_delimiter = ',', value_parser = ending)]
    cut: Vec<Ending>,
    /// humaneval, mbpp: the field that holds the samples [default: completion, solution or code]
    #[arg(long)]
    field: Option<String>,
    /// gsm8k, math: whose way of reading and comparing answers. `camelid` is strict for numbers, and for expressions
    /// compares what MATH's authors compare (`notation`)
    #[arg(long, value_name = "SCRIPT", default_value = "camelid", value_parser = one_of(Protocol::ALL, Protocol::name))]
    like: Protocol,
    /// gsm8k, math: where in a completion the answer stands, if not where --like says. `marker`: behind ####, else
    /// the last number; `boxed`; `phrase`: behind "The answer is: "; `tora`: in a box, behind "he answer is", the
    /// last program's output, the last number
    #[arg(long, value_parser = one_of(Reading::ALL, Reading::name))]
    read: Option<Reading>,
    /// gsm8k, math: what counts as equal, instead of what --like allows: a list of one-separator, round-whole,
    /// round-3, close, percent, notation, decoration, brackets, elements, value, unreadable; or `none`
    #[arg(long, value_delimiter = ',', value_parser = allowed)]
    allow: Vec<Allowed>,
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
    /// HumanEval's samples against EvalPlus's tests
    HumanevalPlus,
    /// MBPP's samples against EvalPlus's tests
    MbppPlus,
    /// Completions that end in a number
    Gsm8k,
    /// Completions that end in an expression, in a box
    Math,
    /// FastChat's gpt-4_single.jsonl or gpt-4_pair.jsonl
    MtBench,
    /// Reviews with two grades each, as Vicuna's first evaluation
    VicunaReviews,
}

pub fn run(args: &Args) -> Result<()> {
    match args.suite {
        Suite::Humaneval => args.programs(ProgramSuite::HumanEval),
        Suite::Mbpp => args.programs(ProgramSuite::Mbpp),
        Suite::HumanevalPlus => args.programs(ProgramSuite::HumanEvalPlus),
        Suite::MbppPlus => args.programs(ProgramSuite::MbppPlus),
        Suite::Gsm8k => args.answers(AnswerSuite::Gsm8k),
        Suite::Math => args.answers(AnswerSuite::Math),
        Suite::MtBench => args.give(&score::judgments(&args.files, &Resampling::default())?),
        Suite::VicunaReviews => args.give(&score::reviews(&args.files)?),
    }
}

/// A word of `--cut`; `wizardcoder` is none of the rules but several.
type Ending = Option<Cut>;

fn ending(word: &str) -> Result<Ending, String> {
    match Cut::ALL.into_iter().find(|rule| rule.name() == word) {
        Some(rule) => Ok(Some(rule)),
        None if word == "wizardcoder" => Ok(None),
        None => {
            let names: Vec<&str> = Cut::ALL.into_iter().map(Cut::name).collect();
            Err(format!("expected wizardcoder, or some of {}", names.join(", ")))
        }
    }
}

/// A word of `--allow`; `none` is no leniency.
type Allowed = Option<Leniency>;

fn allowed(word: &str) -> Result<Allowed, String> {
    match Leniency::ALL.into_iter().find(|leniency| leniency.name() == word) {
        Some(leniency) => Ok(Some(leniency)),
        None if word == "none" => Ok(None),
        None => {
            let names: Vec<&str> = Leniency::ALL.into_iter().map(Leniency::name).collect();
            Err(format!("expected none, or some of {}", names.join(", ")))
        }
    }
}

impl Args {
    fn answers(&self, suite: AnswerSuite) -> Result<()> {
        let options = AnswerOptions {
            protocol: self.like,
            reading: self.read,
            allow: (!self.allow.is_empty()).then(|| self.allow.iter().copied().flatten().collect()),
        };
        let scored = |places: &DataPlaces| score::answers(suite, &self.files, &options, places);
        // The problems are worth fetching; completions may bring their right answers along.
        match places(&[suite.task()?], Some(0), DataPlaces::open(&self.data)?) {
            Ok(places) => self.give(&scored(&places)?),
            Err(missing) => {
                let scores = scored(&DataPlaces::default());
                let scores = scores.ok().filter(|scores| scores.remarks.unreadable.is_empty());
                self.give(&scores.ok_or(missing)?)
            }
        }
    }

    fn programs(&self, suite: ProgramSuite) -> Result<()> {
        let isolation = match self.run_without_isolation {
            true => Isolation::AsFarAsPossible,
            false => Isolation::Required,
        };
        let sandbox = Sandbox::new(suite.limits(), isolation)?;
        let places = places(&[suite.task()?], Some(0), DataPlaces::open(&self.data)?)?;
        let progress = |done: usize, of: usize| {
            if done.is_multiple_of((of / 10).max(1)) || done == of {
                camelid_files::say!("{done} of {of} programs have run");
            }
        };
        let rules = |word: &Ending| word.map_or(suite.wizardcoder().to_vec(), |rule| vec![rule]);
        let options = SampleOptions {
            field: self.field.clone(),
            cuts: self.cut.iter().flat_map(rules).collect(),
            form: if self.replies { SampleForm::Replies } else { SampleForm::AsTheyStand },
            ks: self.pass_at.clone(),
        };
        let scores = score::programs(suite, &self.files, &options, &places, &sandbox, progress)?;
        self.give(&scores)
    }

    fn give(&self, report: &impl ScoreReport) -> Result<()> {
        let text = if self.json { serde_json::to_string_pretty(report)? + "\n" } else { report.text() };
        Ok(program::print(text)?)
    }
}
