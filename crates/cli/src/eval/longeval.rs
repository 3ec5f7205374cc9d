//! `camelid eval longeval`: accuracy against length.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::module::Module;
use camelid_chat::TextGenerator;
use camelid_chat::openai::OpenAiConfig;
use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_eval::LocalModel;
use camelid_eval::judge::{Model, ModelPlace, ModelSpec};
use camelid_eval::longeval::{AnswerFile, CaseFile, Completing, LongEvalModel, LongEvalScores, LongEvalTask};
use camelid_eval::tasks::ModelFacts;
use camelid_kernels::device_label;
use camelid_model::{Llama, RopeScaling};
use clap::ValueEnum;

use super::outputs::{Outputs, command_line};
use super::tasks::Progress;
use crate::choice::LoadArg;
use crate::device::DeviceArg;
use crate::model_files::{locate, open, tell, template, tokenizer_file};
use crate::waiting::stop_on_ctrl_c;

pub const EXAMPLES: &str = "Examples:
  camelid eval longeval generate --task lines --lengths 200,300 --out tests
  camelid eval longeval run --model SmolLM2-135M-Instruct --template auto --cases tests";

const GENERATE: &str = "Examples:
  camelid eval longeval generate --task lines --lengths 200,300,400,500,600,680 --out tests
  camelid eval longeval generate --task topics --lengths 5,10,15,20,25 --seed 1 --out tests";

