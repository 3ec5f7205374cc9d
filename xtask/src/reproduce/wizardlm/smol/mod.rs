//! WizardLM at small scale: real instructions evolved by a real model, what each rule ends of them, and a small model
//! tuned on the mixture beside one tuned on as many first instructions.

mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use camelid_chat::requests::{RequestStore, RunError};
use camelid_chat::{Conversation, Message, Role};
use camelid_data::tokens::TokenizedSet;
use camelid_data::{DataFormat, ReadOptions, catalogue, read_conversations, write_conversations};
use camelid_evolve::{
    Desk, Evolution, EvolutionSettings, EvolveError, EvolveReport, Forecast, Law, Mix, Model, Models,
    OperatorSet, Row, Seed, lineage, mix,
};
use camelid_files::{digest, write_whole};
use camelid_recipe::claims::Evidence;
use camelid_recipe::{
    Arm as _, BaseFormat, Children, Experiment, OpenRespondent, Respondent, RunOptions, Study, TestSet,
    Trains, Tuned, TuningArm, Untuned, find_base, requests_bar, show_evolving, watch_for_interrupt,
};
use camelid_report::Report as _;

use self::report::Details;
use super::{EvolvingArguments, evidence};
use crate::reproduce::Ending;
use crate::reproduce::tuning::{Found, part};

/// Raised whenever the recipe measures something in another way.
const RECIPE: &str = "wizardlm smol 1";
/// Instructions that are evolved to be tuned on.
const SEEDS: usize = 32;
/// Further ones, evolved with them, that only test.
const HELD_OUT: usize = 12;
/// Rounds unless told otherwise; the paper's are four, which two cores have no time for.
const ROUNDS: usize = 2;
/// The longest question and answer of a seed, in characters, so that no row is cut.
const LONGEST: (usize, usize) = (400, 900);
/// The longest evolved instruction, answer and verdict, in tokens.
const MOST_TOKENS: [usize; 3] = [160, 224, 16];
/// Why neither arm's loss decides which is better.
const EACH_ITS_OWN: &str = "each arm is nearer to answers of the kind that it was shown, Alpaca's or the evolver's, so \
                            that loss and overlap rank nothing; a judge of the answers does (`camelid eval judge`)";
/// Why the pass rate of the default evolver decides nothing.
const SMALL_EVOLVER: &str = "a model of 135M parameters evolves here; the claim is about gpt-3.5-turbo \
                             (--evolver URL#MODEL names another)";

/// First instructions alone.
const FIRST: TuningArm = TuningArm {
    name: "seeds",
    label: "first instructions",
    base: BaseFormat::F32,
    trains: Trains::Everything { learning_rate: 1.0 },
    optimizer_budget: None,
};
/// The mixture of first instructions and all rounds, as many rows.
const MIXTURE: TuningArm =
    TuningArm { name: "mix", label: "first instructions and all rounds, as many rows", ..FIRST };
/// Both.
const ARMS: [TuningArm; 2] = [FIRST, MIXTURE];

/// The parts of the test, by which the ids of its conversations begin: first instructions, and what lives of their
/// evolution.
const TESTED: [&str; 2] = ["first", "evolved"];

