//! The evolutions that a recipe draws its data from, each run once and kept as a lineage; and the exams, held-out
//! instructions evolved in the same ways.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

use camelid_chat::GenerateOptions;
use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_data::nano::{CheckedAnswer, Domain, Instruction, NanoWorld};
use camelid_evolve::{
    Desk, Evolution, EvolutionSettings, EvolveError, Law, Mix, Model, Models, OperatorSet, Row, Rule,
    RuleSettings, Seed, lineage, mix,
};
use camelid_files::{FileError, digest};
use rayon::prelude::*;
use serde::Serialize;

use super::evolver::{WorldModel, read};
use crate::RecipeError;

/// Raised whenever an evolution is made in another way.
const MAKING: &str = "3";

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// First instructions.
    pub first: usize,
    /// How many of them are evolved.
    pub evolved: usize,
    /// Held-out instructions that the exams come from.
    pub held_out: usize,
    /// Rows of an arm that is matched by rows.
    pub rows: usize,
}

/// An evolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// What the first instructions are about.
    pub domain: Domain,
    /// Which they are.
    pub begins: Begins,
    /// Rounds.
    pub rounds: usize,
    /// The operators that are drawn from, equally; empty for all.
    pub operators: &'static [&'static str],
    /// How many rows, of one, the evolver spoils.
    pub error: f64,
    /// Whether rows are eliminated.
    pub eliminates: bool,
}

/// What an evolution begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begins {
    /// All first instructions.
    First,
    /// Some of them.
    Evolved,
    /// Others, which may not be trained on.
    HeldOut,
}

/// Held-out instructions of a domain, as many of each part.
#[derive(Clone, Debug, PartialEq)]
pub struct Exam {
    /// The domain.
    pub domain: Domain,
    /// The evolutions that it comes from, of held-out instructions.
    pub plans: &'static [Plan],
    /// What parts it.
    pub by: Part,
    /// The parts.
    pub parts: RangeInclusive<usize>,
    /// Instructions of each.
    pub of_each: usize,
    /// How many more of each, by which choices are made: no claim is decided by them.
    pub development: usize,
}

/// What parts an exam.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The round that an instruction comes from; 0 are first ones.
    Round,
    /// How hard it is by the world's own count.
    Level,
    /// How many steps its answer takes.
    Length,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A held-out instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The round that it comes from; 0 for the first instructions.
    pub round: usize,
    /// How hard it is by the world's own count.
    pub level: usize,
    /// How many steps its answer takes.
    pub steps: usize,
    /// Whether choices are made by it, and no claim is decided.
    pub development: bool,
    /// What is asked.
    pub instruction: String,
    /// The right answer.
    pub answer: String,
}

/// Evolutions by name, and the exams.
#[derive(Default)]
pub struct Lineages {
    rows: BTreeMap<&'static str, Vec<Row>>,
    exams: Vec<(Domain, Vec<Item>)>,
    /// What the exams ask for, however it is worded.
    held_out: HashSet<String>,
    /// Digest of all that they are made from.
    pub(super) key: String,
}

impl Lineages {
    /// The exams, and the evolutions of `plans` with these names: what is not in `folder` yet is made.
    ///
    /// # Errors
    /// A folder or a lineage that cannot be read or written, an operator that is not there, an exam of a round in
    /// which nothing lives.
    pub fn open(
        world: &NanoWorld,
        (plans, exams): (&[Plan], &[Exam]),
        sizes: &Sizes,
        folder: &Path,
        names: &[&str],
    ) -> Result<Self, RecipeError> {
        std::fs::create_dir_all(folder).map_err(FileError::io(folder, "create"))?;
        let key = digest::of_bytes(format!("{MAKING} {:?} {exams:?} {plans:?} {sizes:?}", world.config()));
        let open = |plan: &Plan| {
            made(plan, world, sizes, &folder.join(format!("{}-{}.jsonl", plan.name, &key[..8])))
        };
        let mut of_exams = Vec::new();
        for exam in exams {
            let rows = exam.plans.iter().map(open).collect::<Result<Vec<_>, _>>()?.concat();
            of_exams.push((exam.domain, exam.items(&rows)?));
        }
        let wanted: Vec<&Plan> = plans.iter().filter(|plan| names.contains(&plan.name)).collect();
        // They know nothing of each other.
        let rows = wanted.par_iter().map(|plan| Ok((plan.name, open(plan)?)));
        let rows = rows.collect::<Result<BTreeMap<_, _>, RecipeError>>()?;
        Ok(Self { rows, key, ..Self::of_exams(of_exams) })
    }

