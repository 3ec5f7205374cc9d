//! `camelid eval judge`: answers graded or compared by a model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::openai::LengthField;
use camelid_chat::requests::{Prices, RequestStore, RunSettings};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_eval::judge::{
    EndpointSettings, Mode, ModelSpec, Opponents, PromptSet, Protocol, QuestionSet, Resampling, Setup,
};
use camelid_eval::report::JudgeReport;
use camelid_files::FileError;
use camelid_files::program::UsageError;
use camelid_recipe::{requests_bar, show_requests};
use clap::ValueEnum;

use super::outputs::{Outputs, command_line};
use crate::device::DeviceArg;
use crate::model_files::located;
use crate::waiting::stop_on_ctrl_c;

const EXAMPLES: &str = "Examples:
  camelid eval judge --model model.gguf --judge http://localhost:8000/v1#judge --first 10
  camelid eval judge --model https://api.openai.com/v1#gpt-4o-mini --api-key-env OPENAI_API_KEY \\
      --judge https://api.openai.com/v1#o3 --judge-api-key-env OPENAI_API_KEY \\
      --judge-body '{\"reasoning_effort\": \"low\"}' --judge-temperature 1 --judge-max-tokens 8192
  camelid eval judge --answers one.jsonl --answers other.jsonl --mode pair --judge URL#MODEL --json";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model to be asked, [NAME=]PATH of its files or their name in the catalogue, or [NAME=]URL#MODEL at an
    /// OpenAI-compatible endpoint (URL up to and with /v1); may be given more than once
    #[arg(long, value_name = "MODEL")]
    model: Vec<ModelSpec>,
    /// Answers that are there already, in FastChat's model_answer format; may be given more than once
    #[arg(long, value_name = "FILE")]
    answers: Vec<PathBuf>,
    /// The judge, named as a model is
    #[arg(long, value_name = "MODEL")]
    judge: ModelSpec,
    /// mt-bench, vicuna, or a file in the format of FastChat's question.jsonl
    #[arg(long, default_value = "mt-bench", value_name = "NAME|FILE")]
    question_set: String,
    /// Right answers for mathematics, reasoning and coding, in FastChat's model_answer format
    /// [default: GPT-4's for mt-bench and vicuna]
    #[arg(long, value_name = "FILE", conflicts_with = "without_references")]
    references: Option<PathBuf>,
    /// Judge every category without reference answers
    #[arg(long)]
    without_references: bool,
    /// Judge prompts: own (Camelid's), fastchat (MT-bench's), or a file of either's format
    #[arg(long, default_value = "own", value_name = "NAME|FILE")]
    prompts: String,
    /// Temperatures and lengths as TOML [default: MT-bench's]
    #[arg(long, value_name = "FILE")]
    protocol: Option<PathBuf>,
    /// What the judge is asked for
    #[arg(long, value_enum, default_value = "single")]
    mode: ModeArg,
    /// Compare every model with this one [default: every two]; scores are also given over its own
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Ask the first questions only
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    first: Option<u32>,
    /// Seed of the answers' sampling and of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draws of the questions for the intervals
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    bootstrap: u32,
    /// Requests under way at a time at an endpoint
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// Most requests a minute to an endpoint
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<f64>,
    /// Prices of a model's endpoint per million tokens: of prompts, of replies
    #[arg(long, value_name = "IN,OUT")]
    price: Option<Prices>,
    /// The same for the judge's endpoint
    #[arg(long, value_name = "IN,OUT")]
    judge_price: Option<Prices>,
    /// Most that the run may spend, in the currency of the prices
    #[arg(long, value_name = "AMOUNT")]
    spending_limit: Option<f64>,
    /// Environment variable with the API key of the models' endpoint
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Environment variable with the API key of the judge's endpoint
    #[arg(long, value_name = "VARIABLE")]
    judge_api_key_env: Option<String>,
    /// Temperature of the judge [default: the protocol's, 0]. A server that refuses it is asked without
    #[arg(long, value_name = "NUMBER")]
    judge_temperature: Option<f32>,
    /// Longest judgment in tokens [default: the protocol's, 2048]; judges that think need more
    #[arg(long, value_name = "COUNT")]
    judge_max_tokens: Option<usize>,
    /// Temperature of all answers [default: the protocol's, by category]
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f32>,
    /// Longest answer in tokens [default: the protocol's, 1024]
    #[arg(long, value_name = "COUNT")]
    max_tokens: Option<usize>,
    /// Further fields of every request to the models' endpoint, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    body: Option<Body>,
    /// The same for the judge's endpoint
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    judge_body: Option<Body>,
    /// The field that bounds the length of replies, at both endpoints: max_tokens or
    /// max_completion_tokens [default: what the server takes]
    #[arg(long, value_name = "FIELD", value_parser = length_field)]
    length_field: Option<LengthField>,
    /// Attempts after one that failed in passing [default: 5]
    #[arg(long, value_name = "COUNT")]
    retries: Option<u32>,
    /// Folder that keeps every reply and the answers: a run that was broken off goes on from it
    #[arg(long, default_value = "judged", value_name = "DIR")]
    run: PathBuf,
    /// Say what the run would take, and stop
    #[arg(long)]
    dry_run: bool,
    /// Use question sets that are cached or mirrored; fetch nothing
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    outputs: Outputs,
}