/// All that was measured.
struct Measured<'a> {
    /// What became of the evolutions.
    evolution: &'a EvolveReport,
    /// The test conversations.
    test: &'a [Conversation],
    /// The base before.
    untuned: &'a Untuned,
    /// The arms after.
    tuned: &'a [Tuned],
}

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &EvolvingArguments, experiment: Experiment) -> anyhow::Result<Ending> {
    let (started, mut tuning) = (Instant::now(), arguments.tuning.clone());
    if tuning.seeds.is_some_and(|seeds| seeds != 1) {
        bail!("--seeds: scale smol runs one seed of each arm");
    }
    if arguments.evolver.is_some() {
        tuning.more = " --evolver MODEL".to_owned();
    }
    if let Some(rounds) = arguments.rounds {
        tuning.more += &format!(" --rounds {rounds}");
    }
    let mut options = tuning.options()?;
    let folder = options.runs.join(&experiment.name);
    let data = folder.join("data");
    if let Some((name, seed)) = tuning.part() {
        let arm = ARMS.iter().find(|arm| arm.name == name);
        let arm = arm.with_context(|| format!("there is no arm named `{name}`"))?;
        let study = study(&experiment, &options, &data)?;
        let finished = study.tune_on(arm, seed, rows_of(&study.opened.train, arm.name))?;
        return Ok(if finished { Ending::Finished } else { Ending::Interrupted });
    }

    if tuning.dry_run {
        let ending = tuning.print_plan(&experiment)?;
        options.fetch.offline = true;
        match forecast(arguments, &experiment, &options) {
            Ok(forecast) => println!("\nevolving, if every row lives:\n{}", forecast.text()),
            Err(error) => println!(
                "\nevolving: {} calls at most; their tokens can be told once instructions and evolver are here \
                 ({error:#})",
                3 * rounds(arguments) * (SEEDS + HELD_OUT)
            ),
        }
        return Ok(ending);
    }

    // 1. The first instructions, and who evolves them.
    let (seeds, about) = seeds(&experiment, &options)?;
    let evolving = Evolving::open(arguments, &experiment, &options)?;
    std::fs::create_dir_all(&data)?;
    let (children, interrupted) = (Children::of_this_program()?, watch_for_interrupt()?);
    tuning.refuse_what_cannot_fit(&experiment, &ARMS)?;

    // 2. Evolution and elimination; every reply is kept as it comes.
    let Some((rows, forecast)) = evolving.run(&seeds, &folder, &interrupted)? else {
        return tuning.interrupted();
    };
    let evolution = EvolveReport::new(&rows).with_forecast(forecast);
    write_whole(&folder.join("evolution.html"), evolution.page()?.as_bytes())?;

    // 3. As many rows for each arm, and what lives of the held-out lines.
    write(&rows, experiment.seed, &data)?;
    let mut study = study(&experiment, &options, &data)?;
    study.opened.about.extend(about);
    if options.fresh {
        study.forget()?;
    }
    let Some(untuned) = study.untuned(&[BaseFormat::F32], &ARMS, &interrupted)? else {
        return tuning.interrupted();
    };
    let Some(ran) = study.run(&ARMS.map(|arm| (arm, 1)), &children, part, &interrupted)? else {
        return tuning.interrupted();
    };

    // 4. What was asked and answered, for any judge, and the report.
    let test = &study.opened.test_conversations;
    let measured = Measured { evolution: &evolution, test, untuned: &untuned[0], tuned: &ran.outcomes };
    let details = Details::of(&measured);
    details.write_answers(&folder.join("answers"))?;
    let page = tuning.report(Found {
        recipe: "wizardlm",
        paper: "wizardlm",
        started,
        reused: ran.reused,
        device: &study.device,
        evidence: by_claim(&details, &evolution, arguments.evolver.is_none()),
        inputs: study.opened.about.clone(),
        details,
        settings: MIXTURE.experiment(&study.comparison.experiment, 0).to_toml()?,
        folder: &study.comparison.folder,
    })?;
    println!("\nevery evolution: {}", folder.join("evolution.html").display());
    println!(
        "answers for a judge: {} (`camelid eval judge --question-set questions.jsonl --answers seeds.jsonl --answers \
         mix.jsonl --mode pair --judge URL#MODEL`)",
        folder.join("answers").display()
    );
    println!("report: {}", page.display());
    Ok(Ending::Finished)
}

fn rounds(arguments: &EvolvingArguments) -> usize {
    arguments.rounds.map_or(ROUNDS, |rounds| rounds as usize)
}

/// Who evolves: the model that is named, else the base itself.
fn evolver(
    arguments: &EvolvingArguments,
    experiment: &Experiment,
    options: &RunOptions,
) -> anyhow::Result<Respondent> {
    let (prices, api_key_env) = (arguments.evolver_price, arguments.evolver_api_key_env.clone());
    let model = match &arguments.evolver {
        Some(model) => model.clone(),
        None => {
            let base = find_base(&experiment.model.base, &options.fetch, &options.runs)?;
            format!("{}={}", experiment.model.base.replace(['/', '='], "-"), base.display())
        }
    };
    Ok(Respondent { model, prices, api_key_env, ..Respondent::default() })
}

