//! MT-bench (Zheng et al. 2023): 80 questions of two turns, graded or compared by a judge.
//!
//! The questions, GPT-4's reference answers and the judge prompts are the published ones; answers are
//! sampled at FastChat's temperatures. A run that was broken off goes on where it was: every reply
//! is kept from the moment it arrives.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::Device;
use camelid_chat::requests::{Prices, RequestStore, RunError, RunSettings};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_eval::judge::{
    EndpointSettings, JudgeError, Mode, ModelSpec, Opponents, PromptSet, QuestionSet, Resampling, Setup,
};
use camelid_eval::report::JudgeReport;
use camelid_recipe::{requests_bar, show_requests};
use camelid_report::write_parquet;
use camelid_report::{Report, Tabular};
use clap::{Args, ValueEnum};

use super::Ending;
use crate::workspace::workspace;

/// Raised by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Options of the MT-bench recipe.
#[derive(Args, Clone)]
pub struct MtBenchArguments {
    /// Model to be asked, [NAME=]PATH of its files or [NAME=]URL#MODEL at an OpenAI-compatible
    /// endpoint (URL up to and with /v1); may be given more than once
    #[arg(long, value_name = "MODEL")]
    pub model: Vec<ModelSpec>,
    /// Answers that are there already, in FastChat's model_answer format; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub answers: Vec<PathBuf>,
    /// The judge, named as a model is
    #[arg(long, value_name = "MODEL")]
    pub judge: ModelSpec,
    /// Grade each answer, or compare every two in both orders
    #[arg(long, value_enum, default_value_t = MtBenchMode::Single)]
    pub mode: MtBenchMode,
    /// Compare with this model only
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Judge prompts: the published ones, or Camelid's own
    #[arg(long, value_enum, default_value_t = Prompts::Published)]
    pub prompts: Prompts,
    /// Ask the first questions only
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub first: Option<u32>,
    /// Seed of the answers' sampling and of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Requests under way at a time at an endpoint
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,
    /// Prices of a model's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT")]
    pub price: Option<Prices>,
    /// The same for the judge's endpoint
    #[arg(long, value_name = "IN,OUT")]
    pub judge_price: Option<Prices>,
    /// Most that the run may spend, in the currency of the prices
    #[arg(long, value_name = "AMOUNT")]
    pub spending_limit: Option<f64>,
    /// Environment variable with the API key of the models' endpoint
    #[arg(long, value_name = "VARIABLE")]
    pub api_key_env: Option<String>,
    /// Environment variable with the API key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE")]
    pub judge_api_key_env: Option<String>,
    /// Attempts after one that failed in passing [default: 5]
    #[arg(long, value_name = "COUNT")]
    pub retries: Option<u32>,
    /// Say what the run would take, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Use what is cached or mirrored; fetch nothing
    #[arg(long)]
    pub offline: bool,
    /// Where runs are kept [default: runs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
}

/// What the judge is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MtBenchMode {
    /// A grade from 1 to 10 for each answer
    Single,
    /// The better of two answers, in both orders
    Pair,
}

/// Where the judge prompts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Prompts {
    /// FastChat's
    Published,
    /// Camelid's own
    Own,
}

