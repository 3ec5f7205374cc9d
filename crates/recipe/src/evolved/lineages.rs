//! The evolutions that the recipe draws its data from, each run once and kept as a lineage.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::Context;
use camelid_chat::GenerateOptions;
use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_data::nano::{Domain, NanoWorld};
use camelid_evolve::{
    Desk, Evolution, EvolutionSettings, Law, Mix, Model, Models, OperatorSet, Row, Rule, RuleSettings, Seed,
    lineage, mix,
};
use camelid_files::digest;
use rayon::prelude::*;

use super::super::scale::Scale;
use super::evolver::{WorldModel, read};

/// Raised whenever an evolution is made in another way.
const MAKING: &str = "3";
/// Rounds, as in the paper.
pub const ROUNDS: usize = 4;
/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// First instructions.
    first: usize,
    /// How many of them are evolved.
    evolved: usize,
    /// Held-out instructions that the exams come from.
    held_out: usize,
    /// Held-out instructions of each round.
    a_round: usize,
    /// Held-out sums of each level.
    a_level: usize,
    /// Rows of an arm that is matched by rows.
    pub rows: usize,
}

impl Sizes {
    /// Those of a scale.
    pub fn of(scale: Scale) -> Self {
        match scale {
            Scale::Check => Self { first: 60, evolved: 40, held_out: 40, a_round: 6, a_level: 4, rows: 24 },
            _ => Self { first: 2000, evolved: 1250, held_out: 160, a_round: 80, a_level: 50, rows: 1000 },
        }
    }
}

/// Levels of sums.
pub const LEVELS: usize = 5;

/// An evolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// What the first instructions are about.
    domain: Domain,
    /// Which they are.
    begins: Begins,
    rounds: usize,
    /// The operators that are drawn from, equally; empty for all.
    operators: &'static [&'static str],
    /// How many rows, of one, the evolver spoils.
    pub error: f64,
    /// Whether rows are eliminated.
    pub eliminates: bool,
}

/// What an evolution begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Begins {
    /// All first instructions.
    First,
    /// Some of them.
    Evolved,
    /// Others, which may not be trained on.
    HeldOut,
}

const EVOLUTION: Plan = Plan {
    name: "evolved",
    domain: Domain::General,
    begins: Begins::Evolved,
    rounds: ROUNDS,
    operators: &[],
    error: 0.0,
    eliminates: true,
};
const DEPTH: &[&str] = &["constraints", "deepening", "concretizing", "reasoning", "complicate_input"];
const ARITHMETIC: Plan = Plan { domain: Domain::Arithmetic, rounds: 2, ..EVOLUTION };
// The world sets no sum of several steps in a particular situation.
const UP: &[&str] = &["constraints", "reasoning"];
const DOWN: &[&str] = &["simpler", "easier_topic"];

/// The exams' own evolutions, which come first: nothing of them may be trained on.
const EXAMS: [Plan; 3] = [
    Plan { name: "exam", begins: Begins::HeldOut, ..EVOLUTION },
    Plan { name: "exam-down", begins: Begins::HeldOut, operators: DOWN, ..ARITHMETIC },
    Plan { name: "exam-up", begins: Begins::HeldOut, operators: UP, rounds: 4, ..ARITHMETIC },
];

/// Those that arms are tuned on, and those that only the rules are measured by.
pub const PLANS: [Plan; 12] = [
    EVOLUTION,
    Plan { name: "first", begins: Begins::First, rounds: 0, ..EVOLUTION },
    Plan { name: "depth", operators: DEPTH, ..EVOLUTION },
    Plan { name: "breadth", operators: &["breadth"], ..EVOLUTION },
    Plan { name: "faulty-5", error: 0.05, ..EVOLUTION },
    Plan { name: "faulty-20", error: 0.2, ..EVOLUTION },
    Plan { name: "faulty-50", error: 0.5, ..EVOLUTION },
    Plan { name: "raw-5", error: 0.05, eliminates: false, ..EVOLUTION },
    Plan { name: "raw-20", error: 0.2, eliminates: false, ..EVOLUTION },
    Plan { name: "raw-50", error: 0.5, eliminates: false, ..EVOLUTION },
    Plan { name: "down", operators: DOWN, ..ARITHMETIC },
    Plan { name: "up", operators: UP, ..ARITHMETIC },
];

/// A held-out instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The round that it comes from; 0 for the first instructions.
    pub round: usize,
    /// How hard it is by the world's own count.
    pub level: usize,
    /// What is asked.
    pub instruction: String,
    /// The right answer.
    pub answer: String,
}

/// Evolutions by name, and the exams.
#[derive(Default)]
pub struct Lineages {
    pub(super) rows: BTreeMap<&'static str, Vec<Row>>,
    /// Held-out instructions, as many of each round.
    pub exam: Vec<Item>,
    /// Held-out sums, as many of each level.
    pub arithmetic: Vec<Item>,
    /// What the exams ask for, however it is worded.
    pub(super) held_out: HashSet<String>,
    /// Digest of all that they are made from.
    pub key: String,
}