/// What evolving would take, of what is here.
fn forecast(
    arguments: &EvolvingArguments,
    experiment: &Experiment,
    options: &RunOptions,
) -> anyhow::Result<Forecast> {
    let (seeds, _) = seeds(experiment, options)?;
    let (evolving, store) = (Evolving::open(arguments, experiment, options)?, RequestStore::in_memory());
    Ok(evolving.evolution(&store, None).forecast(&seeds))
}

/// The first instructions, [`SEEDS`] to tune on before [`HELD_OUT`] to test on, drawn by the experiment's seed; and
/// what is said of them.
fn seeds(experiment: &Experiment, options: &RunOptions) -> anyhow::Result<(Vec<Seed>, Vec<String>)> {
    let path = catalogue::fetch(&experiment.data.source, &options.fetch)?;
    let all = read_conversations(experiment.data.format, &[path], &ReadOptions::default())?.conversations;
    let fits = |conversation: &&Conversation| match &conversation.messages[..] {
        [asked, answered] => {
            asked.content.chars().count() <= LONGEST.0 && answered.content.chars().count() <= LONGEST.1
        }
        _ => false,
    };
    let count = all.len();
    let mut short: Vec<&Conversation> = all.iter().filter(fits).collect();
    short
        .sort_by_cached_key(|it| digest::of_bytes(format!("{} {}", experiment.seed, it.messages[0].content)));
    let wanted = SEEDS + HELD_OUT;
    if short.len() < wanted {
        bail!("{}: {} short instructions, {wanted} are wanted", experiment.data.source, short.len());
    }
    let about = format!(
        "{}: {SEEDS} instructions evolved to tune on, {HELD_OUT} to test on, of {} with a question of at most {} \
         characters and an answer of at most {} among {count}",
        experiment.data.source,
        short.len(),
        LONGEST.0,
        LONGEST.1
    );
    let text = |it: &Conversation, at: usize| it.messages[at].content.clone();
    let seed = |it: &Conversation| Seed { instruction: text(it, 0), response: Some(text(it, 1)) };
    Ok((short[..wanted].iter().map(|it| seed(it)).collect(), vec![about]))
}

/// An evolution that is set up.
struct Evolving {
    settings: EvolutionSettings,
    operators: OperatorSet,
    evolver: OpenRespondent,
    limit: Option<f64>,
}

impl Evolving {
    fn open(
        arguments: &EvolvingArguments,
        experiment: &Experiment,
        options: &RunOptions,
    ) -> anyhow::Result<Self> {
        let evolver = OpenRespondent::open(&evolver(arguments, experiment, options)?, &options.device()?)?;
        let (rounds, seed) = (rounds(arguments), experiment.seed);
        let settings = EvolutionSettings { rounds, seed, ..EvolutionSettings::default() };
        let operators = OperatorSet::own("general")?.under(Law::Equal, &BTreeMap::new())?;
        Ok(Self { settings, operators, evolver, limit: arguments.evolver_limit })
    }