/// Asks the models, asks the judge, reports.
pub fn reproduce(arguments: &MtBenchArguments) -> anyhow::Result<Ending> {
    let started = Instant::now();
    if arguments.model.is_empty() && arguments.answers.is_empty() {
        bail!("nothing to judge: name a --model to be asked, or a file of --answers");
    }
    // 1. Questions, references and prompts, from a mirror, the cache or the network.
    let setup = setup(arguments)?;

    // 2. The folder with every reply so far, and what is left to ask.
    let folder = arguments.runs.clone().unwrap_or_else(|| workspace().join("runs")).join("mt-bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let store = RequestStore::open(&folder.join("replies.jsonl"))?;
    let session = setup.open(&Device::flex())?;
    for note in session.notes() {
        camelid_files::say!("warning: {note}");
    }
    for line in session.forecast(&store)?.lines() {
        println!("{line}");
    }
    if arguments.dry_run {
        return Ok(Ending::Finished);
    }

    // 3. The answers, then the judgments.
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")?;
    let bar = requests_bar();
    let judged = session.run(&store, &STOP, &mut |stage, progress| show_requests(&bar, stage, &progress));
    bar.finish_and_clear();
    let judged = match judged {
        Err(JudgeError::Run(error @ RunError::Interrupted { .. })) => {
            println!("{error}");
            return Ok(Ending::Interrupted);
        }
        judged => judged?,
    };
    judged.write_answers(&folder.join("answers"))?;

    // 4. The report.
    let shortcoming = judged.shortcoming();
    let resampling = Resampling { seed: arguments.seed, ..Resampling::default() };
    let mut report = JudgeReport::new("MT-bench", &session, judged, resampling, command(arguments));
    report.run.push(format!("{}, {}", camelid_recipe::today(), camelid_recipe::machine()));
    report.run.push(format!(
        "Camelid {}, {:.1} s from start to report",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_secs_f64()
    ));
    write_parquet(&folder.join("judgments.parquet"), &mut report.frame()?)?;
    let page = camelid_recipe::write_report(&folder, &report, &report.page()?)?;
    print!("{}", report.text());
    println!();
    for line in &report.run {
        println!("{line}");
    }
    println!("\nreport: {}", page.display());
    match shortcoming {
        Some(reason) => bail!(reason),
        None => Ok(Ending::Finished),
    }
}

fn setup(arguments: &MtBenchArguments) -> anyhow::Result<Setup> {
    let mut fetch = FetchOptions::from_env()?;
    fetch.offline |= arguments.offline;
    let mut questions = QuestionSet::read(&catalogue::fetch("mt-bench-questions", &fetch)?, "MT-bench")?;
    if let Some(count) = arguments.first {
        questions = questions.first(count as usize);
    }
    let endpoint = |prices: Option<Prices>, key: &Option<String>| EndpointSettings {
        run: RunSettings { concurrency: arguments.concurrency as usize, prices, ..RunSettings::default() },
        api_key_env: key.clone(),
        retries: arguments.retries,
        ..EndpointSettings::default()
    };
    Ok(Setup {
        references: Some(catalogue::fetch("mt-bench-references", &fetch)?),
        models: arguments.model.clone(),
        answers: arguments.answers.clone(),
        prompts: match arguments.prompts {
            Prompts::Published => PromptSet::read(&catalogue::fetch("fastchat-judge-prompts", &fetch)?)?,
            Prompts::Own => PromptSet::own()?,
        },
        mode: match arguments.mode {
            MtBenchMode::Single => Mode::Single,
            MtBenchMode::Pair => Mode::Pair,
        },
        opponents: match &arguments.baseline {
            Some(name) => Opponents::Baseline(name.clone()),
            None => Opponents::All,
        },
        seed: arguments.seed,
        model_endpoints: endpoint(arguments.price, &arguments.api_key_env),
        judge_endpoint: endpoint(arguments.judge_price, &arguments.judge_api_key_env),
        spending_limit: arguments.spending_limit,
        ..Setup::new(questions, arguments.judge.clone())?
    })
}

/// The command that repeats a run, without this machine's paths.
fn command(arguments: &MtBenchArguments) -> String {
    let mut command = "cargo xtask reproduce mt-bench".to_owned();
    for model in &arguments.model {
        command += &format!(" --model {}=MODEL", model.name);
    }
    for _ in &arguments.answers {
        command += " --answers FILE";
    }
    command += &format!(" --judge {}=MODEL", arguments.judge.name);
    if arguments.mode == MtBenchMode::Pair {
        command += " --mode pair";
    }
    if let Some(baseline) = &arguments.baseline {
        command += &format!(" --baseline {baseline}");
    }
    if arguments.prompts == Prompts::Own {
        command += " --prompts own";
    }
    if let Some(first) = arguments.first {
        command += &format!(" --first {first}");
    }
    if arguments.seed != 0 {
        command += &format!(" --seed {}", arguments.seed);
    }
    command
}
