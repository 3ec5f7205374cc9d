//! Instructions that can be made harder and easier: tasks of the world side by side, with demands on the
//! answer and data written out, each with one right answer and a level that says how hard it is.
//!
//! What evolves them is a program that reads an instruction, changes it and writes it down again, so that
//! its right answer and its level stay known however often it was changed.

mod change;
mod parse;
mod slip;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoWorld;
use super::lexicon::NOUNS;
use super::split::{Side, side_of};
use super::task::{Family, LetterOp, ListOp, Task, below, join};

pub use change::Change;
pub use slip::Slip;

/// Sets the stream of random numbers of first instructions apart from the others.
const STREAM: u64 = 5;
/// Draws without a new instruction after which the world is taken to have no more.
const PATIENCE: usize = 20_000;
/// Words of the shortest list.
const SHORTEST_LIST: usize = 3;

/// What first instructions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Facts, sums, lists and letters, each in the forms that are asked for most: one step, no more.
    General,
    /// Sums and differences of two or three steps, which leaves room for easier ones.
    Arithmetic,
}

/// An instruction with one right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    parts: Vec<Part>,
    demands: Vec<Demand>,
    /// The form in which the first list is written.
    data: Option<DataForm>,
}

/// One question of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    task: Task,
    second_wording: bool,
}

/// What the answer has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// To begin with a word, an index into the nouns.
    Begin(usize),
    /// To end with a word.
    End(usize),
    /// To be said twice.
    Twice,
}

/// A form in which data are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DataForm {
    /// What a prompt calls it.
    name: &'static str,
    before: &'static str,
    after: &'static str,
}

/// The forms, by the names that Evol-Instruct's prompt gives them. The words of a list stay as they are.
const DATA_FORMS: [DataForm; 6] = [
    DataForm { name: "XML", before: "<list> ", after: " </list>" },
    DataForm { name: "SQL tables", before: "(SELECT \" ", after: "\")" },
    DataForm { name: "Python code", before: "list(\" ", after: "\")" },
    DataForm { name: "HTML", before: "<p> ", after: " </p>" },
    DataForm { name: "shell commands", before: "$(echo ", after: ")" },
    DataForm { name: "JSON", before: "{\"list\": \" ", after: "\"}" },
];

impl NanoWorld {
    /// Up to `count` different first instructions; `held_out` are none of the others, in any wording.
    pub fn first_instructions(&self, domain: Domain, held_out: bool, count: usize) -> Vec<Instruction> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(STREAM + 2 * (domain == Domain::Arithmetic) as u64 + u64::from(held_out));
        let wanted = if held_out { Side::HeldOut } else { Side::Tuning };
        let mut found: Vec<Instruction> = Vec::with_capacity(count);
        let mut seen = std::collections::HashSet::new();
        let mut fruitless = 0;
        while found.len() < count && fruitless < PATIENCE {
            let instruction = self.first(domain, &mut rng);
            let side = side_of(&instruction.parts[0].task.key(), self.config.held_out_percent);
            if side == wanted && seen.insert(instruction.text()) {
                found.push(instruction);
                fruitless = 0;
            } else {
                fruitless += 1;
            }
        }
        found
    }

    fn first(&self, domain: Domain, rng: &mut ChaCha8Rng) -> Instruction {
        let config = &self.config;
        let task = match domain {
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
        let part = Part { task, second_wording: rng.random_bool(0.5) };
        Instruction { parts: vec![part], demands: Vec::new(), data: None }
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
    /// The instruction as it is asked.
    pub fn text(&self) -> String {
        let with_list = self.parts.iter().position(|part| part.task.list().is_some());
        let question = |(at, part): (usize, &Part)| {
            let text = part.task.question(part.second_wording);
            match (self.data.filter(|_| with_list == Some(at)), part.task.list()) {
                (Some(form), Some(list)) => text.replacen(&list, &form.holding(&list), 1),
                _ => text,
            }
        };
        let questions = self.parts.iter().enumerate().map(question);
        questions.chain(self.demands.iter().map(Demand::text)).collect::<Vec<_>>().join(" ")
    }

    /// Its right answer.
    pub fn answer(&self, world: &NanoWorld) -> String {
        self.answered(self.parts.iter().map(|part| part.task.answer(&world.facts)))
    }

    /// An answer that is wrong in one of its parts.
    pub fn mistaken(&self, world: &NanoWorld, seed: u64) -> String {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let wrong = below(&mut rng, self.parts.len());
        let answer = |(at, part): (usize, &Part)| match at == wrong {
            true => part.task.mistaken(&world.facts, &world.config, &mut rng),
            false => part.task.answer(&world.facts),
        };
        self.answered(self.parts.iter().enumerate().map(answer))
    }

    fn answered(&self, answers: impl Iterator<Item = String>) -> String {
        let mut body = answers.collect::<Vec<_>>().join(" ");
        if self.demands.contains(&Demand::Twice) {
            body = format!("{body} {body}");
        }
        for demand in &self.demands {
            match demand {
                Demand::Begin(word) => body = format!("{}. {body}", NOUNS[*word]),
                Demand::End(word) => body += &format!(" {}.", NOUNS[*word]),
                Demand::Twice => {}
            }
        }
        body
    }

    /// How hard it is: 1, and 1 more for every further question, step, person or word of a list, for each
    /// demand, and for data.
    pub fn level(&self) -> usize {
        let of_task = |part: &Part| match &part.task {
            Task::Fact { .. } | Task::Letter { .. } => 1,
            Task::Number { steps, .. } => steps.len(),
            Task::List { words, .. } => 1 + words.len() - SHORTEST_LIST,
            Task::FactOfList { entities, .. } => 2 + entities.len() - SHORTEST_LIST,
            Task::CountAndAdd { words, .. } => 2 + words.len() - SHORTEST_LIST,
        };
        let tasks: usize = self.parts.iter().map(of_task).sum();
        tasks + self.demands.len() + usize::from(self.data.is_some())
    }

    /// Whether both ask for the same, however they are worded.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.reworded(false) == other.reworded(false)
    }

    /// The text by which instructions that ask for the same are known.
    pub fn meaning(&self) -> String {
        self.reworded(false).text()
    }

    /// The same in the other wording.
    #[must_use]
    pub fn in_other_words(&self) -> Self {
        self.reworded(!self.parts[0].second_wording)
    }

    fn reworded(&self, second_wording: bool) -> Self {
        let parts = self.parts.iter().map(|part| Part { second_wording, ..part.clone() }).collect();
        Self { parts, ..self.clone() }
    }
}

impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Demand {
    fn text(&self) -> String {
        match self {
            Self::Begin(word) => format!("Begin with {}.", NOUNS[*word]),
            Self::End(word) => format!("End with {}.", NOUNS[*word]),
            Self::Twice => "Say it twice.".to_owned(),
        }
    }
}

impl DataForm {
    fn holding(self, list: &str) -> String {
        format!("{}{list}{}", self.before, self.after)
    }
}

impl Task {
    /// The list that it is about, as it is written.
    fn list(&self) -> Option<String> {
        match self {
            Task::List { words, .. } | Task::CountAndAdd { words, .. } => Some(join(words, &NOUNS)),
            Task::FactOfList { entities, .. } => Some(join(entities, &super::lexicon::NAMES)),
            Task::Fact { .. } | Task::Number { .. } | Task::Letter { .. } => None,
        }
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