    fn evolution<'a>(&'a self, store: &'a RequestStore, stop: Option<&'a AtomicBool>) -> Evolution<'a> {
        let at_most = |most: usize, mut model: Model<'a>| {
            model.options.max_new_tokens = most;
            model
        };
        let [evolved, answered, compared] = MOST_TOKENS;
        Evolution {
            settings: &self.settings,
            operators: &self.operators,
            models: Models {
                evolver: at_most(evolved, self.evolver.model(1.0)),
                answerer: at_most(answered, self.evolver.model(1.0)),
                judge: Some(at_most(compared, self.evolver.judging())),
            },
            desk: Desk { store, stop, spending_limit: self.limit },
            against: None,
        }
    }

    /// Every row, and what the run was forecast to take; `None` when interrupted.
    fn run(
        &self,
        seeds: &[Seed],
        folder: &Path,
        interrupted: &AtomicBool,
    ) -> anyhow::Result<Option<(Vec<Row>, Forecast)>> {
        let store = RequestStore::open(&folder.join("replies.jsonl"))?;
        let evolution = self.evolution(&store, Some(interrupted));
        let forecast = evolution.forecast(seeds);
        println!("evolving, if every row lives:\n{}", forecast.text());
        println!("{} replies are there already", store.len());
        let (bar, path) = (requests_bar(), folder.join("lineage.jsonl"));
        let mut keep = |rows: &[Row]| lineage::write(&path, rows);
        let rows = evolution.run(seeds, &mut |stage| show_evolving(&bar, &stage), &mut keep);
        bar.finish_and_clear();
        match rows {
            Err(EvolveError::Run(RunError::Interrupted { .. })) => Ok(None),
            rows => Ok(Some((rows?, forecast))),
        }
    }
}

/// Writes the arms' rows, as many for each, and what lives of the held-out lines.
fn write(rows: &[Row], seed: u64, data: &Path) -> anyhow::Result<()> {
    let (held_out, tuned_on): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(|row| row.seed >= SEEDS);
    let first = mix(&tuned_on, Mix::Round(0), seed, None)?;
    let mixture = mix(&tuned_on, Mix::All, seed, Some(first.len()))?;
    let conversation = |of: &str, row: &Row| Conversation {
        id: format!("{of} {}", row.id),
        messages: vec![
            Message::new(Role::User, row.question()),
            Message::new(Role::Assistant, row.response.clone().unwrap_or_default()),
        ],
    };
    let mut train: Vec<Conversation> = first.iter().map(|row| conversation(FIRST.name, row)).collect();
    train.extend(mixture.iter().map(|row| conversation(MIXTURE.name, row)));
    let of = |row: &Row| TESTED[usize::from(row.round > 0)];
    let living = held_out.iter().filter(|row| row.lives());
    let test: Vec<Conversation> = living.map(|row| conversation(of(row), row)).collect();
    write_conversations(DataFormat::Messages, &train, &data.join("train.jsonl"))?;
    write_conversations(DataFormat::Messages, &test, &data.join("test.jsonl"))?;
    Ok(())
}

/// The study over the files that were written; every test instruction is answered by every model.
fn study(experiment: &Experiment, options: &RunOptions, data: &Path) -> anyhow::Result<Study> {
    let mut experiment = experiment.clone();
    let path = |name: &str| data.join(name).display().to_string();
    experiment.data.source = path("train.jsonl");
    experiment.data.format = DataFormat::Messages;
    experiment.data.test = Some(TestSet::Source(path("test.jsonl")));
    let mut study = Study::prepare(experiment, options, RECIPE)?;
    study.samples.clone_from(&study.opened.test_conversations);
    Ok(study)
}

/// The rows of an arm, which their ids name.
fn rows_of(train: &TokenizedSet, arm: &str) -> TokenizedSet {
    let mut rows = train.clone();
    rows.examples.retain(|example| example.id.split(' ').next() == Some(arm));
    rows.report.tokens = rows.examples.iter().map(|example| example.ids.len()).sum();
    rows
}

fn by_claim(
    details: &Details,
    evolution: &EvolveReport,
    by_the_base: bool,
) -> BTreeMap<&'static str, Evidence> {
    let undecidable = Some(EACH_ITS_OWN.to_owned());
    let arms = Evidence { differences: details.differences.clone(), undecidable, ..Evidence::default() };
    let tuned = Evidence { differences: details.gains.clone(), ..Evidence::default() };
    let passed = evidence::pass_rate_of(evolution, by_the_base.then_some(SMALL_EVOLVER));
    let mut claims = BTreeMap::from([("evolved-over-seeds", arms), ("tuning-works", tuned)]);
    claims.extend(passed.map(|passed| ("pass-rate", passed)));
    claims
}
