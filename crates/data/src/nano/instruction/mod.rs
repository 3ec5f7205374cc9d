//! Instructions that can be made harder and easier: tasks of the world side by side, with demands on the
//! answer and data written out, or small programs to be written; each with one right answer (of programs: with
//! tests) and a level that says how hard it is.
//!
//! What evolves them is a program that reads an instruction, changes it and writes it down again, so that
//! its right answer and its level stay known however often it was changed.

pub(super) mod change;
mod parse;
mod questions;
mod slip;
mod steps;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoWorld;
use super::code::{CodeTask, Problem};
use super::lexicon::NOUNS;
use super::split::{Side, side_of};
use super::task::{Family, LetterOp, ListOp, Task, below};

use questions::{Part, SHORTEST_LIST};

pub use change::Change;
pub use questions::Questions;
pub use slip::Slip;
pub(super) use slip::texts as slip_texts;
pub use steps::{CheckedAnswer, CheckedStep, StepVerdict};

/// Sets the stream of random numbers of first instructions apart from the others.
const STREAM: u64 = 5;
/// Draws without a new instruction after which the world is taken to have no more.
const PATIENCE: usize = 20_000;

/// What first instructions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Facts, sums, lists and letters, each in the forms that are asked for most: one step, no more.
    General,
    /// Sums and differences of two or three steps, which leaves room for easier ones.
    Arithmetic,
    /// Small programs of one or two steps; [`NanoConfig::programs`](super::NanoConfig::programs) brings their words.
    Programs,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Questions with one right answer.
    Questions(Questions),
    /// A program to be written.
    Program(Problem),
}

impl NanoWorld {
    /// Up to `count` different first instructions; `held_out` are none of the others, in any wording.
    pub fn first_instructions(&self, domain: Domain, held_out: bool, count: usize) -> Vec<Instruction> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(STREAM + 2 * domain as u64 + u64::from(held_out));
        let wanted = if held_out { Side::HeldOut } else { Side::Tuning };
        let mut found: Vec<Instruction> = Vec::with_capacity(count);
        let mut seen = std::collections::HashSet::new();
        let mut fruitless = 0;
        while found.len() < count && fruitless < PATIENCE {
            let (instruction, side) = self.first(domain, &mut rng);
            if side == wanted && seen.insert(instruction.text()) {
                found.push(instruction);
                fruitless = 0;
            } else {
                fruitless += 1;
            }
        }
        found
    }

    /// An instruction to begin with, and its side.
    fn first(&self, domain: Domain, rng: &mut ChaCha8Rng) -> (Instruction, Side) {
        let config = &self.config;
        let task = match domain {
            Domain::Programs => {
                let (problem, side) = Problem::first(&config.code(), rng);
                return (Instruction::Program(problem), side);
            }
            Domain::Arithmetic => Task::draw_sum(2 + below(rng, 2), config, rng),
            Domain::General => match below(rng, 8) {
                0..=1 => Task::Fact {
                    entity: below(rng, config.entities),
                    attribute: below(rng, config.attributes.min(2)),
                },
                2..=3 => loop {
                    let sum = Task::draw(Family::Number, config, rng);
                    if matches!(&sum, Task::Number { steps, .. } if steps[0] >= 0) {
                        break sum;
                    }
                },
                4..=6 => Task::List {
                    op: if rng.random_bool(0.5) { ListOp::First } else { ListOp::Last },
                    words: change::distinct(config.list_words, SHORTEST_LIST, rng),
                },
                _ => Task::Letter { op: LetterOp::Begin, word: NOUNS[below(rng, config.list_words)] },
            },
        };
        let side = side_of(&task.key(), config.held_out_percent);
        let part = Part { task, second_wording: rng.random_bool(0.5) };
        (Instruction::Questions(Questions { parts: vec![part], demands: Vec::new(), data: None }), side)
    }

    /// Texts with every word of instructions, their answers and their slips.
    pub(super) fn instruction_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = slip::texts().collect();
        for domain in [Domain::General, Domain::Arithmetic] {
            for mut instruction in self.first_instructions(domain, false, 400) {
                for (at, change) in Change::ALL.into_iter().enumerate() {
                    let seed = (texts.len() + at) as u64;
                    instruction = instruction.changed(change, self, seed).unwrap_or(instruction);
                    texts.push(format!("{instruction}\n\n### Response:{}", instruction.answer(self)));
                }
            }
        }
        texts
    }
}

impl Instruction {
    /// The instruction of a text; `None` for a text that is none of the world's, to the byte.
    pub fn parse(text: &str) -> Option<Self> {
        let program = || Problem::parse(text).map(Self::Program);
        Questions::parse(text).map(Self::Questions).or_else(program)
    }

    /// The instruction as it is asked.
    pub fn text(&self) -> String {
        match self {
            Self::Questions(questions) => questions.text(),
            Self::Program(problem) => problem.text(),
        }
    }

    /// Its right answer; of a program, one of them.
    pub fn answer(&self, world: &NanoWorld) -> String {
        match self {
            Self::Questions(questions) => questions.answer(world),
            Self::Program(problem) => problem.answer(),
        }
    }