impl Lineages {
    /// The exams, and the evolutions of these names: what is not there yet is made.
    pub fn open(world: &NanoWorld, sizes: &Sizes, folder: &Path, names: &[&str]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let made_from = format!("{MAKING} {:?} {EXAMS:?} {PLANS:?} {sizes:?}", world.config());
        let key = digest::of_bytes(made_from);
        let open = |plan: &Plan| {
            made(plan, world, sizes, &folder.join(format!("{}-{}.jsonl", plan.name, &key[..8])))
        };
        let [mixed, down, up] = EXAMS.map(|plan| open(&plan));
        let (exam, arithmetic) =
            (exam(&mixed?, sizes.a_round)?, arithmetic_exam(&[down?, up?].concat(), sizes.a_level));
        let held_out: HashSet<String> =
            exam.iter().chain(&arithmetic).filter_map(|item| meaning(&item.instruction)).collect();
        let wanted: Vec<&Plan> = PLANS.iter().filter(|plan| names.contains(&plan.name)).collect();
        // They know nothing of each other.
        let made = wanted.par_iter().map(|plan| Ok((plan.name, open(plan)?)));
        let rows = made.collect::<anyhow::Result<_>>()?;
        Ok(Self { rows, exam, arithmetic, held_out, key })
    }

    /// Whether a row may be trained on: nothing that an exam asks may.
    pub fn may_be_learnt(&self, row: &Row) -> bool {
        meaning(&row.instruction).is_none_or(|meaning| !self.held_out.contains(&meaning))
    }

    /// The rows of an evolution that was opened.
    pub fn of(&self, name: &str) -> &[Row] {
        self.rows.get(name).map_or(&[], Vec::as_slice)
    }
}

/// As many held-out instructions of each round.
fn exam(rows: &[Row], count: usize) -> anyhow::Result<Vec<Item>> {
    let mut seen = HashSet::new();
    let mut items = Vec::new();
    for round in 0..=ROUNDS {
        let rows = mix(rows, Mix::Round(round), 0, None)?;
        let new = rows.into_iter().filter(|row| meaning(&row.instruction).is_some_and(|it| seen.insert(it)));
        items.extend(new.take(count).filter_map(item));
    }
    Ok(items)
}

/// As many held-out sums of each level, of those that were made easier and harder.
fn arithmetic_exam(rows: &[Row], count: usize) -> Vec<Item> {
    let mut seen = HashSet::new();
    let living = rows.iter().filter(|row| row.lives());
    let new = living.filter(|row| meaning(&row.instruction).is_some_and(|it| seen.insert(it)));
    let items: Vec<Item> = new.filter_map(item).collect();
    let of_level = |level| items.iter().filter(move |item| item.level == level).take(count);
    (1..=LEVELS).flat_map(of_level).cloned().collect()
}

fn item(row: &Row) -> Option<Item> {
    let (_, instruction) = read(&row.instruction)?;
    Some(Item {
        round: row.round,
        level: instruction.level(),
        instruction: row.instruction.clone(),
        answer: row.response.clone()?,
    })
}

/// What an instruction asks for, however it is worded.
fn meaning(instruction: &str) -> Option<String> {
    Some(read(instruction)?.1.meaning())
}

/// One evolution, from its file where it is there.
fn made(plan: &Plan, world: &NanoWorld, sizes: &Sizes, path: &Path) -> anyhow::Result<Vec<Row>> {
    if path.exists() {
        return Ok(lineage::read(path)?);
    }
    let prompts = if plan.domain == Domain::General { "general" } else { "math" };
    let prompts = OperatorSet::own(prompts)?;
    let chosen = |name: &str| plan.operators.is_empty() || plan.operators.contains(&name);
    let weights =
        prompts.operators.iter().map(|o| (o.name.clone(), f64::from(u8::from(chosen(&o.name))))).collect();
    let operators = prompts.under(Law::Equal, &weights)?;
    let generator = WorldModel { world, operators: &operators, error: plan.error };
    let model = Model {
        generator: &generator,
        name: format!("nano world, {} % errors", 100.0 * plan.error),
        options: GenerateOptions { temperature: 1.0, ..GenerateOptions::default() },
        settings: RunSettings::default(),
    };
    // The paper has no rule for duplicates, and made-up names are no language.
    let never = vec![Rule::OtherLanguage, Rule::Duplicate];
    let every = [
        Rule::NoText,
        Rule::Unchanged,
        Rule::CopiedPrompt,
        Rule::AnswerInside,
        Rule::NoGain,
        Rule::NoAnswer,
        Rule::Sorry,
        Rule::EmptyWords,
    ];
    let off = if plan.eliminates { never } else { [never, every.to_vec()].concat() };
    let settings = EvolutionSettings {
        rounds: plan.rounds,
        rules: RuleSettings { off, ..RuleSettings::default() },
        ..EvolutionSettings::default()
    };
    let store = RequestStore::in_memory();
    let evolution = Evolution {
        settings: &settings,
        operators: &operators,
        models: Models { evolver: model.clone(), answerer: model.clone(), judge: Some(model) },
        desk: Desk { store: &store, stop: None, spending_limit: None },
        against: None,
    };
    let seed = |first: camelid_data::nano::Instruction| Seed {
        instruction: first.text(),
        response: Some(first.answer(world)),
    };
    let (held_out, count) = match plan.begins {
        Begins::First => (false, sizes.first),
        Begins::Evolved => (false, sizes.evolved),
        Begins::HeldOut => (true, sizes.held_out),
    };
    let first = world.first_instructions(plan.domain, held_out, count);
    let seeds: Vec<Seed> = first.into_iter().map(seed).collect();
    let rows = evolution.run(&seeds, &mut |_| (), &mut |_| Ok(()))?;
    lineage::write(path, &rows)?;
    Ok(rows)
}