    /// Exams without evolutions.
    pub fn of_exams(exams: Vec<(Domain, Vec<Item>)>) -> Self {
        let items = exams.iter().flat_map(|(_, items)| items);
        let held_out = items.filter_map(|item| meaning(&item.instruction)).collect();
        Self { exams, held_out, ..Self::default() }
    }

    /// The exam of a domain; empty where there is none.
    pub fn exam(&self, domain: Domain) -> &[Item] {
        self.exams.iter().find(|(of, _)| *of == domain).map_or(&[], |(_, items)| items)
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

impl Exam {
    /// The first living rows of each part that ask for something new.
    fn items(&self, rows: &[Row]) -> Result<Vec<Item>, RecipeError> {
        let mut seen = HashSet::new();
        let mut is_new = |row: &&Row| meaning(&row.instruction).is_some_and(|it| seen.insert(it));
        let mut items = Vec::new();
        match self.by {
            Part::Round => {
                for round in self.parts.clone() {
                    let rows = mix(rows, Mix::Round(round), 0, None)?.into_iter();
                    items.extend(self.taken(rows.filter(&mut is_new).filter_map(item)));
                }
            }
            Part::Level | Part::Length => {
                let all: Vec<Item> =
                    rows.iter().filter(|row| row.lives()).filter(&mut is_new).filter_map(item).collect();
                for part in self.parts.clone() {
                    let by = |item: &&Item| if self.by == Part::Level { item.level } else { item.steps };
                    items.extend(self.taken(all.iter().filter(|item| by(item) == part).cloned()));
                }
            }
        }
        Ok(items)
    }

    /// As many as there are to be of a part, those for development first.
    fn taken(&self, items: impl Iterator<Item = Item>) -> impl Iterator<Item = Item> {
        let count = self.of_each + self.development;
        items.take(count).enumerate().map(|(at, item)| Item { development: at < self.development, ..item })
    }
}

fn item(row: &Row) -> Option<Item> {
    let (_, instruction) = read(&row.instruction)?;
    Some(Item {
        round: row.round,
        level: instruction.level(),
        steps: instruction.steps(),
        development: false,
        instruction: row.instruction.clone(),
        answer: row.response.clone()?,
    })
}

/// An answer to an instruction, checked step by step; `None` for an instruction that is none of the world's.
pub fn checked(world: &NanoWorld, instruction: &str, answer: &str) -> Option<CheckedAnswer> {
    Some(read(instruction)?.1.checked(world, answer))
}

/// What an instruction asks for, however it is worded.
fn meaning(instruction: &str) -> Option<String> {
    Some(read(instruction)?.1.meaning())
}

/// Rules that are asked in no evolution of made-up names: these are no language, and the paper has no rule for
/// duplicates.
const NEVER: [Rule; 2] = [Rule::OtherLanguage, Rule::Duplicate];
/// The others that an evolution without elimination leaves out.
const ELIMINATION: [Rule; 9] = [
    Rule::NoText,
    Rule::Unchanged,
    Rule::CopiedPrompt,
    Rule::Boilerplate,
    Rule::AnswerInside,
    Rule::NoGain,
    Rule::NoAnswer,
    Rule::Sorry,
    Rule::EmptyWords,
];

/// One evolution, from its file where it is there.
fn made(plan: &Plan, world: &NanoWorld, sizes: &Sizes, path: &Path) -> Result<Vec<Row>, RecipeError> {
    if path.exists() {
        return Ok(lineage::read(path)?);
    }
    let prompts = OperatorSet::own(match plan.domain {
        Domain::General => "general",
        Domain::Arithmetic => "math",
        Domain::Programs => "code",
    })?;
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
    let off = NEVER.into_iter().chain(ELIMINATION.into_iter().filter(|_| !plan.eliminates)).collect();
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
    let (held_out, count) = match plan.begins {
        Begins::First => (false, sizes.first),
        Begins::Evolved => (false, sizes.evolved),
        Begins::HeldOut => (true, sizes.held_out),
    };
    let seed = |first: Instruction| Seed { instruction: first.text(), response: Some(first.answer(world)) };
    let first = world.first_instructions(plan.domain, held_out, count);
    let seeds: Vec<Seed> = first.into_iter().map(seed).collect();
    let rows = evolution.run(&seeds, &mut |_| (), &mut |_| Ok::<(), EvolveError>(()))?;
    lineage::write(path, &rows)?;
    Ok(rows)
}