    /// An answer that is wrong in one of its parts; of a program, one that does something else in one step.
    pub fn mistaken(&self, world: &NanoWorld, seed: u64) -> String {
        match self {
            Self::Questions(questions) => questions.mistaken(world, seed),
            Self::Program(problem) => problem.mistaken(&world.config.code(), seed),
        }
    }

    /// The instruction changed, by draws of this seed; `None` where it can not be changed so.
    pub fn changed(&self, change: Change, world: &NanoWorld, seed: u64) -> Option<Self> {
        match self {
            Self::Questions(questions) => questions.changed(change, world, seed).map(Self::Questions),
            Self::Program(problem) => problem.changed(change, &world.config.code(), seed).map(Self::Program),
        }
    }

    /// The tests of the program that is asked for; `None` where none is, or where no tests tell programs apart.
    pub fn task(&self, world: &NanoWorld) -> Option<CodeTask> {
        match self {
            Self::Questions(_) => None,
            Self::Program(problem) => problem.task(&world.config.code()),
        }
    }

    /// How hard it is: 1, and 1 more for every further question, step, person or word of a list, for each
    /// demand, for data, and for a hint that is wrong.
    pub fn level(&self) -> usize {
        match self {
            Self::Questions(questions) => questions.level(),
            Self::Program(problem) => problem.level(),
        }
    }

    /// Whether both ask for the same, however they are worded.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Questions(one), Self::Questions(other)) => one.asks_the_same(other),
            (Self::Program(one), Self::Program(other)) => one.asks_the_same(other),
            _ => false,
        }
    }

    /// The text by which instructions that ask for the same are known.
    pub fn meaning(&self) -> String {
        match self {
            Self::Questions(questions) => questions.plainly().text(),
            Self::Program(problem) => problem.plainly().text(),
        }
    }

    /// The same in the other wording.
    #[must_use]
    pub fn in_other_words(&self) -> Self {
        match self {
            Self::Questions(questions) => Self::Questions(questions.in_other_words()),
            Self::Program(problem) => Self::Program(problem.in_other_words()),
        }
    }
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::NanoConfig;

    fn world() -> NanoWorld {
        NanoWorld::new(&NanoConfig { instructions: true, ..NanoConfig::default() }).unwrap()
    }

    fn read(text: &str) -> Instruction {
        Instruction::parse(text).unwrap_or_else(|| panic!("{text:?} is not understood"))
    }

    #[test]
    fn an_instruction_is_read_as_it_was_written_however_often_it_was_changed() {
        let world = world();
        let mut levels = std::collections::BTreeSet::new();
        for domain in [Domain::General, Domain::Arithmetic] {
            for (at, first) in world.first_instructions(domain, false, 300).into_iter().enumerate() {
                let mut instruction = first;
                for step in 0..6 {
                    let change = Change::ALL[(at * 7 + step * 5) % Change::ALL.len()];
                    if let Some(next) = instruction.changed(change, &world, (at * 10 + step) as u64) {
                        match change {
                            Change::Rarer => assert_eq!(next.level(), instruction.level()),
                            Change::Simpler => assert_eq!(next.level() + 1, instruction.level()),
                            Change::EasierTopic => assert!(next.level() < instruction.level()),
                            _ => assert!(next.level() > instruction.level(), "{instruction} {next}"),
                        }
                        assert!(!next.asks_the_same(&instruction), "{instruction} {next}");
                        instruction = next;
                    }
                    let again = read(&instruction.text());
                    assert_eq!(again, instruction);
                    assert_eq!(again.answer(&world), instruction.answer(&world));
                    assert_ne!(again.mistaken(&world, 3), again.answer(&world));
                    assert!(again.asks_the_same(&again.in_other_words()));
                    levels.insert(again.level());
                }
            }
        }
        assert!(levels.contains(&1) && levels.contains(&6), "{levels:?}");
    }

    #[test]
    fn answers_meet_every_demand() {
        let world = world();
        for (text, answer, level) in [
            ("What is 3 + 4 - 2?", "3 + 4 = 7. 7 - 2 = 5.", 2),
            (
                "What is the first word of <list> fox drum plum </list>? Begin with bell.",
                "bell. The first word is fox.",
                3,
            ),
            ("Tell me 3 + 4. Say it twice. End with hat.", "3 + 4 = 7. 3 + 4 = 7. hat.", 3),
            (
                "What is the number of words in fox drum plum plus 2? Tell me the last letter of fox.",
                "There are 3 words. 3 + 2 = 5. fox ends with x.",
                3,
            ),
        ] {
            let instruction = read(text);
            assert_eq!((instruction.text().as_str(), instruction.answer(&world).as_str()), (text, answer));
            assert_eq!(instruction.level(), level, "{text}");
        }
        for text in ["", "What is love?", "Begin with fox.", "The given task is: What is 3 + 4?"] {
            assert_eq!(Instruction::parse(text), None, "{text}");
        }
    }

    #[test]
    fn first_instructions_are_easy_and_those_held_out_are_others() {
        let world = world();
        let tuning = world.first_instructions(Domain::General, false, 500);
        let held_out = world.first_instructions(Domain::General, true, 100);
        assert_eq!((tuning.len(), held_out.len()), (500, 100));
        assert!(tuning.iter().chain(&held_out).all(|instruction| instruction.level() == 1));
        assert!(!held_out.iter().any(|one| tuning.iter().any(|other| one.asks_the_same(other))));
    }
}
