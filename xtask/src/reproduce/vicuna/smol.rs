//! Vicuna at small scale: a real model on real ShareGPT conversations, cleaned and split here, and its
//! answers to MT-bench for any judge.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use camelid_chat::Template;
use camelid_chat::requests::{Progress, RequestStore, RunError, Runner};
use camelid_data::catalogue::{self, FetchOptions};
use camelid_data::clean::{CleanOptions, clean};
use camelid_data::split_long::{SplitOptions, split_long};
use camelid_data::{Mode, PassOptions};
use camelid_eval::judge::{Answers, Live, Model, Protocol, QuestionSet, Stage};
use camelid_model::{Llama, TokenizerFile, model_place};
use camelid_recipe::{
    Arm as _, BaseFormat, Children, Experiment, Measured, RunOptions, Study, Trains, Tuning, TuningArm,
    find_base, requests_bar, show_requests, watch_for_interrupt,
};

use crate::reproduce::Ending;
use crate::reproduce::tuning::{Found, TuningArguments, part};

/// Raised whenever the recipe measures something in another way.
const RECIPE: &str = "vicuna smol 1";
/// The longest answer to MT-bench, in tokens: FastChat allows 1,024, which two cores have no time for.
const ANSWER_TOKENS: usize = 256;

/// Every weight trained, as Vicuna was.
const FULL: TuningArm = TuningArm {
    name: "full",
    label: "every weight trained",
    base: BaseFormat::F32,
    trains: Trains::Everything { learning_rate: 1.0 },
    optimizer_budget: None,
};

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &TuningArguments, mut experiment: Experiment) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let options = arguments.options()?;
    if let Some((_, seed)) = arguments.part() {
        let prepared = conversations(&experiment, &options, &AtomicBool::new(false))?;
        experiment.data.source = prepared.file.display().to_string();
        let finished = Study::prepare(experiment, &options, RECIPE)?.tune(&FULL, seed)?;
        return Ok(if finished { Ending::Finished } else { Ending::Interrupted });
    }
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);

    // 1. Conversations: fetched, cleaned, split to the length that is trained at.
    let prepared = conversations(&experiment, &options, &interrupted)?;
    experiment.data.source = prepared.file.display().to_string();
    arguments.refuse_what_cannot_fit(&experiment, &[FULL])?;
    let mut study = Study::prepare(experiment, &options, RECIPE)?;
    study.opened.about.extend(prepared.about);
    if options.fresh {
        study.forget()?;
    }

    // 2. The base before, and the model after.
    let Some(untuned) = study.untuned(&[BaseFormat::F32], &[FULL], &interrupted)? else {
        return arguments.interrupted();
    };
    let Some(ran) = study.run(&[(FULL, 1)], &children, part, &interrupted)? else {
        return arguments.interrupted();
    };

    // 3. Its answers to MT-bench.
    let path = study.comparison.folder.join("answers").join("camelid-vicuna-smol.jsonl");
    match mt_bench(&study, &study.tuned_model(&FULL, 0)?, &path, &options.fetch, &interrupted) {
        Err(error) if matches!(error.downcast_ref(), Some(RunError::Interrupted { .. })) => {
            return arguments.interrupted();
        }
        answered => answered?,
    }

    // 4. The report.
    let measured = Measured::of(&study, &[FULL], untuned, ran.outcomes);
    let evidence = measured.tuning(&FULL).map(|evidence| ("tuned", evidence)).into_iter().collect();
    let page = arguments.report(Found {
        recipe: "vicuna",
        paper: "vicuna",
        started,
        reused: ran.reused,
        device: &study.device,
        evidence,
        inputs: study.opened.about.clone(),
        details: Tuning::of(&study, &measured, &[FULL], &[FULL], None, Vec::new()),
        settings: FULL.experiment(&study.comparison.experiment, 0).to_toml()?,
        folder: &study.comparison.folder,
    })?;
    println!("\nanswers to MT-bench: {}", path.display());
    println!("graded by `camelid eval judge --question-set mt-bench --answers FILE --judge URL#MODEL`");
    println!("report: {}", page.display());
    Ok(Ending::Finished)
}