const SCORE: &str = "Examples:
  camelid eval longeval score predictions/longchat-13b-16k/*_response.txt
  camelid eval longeval score lines/predictions topics/predictions --html longeval.html
  camelid eval longeval score 200_response.txt --json";

const RUN: &str = "Examples:
  camelid eval longeval run --model SmolLM2-135M-Instruct --template auto --task lines --lengths 20,40,80
  camelid eval longeval run --model vicuna-7b-v1.5-16k --template vicuna_v1.1 --cases tests --html longeval.html
  camelid eval longeval run --model model.gguf --rope-factor 4 --cases 200_lines.jsonl --json
  camelid eval longeval run --model http://localhost:8000/v1#vicuna --cases tests --out longeval";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make test files, the same for the same seed
    #[command(after_help = GENERATE)]
    Generate(Generate),
    /// Score files of predictions
    #[command(after_help = SCORE)]
    Score(Score),
    /// Put test files to a model, or to an endpoint, and score its answers
    #[command(after_help = RUN)]
    Run(Box<Run>),
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Generate(args) => args.run(),
        Command::Score(args) => args.run(),
        Command::Run(args) => args.run(),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Task {
    /// The number in one line of a record
    Lines,
    /// The first topic of a conversation
    Topics,
}

/// Test cases that are made up.
#[derive(clap::Args)]
struct MadeUp {
    /// What is looked for
    #[arg(long, value_enum, default_value = "lines")]
    task: Task,
    /// Lines or topics of a case, as in 200,300 [default: 200,300,400,500,600,680 lines or 5,10,15,20,25
    /// topics]
    #[arg(long, alias = "length", value_name = "N,N", value_delimiter = ',')]
    lengths: Vec<usize>,
    /// Cases of each length
    #[arg(long, default_value_t = 50, value_name = "N")]
    count: usize,
    /// Seed of the cases
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl MadeUp {
    fn make(&self) -> Result<Vec<CaseFile>> {
        let (task, usual): (_, &[usize]) = match self.task {
            Task::Lines => (LongEvalTask::Lines, &[200, 300, 400, 500, 600, 680]),
            Task::Topics => (LongEvalTask::Topics, &[5, 10, 15, 20, 25]),
        };
        let lengths = if self.lengths.is_empty() { usual } else { &self.lengths };
        lengths.iter().map(|&length| Ok(CaseFile::generate(task, length, self.count, self.seed)?)).collect()
    }
}

#[derive(clap::Args)]
pub struct Generate {
    #[command(flatten)]
    made_up: MadeUp,
    /// Folder for the test files, such as 200_lines.jsonl
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Generate {
    fn run(&self) -> Result<()> {
        let files = self.made_up.make()?;
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        for file in files {
            let path = file.write(&self.out)?;
            let longest = file.cases.iter().map(|case| case.prompt().len()).max().unwrap_or(0);
            println!("{}: {} cases of up to {longest} characters", path.display(), file.cases.len());
        }
        Ok(())
    }
}

#[derive(clap::Args)]
pub struct Score {
    /// Files of predictions, or folders that are searched for *_response.txt
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

impl Score {
    fn run(&self) -> Result<()> {
        let paths = found(&self.files, &["_response.txt"])?;
        self.outputs.check(&paths)?;
        let files = paths.iter().map(|path| Ok(AnswerFile::read(path)?)).collect::<Result<Vec<_>>>()?;
        self.outputs.give(&LongEvalScores::new(&files, command_line(), Vec::new()))
    }
}

#[derive(clap::Args)]
pub struct Run {
    /// [NAME=]PATH of a model's files, or [NAME=]URL#MODEL at an OpenAI-compatible endpoint (URL up to and
    /// with /v1)
    #[arg(long)]
    model: ModelSpec,
    /// Test file, or a folder that is searched for *_lines.jsonl and *_topics.jsonl; may be repeated. Made up
    /// unless given
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task", "lengths", "count", "seed"])]
    cases: Vec<PathBuf>,
    #[command(flatten)]
    made_up: MadeUp,
    /// Ask only the first cases of each length
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Chat template by name that prompts go through, auto for the model's own; none unless given
    #[arg(long)]
    template: Option<String>,
    /// Stretch the rotary frequencies by this factor (linear), in place of what the model's config.json says
    #[arg(long, value_name = "FACTOR")]
    rope_factor: Option<f64>,
    #[command(flatten)]
    load: LoadArg,
    #[command(flatten)]
    device: DeviceArg,
    /// Tokens an answer may take [default: 100 for lines, 50 for topics]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Requests under way at a time at an endpoint
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    concurrency: u32,
    /// Environment variable with the API key of the endpoint
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Folder for replies and predictions; a run that was broken off goes on from it
    #[arg(long, default_value = "longeval", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

impl Run {
    fn run(&self) -> Result<()> {
        let mut files = match self.cases.is_empty() {
            true => self.made_up.make()?,
            false => found(&self.cases, &["_lines.jsonl", "_topics.jsonl"])?
                .iter()
                .map(|path| Ok(CaseFile::read(path)?))
                .collect::<Result<_>>()?,
        };
        if let Some(limit) = self.limit {
            files.iter_mut().for_each(|file| file.cases.truncate(limit as usize));
        }
        files.sort_by_key(|file| (file.task, file.size));
        self.outputs.check(&self.cases)?;
        match &self.model.place {
            ModelPlace::Files(path) => self.local(path, &files),
            ModelPlace::Endpoint { base_url, model } => {
                if self.template.is_some() || self.rope_factor.is_some() || self.load.is_given() {
                    bail!(
                        "--template, --rope-factor and --load are for a model in files; an endpoint has its own"
                    );
                }
                let mut config = OpenAiConfig::new(base_url, model);
                config.api_key_env.clone_from(&self.api_key_env);
                let settings =
                    RunSettings { concurrency: self.concurrency as usize, ..RunSettings::default() };
                let model = Model::endpoint(&self.model.name, config, settings.clone())?;
                self.answer(&files, &model.request_name, model.generator.as_ref(), settings, Vec::new())
            }
        }
    }

    fn local(&self, path: &Path, files: &[CaseFile]) -> Result<()> {
        let device = self.device.open()?;
        let path = &locate(path)?;
        let source = open(path)?;
        let tokenizer = tokenizer_file(path)?;
        tell(&tokenizer.notes);
        let template = self.template.as_ref().map(|name| template(name, &tokenizer)).transpose()?;
        let storage = self.load.storage(source.as_ref())?;
        let mut model = Llama::load(source.as_ref(), &storage, &device)?.valid();
        if let Some(factor) = self.rope_factor {
            model = model.with_rope_scaling(RopeScaling::Linear { factor })?;
        }
        let context = model.config().context_length();
        let facts = ModelFacts {
            template: template.as_ref().map(|template| template.name().to_owned()),
            ..ModelFacts::of_files(path, source.describe(), &storage, device_label(&device))?
        };
        let request_name = format!(
            "{} {} {} {:?} {}",
            self.model.name,
            facts.sha256,
            facts.load,
            model.config().rope_scaling,
            facts.template.as_deref().unwrap_or("without a template"),
        );
        let notes = vec![
            format!(
                "{}: {}, held as {}, {}, template {}, sha256 {}",
                self.model.name,
                facts.description,
                facts.load,
                facts.device,
                facts.template.as_deref().unwrap_or("none"),
                facts.sha256
            ),
            format!(
                "a context of {context} tokens; prompts beyond it are shown whole, at positions it was not made for"
            ),
        ];
        let local = LocalModel::new(&model, &tokenizer, template).map_err(anyhow::Error::from_boxed)?;
        let generator = Completing::new(local.beyond_context());
        let settings = RunSettings { concurrency: 1, ..RunSettings::default() };
        self.answer(files, &request_name, &generator, settings, notes)
    }

    fn answer(
        &self,
        files: &[CaseFile],
        request_name: &str,
        generator: &dyn TextGenerator,
        settings: RunSettings,
        notes: Vec<String>,
    ) -> Result<()> {
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        let store = RequestStore::open(&self.out.join("replies.jsonl"))?;
        let stop = stop_on_ctrl_c()?;
        let max_new_tokens = self.max_new_tokens;
        let model =
            LongEvalModel { name: &self.model.name, request_name, generator, settings, max_new_tokens };
        let mut answers = Vec::with_capacity(files.len());
        for file in files {
            let mut progress = Progress::new(&format!("{} {}", file.size, file.task.as_str()));
            let answered =
                model.answer(file, &store, &self.out, stop, &mut |(done, of)| progress.tell(done, of));
            progress.end();
            let answered = answered?;
            camelid_files::say!("wrote {}", answered.path.display());
            answers.push(answered);
        }
        self.outputs.give(&LongEvalScores::new(&answers, command_line(), notes))
    }
}

/// The files as they are, and those in folders, however deep, whose names end so.
fn found(paths: &[PathBuf], endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for path in paths {
        if path.is_dir() { folders.push(path.clone()) } else { files.push(path.clone()) }
    }
    let given = files.len();
    while let Some(folder) = folders.pop() {
        let unreadable = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = camelid_files::name(&path);
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                files.push(path);
            }
        }
    }
    files[given..].sort();
    if files.is_empty() {
        bail!("no file named *{} there", endings.join(" or *"));
    }
    Ok(files)
}