/// A JSON object.
type Body = serde_json::Map<String, serde_json::Value>;

fn json_object(text: &str) -> Result<Body, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("{error}; expected a JSON object such as {{\"reasoning_effort\": \"low\"}}"))
}

fn length_field(text: &str) -> Result<LengthField, String> {
    match text {
        "max_tokens" => Ok(LengthField::MaxTokens),
        "max_completion_tokens" => Ok(LengthField::MaxCompletionTokens),
        _ => Err("expected max_tokens or max_completion_tokens".to_owned()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    /// Grade each answer from 1 to 10
    Single,
    /// Name the better of two answers, in both orders
    Pair,
    /// Grade two answers at once, in both orders (first turns only)
    Scores,
}

pub fn run(args: &Args) -> Result<()> {
    let inputs: Vec<PathBuf> = args.answers.iter().chain(&args.references).cloned().collect();
    args.outputs.check(&inputs)?;
    let device = args.device.open()?;
    let setup = args.setup()?;
    std::fs::create_dir_all(&args.run).with_context(|| format!("cannot create {}", args.run.display()))?;
    let store = RequestStore::open(&args.run.join("replies.jsonl"))?;
    if !store.report().damaged.is_empty() {
        camelid_files::say!(
            "{} lines of replies.jsonl hold no reply; theirs are asked again",
            store.report().damaged.len()
        );
    }
    let session = setup.open(&device)?;
    for note in session.notes() {
        camelid_files::say!("warning: {note}");
    }
    for line in session.forecast(&store)?.lines() {
        camelid_files::say!("{line}");
    }
    if args.dry_run {
        return Ok(());
    }
    let stop = stop_on_ctrl_c()?;
    let bar = requests_bar();
    let judged = session.run(&store, stop, &mut |stage, progress| show_requests(&bar, stage, &progress));
    bar.finish_and_clear();
    let judged = judged?;
    for line in judged.tally.lines(args.price.or(args.judge_price).is_some()) {
        camelid_files::say!("{line}");
    }
    for path in judged.write_answers(&args.run.join("answers"))? {
        camelid_files::say!("wrote {}", path.display());
    }
    let resampling =
        Resampling { replicates: args.bootstrap as usize, seed: args.seed, ..Resampling::default() };
    let title = format!("{} judged by {}", session.questions.name, session.judge.model.name);
    let shortcoming = judged.shortcoming();
    args.outputs.give(&JudgeReport::new(&title, &session, judged, resampling, command_line()))?;
    match shortcoming {
        Some(reason) => bail!(reason),
        None => Ok(()),
    }
}

impl Args {
    /// That every file which the options name is there, before anything is fetched.
    fn check_files(&self) -> Result<()> {
        let named = |word: &str, known: &[&str]| (!known.contains(&word)).then(|| PathBuf::from(word));
        let data = self.answers.iter().chain(&self.references).chain(&self.protocol).cloned();
        let data = data
            .chain(named(&self.prompts, &["own", "fastchat"]))
            .chain(named(&self.question_set, &["mt-bench", "vicuna"]));
        for path in data.filter(|path| path.as_path() != Path::new("-")) {
            std::fs::metadata(&path).map_err(FileError::io(&path, "open"))?;
        }
        Ok(())
    }

    fn setup(&self) -> Result<Setup> {
        if self.model.is_empty() && self.answers.is_empty() {
            let why = "nothing to judge: name a --model to be asked, or a file of --answers";
            return Err(UsageError(why.to_owned()).into());
        }
        self.check_files()?;
        let models = self.model.iter().map(located).collect::<Result<Vec<_>>>()?;
        let judge = located(&self.judge)?;
        let mut fetch = FetchOptions::from_env()?;
        fetch.offline |= self.offline;
        let known =
            |questions: &str, references: &str, name: &str| -> Result<(QuestionSet, Option<PathBuf>)> {
                let set = QuestionSet::read(&catalogue::fetch(questions, &fetch)?, name)?;
                let wanted = self.references.is_none() && !self.without_references;
                Ok((set, wanted.then(|| catalogue::fetch(references, &fetch)).transpose()?))
            };
        let (mut questions, references) = match self.question_set.as_str() {
            "mt-bench" => known("mt-bench-questions", "mt-bench-references", "MT-bench")?,
            "vicuna" => known("vicuna-questions", "vicuna-references", "Vicuna's questions")?,
            file => (QuestionSet::read(Path::new(file), &file_name(file))?, None),
        };
        if let Some(count) = self.first {
            questions = questions.first(count as usize);
        }
        let mode = match self.mode {
            ModeArg::Single => Mode::Single,
            ModeArg::Pair => Mode::Pair,
            ModeArg::Scores => Mode::Scores,
        };
        if mode == Mode::Scores {
            questions = questions.first_turns();
        }
        let mut protocol = match &self.protocol {
            Some(path) => Protocol::read(path)?,
            None => Protocol::mt_bench()?,
        };
        protocol.judge.temperature = self.judge_temperature.unwrap_or(protocol.judge.temperature);
        protocol.judge.max_new_tokens = self.judge_max_tokens.unwrap_or(protocol.judge.max_new_tokens);
        protocol.max_new_tokens = self.max_tokens.unwrap_or(protocol.max_new_tokens);
        if let Some(temperature) = self.temperature {
            protocol.default_temperature = temperature;
            protocol.temperatures.clear();
            questions.questions.iter_mut().for_each(|question| question.temperature = None);
        }
        let endpoint = |prices: Option<Prices>, key: &Option<String>, body: &Option<Body>| EndpointSettings {
            run: RunSettings {
                concurrency: self.concurrency as usize,
                requests_per_minute: self.requests_per_minute,
                prices,
                ..RunSettings::default()
            },
            api_key_env: key.clone(),
            retries: self.retries,
            length_field: self.length_field.unwrap_or_default(),
            extra_body: body.clone().unwrap_or_default(),
        };
        Ok(Setup {
            references: self.references.clone().or(references),
            without_references: self.without_references,
            models,
            answers: self.answers.clone(),
            prompts: match self.prompts.as_str() {
                "own" => PromptSet::own()?,
                "fastchat" => PromptSet::read(&catalogue::fetch("fastchat-judge-prompts", &fetch)?)?,
                file => PromptSet::read(Path::new(file))?,
            },
            protocol,
            mode,
            opponents: match &self.baseline {
                Some(name) => Opponents::Baseline(name.clone()),
                None => Opponents::All,
            },
            seed: self.seed,
            model_endpoints: endpoint(self.price, &self.api_key_env, &self.body),
            judge_endpoint: endpoint(self.judge_price, &self.judge_api_key_env, &self.judge_body),
            spending_limit: self.spending_limit,
            ..Setup::new(questions, judge)?
        })
    }
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_stem();
    name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}