/// Conversations ready to tune on.
struct Prepared {
    /// Their file.
    file: PathBuf,
    /// What became of the pages, in lines for the report.
    about: Vec<String>,
}

/// Fetches, cleans and splits; what is there already is used again.
fn conversations(
    experiment: &Experiment,
    options: &RunOptions,
    stop: &AtomicBool,
) -> anyhow::Result<Prepared> {
    let folder = options.runs.join(&experiment.name).join("data");
    let (cleaned, file, told) =
        (folder.join("cleaned.jsonl"), folder.join("split.jsonl"), folder.join("about.json"));
    if told.exists() && !options.fresh {
        return Ok(Prepared { file, about: serde_json::from_slice(&std::fs::read(&told)?)? });
    }
    std::fs::create_dir_all(&folder)?;
    let raw = catalogue::fetch(&experiment.data.source, &options.fetch)?;
    // The file is cut off at its end; its whole rows are good.
    let english = Some("en".to_owned());
    let cleaning = CleanOptions { keep_language: english, salvage: true, ..CleanOptions::new(Mode::Correct) };
    println!("cleaning {}", camelid_files::name(&raw));
    let summary = clean(&raw, &cleaned, &cleaning, stop)?;

    let base = find_base(&experiment.model.base, &options.fetch, &options.runs)?;
    let tokenizer = TokenizerFile::open(model_place(&base))?;
    let template = match experiment.data.template.as_str() {
        "auto" => tokenizer.template()?,
        name => Template::builtin(name)?,
    };
    let splitting = SplitOptions {
        mode: Mode::Correct,
        tokenizer: &tokenizer.tokenizer,
        max_length: experiment.data.max_length,
        template: &template,
        cut_long: true,
    };
    println!("splitting into parts of {} tokens at most", experiment.data.max_length);
    let parts = split_long(&cleaned, &file, &splitting, PassOptions { strict: true, lineage: None, stop })?;
    let about = vec![
        format!(
            "ShareGPT: {} conversations, {} kept by the cleaning ({} of {} rounds)",
            summary.total, summary.kept, summary.rounds_out, summary.rounds_in
        ),
        format!(
            "{} parts of {} tokens at most, {} long rounds cut",
            parts.parts, parts.max_length, parts.cut.count
        ),
    ];
    camelid_files::write_whole(&told, &serde_json::to_vec(&about)?)?;
    Ok(Prepared { file, about })
}

/// The model's answers to MT-bench's 80 questions of two turns, in FastChat's format; every reply is kept
/// as it comes.
fn mt_bench(
    study: &Study,
    model: &Llama,
    path: &Path,
    fetch: &FetchOptions,
    interrupted: &AtomicBool,
) -> anyhow::Result<()> {
    let questions = QuestionSet::read(&catalogue::fetch("mt-bench-questions", fetch)?, "MT-bench")?;
    let protocol = Protocol { max_new_tokens: ANSWER_TOKENS, ..Protocol::mt_bench()? };
    let weights = study.comparison.arm_folder(&FULL, 0)?.join("model");
    let asked = Model::local("camelid-vicuna-smol", study.generator(model)?, &weights)?;
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let store = RequestStore::open(&path.with_extension("replies.jsonl"))?;
    let runner = Runner::new(asked.generator.as_ref(), &store, asked.settings.clone())?.stop_on(interrupted);
    let bar = requests_bar();
    let mut shown = |stage: &Stage, progress: Progress| show_requests(&bar, stage, &progress);
    let answers = Answers::ask(&mut Live::new(&runner, &mut shown), &asked, &questions, &protocol, 0)?;
    bar.finish_and_clear();
    Ok(answers.write(path)?)
}
