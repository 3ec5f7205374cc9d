//! What can be done to an instruction: Evol-Instruct's six operators, WizardMath's downward ones and WizardCoder's
//! heuristics, each in the one way in which the world understands it; and how questions are changed so.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::lexicon::{ATTRIBUTES, NOUNS};
use super::super::task::{LETTER_OPS, LIST_OPS, ListOp, Task, below};
use super::super::{NanoConfig, NanoWorld};
use super::questions::{DATA_FORMS, Demand, Part, Questions, SHORTEST_LIST};

/// Most questions of an instruction.
const MOST_PARTS: usize = 4;
/// Most steps of a sum.
const MOST_STEPS: usize = 6;

/// A change of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more demand on the answer.
    Constraint,
    /// One more question about the same person, list, word or number.
    Deeper,
    /// Particular things: one more word or person in a list; words to be counted in place of a number.
    Concrete,
    /// One more step of reasoning.
    Reasoning,
    /// A list in some form of data, by its place among them.
    Data(usize),
    /// Another instruction of the same shape, of any kind, those included that are rarely asked.
    Rarer,
    /// One thing less.
    Simpler,
    /// Another instruction of the shape that is left when one thing is taken away.
    EasierTopic,
    /// A wrong piece of code as a hint.
    Misdirection,
    /// A demand on how a program works: loops in place of expressions.
    Complexity,
}

impl Change {
    /// Each of those that questions know, data in one form.
    pub const ALL: [Self; 8] = [
        Self::Constraint,
        Self::Deeper,
        Self::Concrete,
        Self::Reasoning,
        Self::Data(5),
        Self::Rarer,
        Self::Simpler,
        Self::EasierTopic,
    ];
    /// Each of those that programs know: the five heuristics.
    pub const OF_PROGRAMS: [Self; 5] =
        [Self::Constraint, Self::Rarer, Self::Reasoning, Self::Misdirection, Self::Complexity];

    /// The change that an operator of Evol-Instruct asks for, by its name and the form of data that its
    /// prompt names.
    pub fn of(operator: &str, data_format: Option<&str>) -> Option<Self> {
        match operator {
            "constraints" => Some(Self::Constraint),
            "deepening" => Some(Self::Deeper),
            "concretizing" => Some(Self::Concrete),
            "reasoning" => Some(Self::Reasoning),
            "complicate_input" => {
                DATA_FORMS.iter().position(|form| Some(form.name) == data_format).map(Self::Data)
            }
            "breadth" | "rarer" => Some(Self::Rarer),
            "simpler" => Some(Self::Simpler),
            "easier_topic" => Some(Self::EasierTopic),
            "misdirection" => Some(Self::Misdirection),
            "complexity" => Some(Self::Complexity),
            _ => None,
        }
    }
}

impl Questions {
    /// The questions changed, by draws of this seed; `None` where it cannot be changed so.
    pub fn changed(&self, change: Change, world: &NanoWorld, seed: u64) -> Option<Self> {
        let (config, rng) = (&world.config, &mut ChaCha8Rng::seed_from_u64(seed));
        match change {
            Change::Constraint => self.with_demand(config, rng),
            Change::Deeper => self.with_part(config, rng),
            Change::Concrete => self.with_task(rng, |task, rng| more_concrete(task, config, rng)),
            Change::Reasoning => self.with_task(rng, |task, rng| one_step_more(task, config, rng)),
            Change::Data(form) => self.with_data(form, config, rng),
            Change::Rarer => Some(self.another(config, rng)),
            Change::Simpler => self.simpler(),
            Change::EasierTopic => Some(self.simpler()?.another(config, rng)),
            Change::Misdirection | Change::Complexity => None,
        }
    }

    fn with_demand(&self, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Option<Self> {
        let has = |kind: fn(&Demand) -> bool| self.demands.iter().any(kind);
        let mut open = Vec::new();
        if !has(|demand| matches!(demand, Demand::Begin(_))) {
            open.push(Demand::Begin(below(rng, config.list_words)));
        }
        if !has(|demand| matches!(demand, Demand::End(_))) {
            open.push(Demand::End(below(rng, config.list_words)));
        }
        if !has(|demand| matches!(demand, Demand::Twice)) {
            open.push(Demand::Twice);
        }
        let demand = (!open.is_empty()).then(|| open[below(rng, open.len())])?;
        Some(Self { demands: [self.demands.clone(), vec![demand]].concat(), ..self.clone() })
    }

    fn with_part(&self, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Option<Self> {
        if self.parts.len() >= MOST_PARTS {
            return None;
        }
        let about = &self.parts[below(rng, self.parts.len())].task;
        // A few draws, so that one that is there already is no end of it.
        let found = (0..8)
            .map(|_| related(about, config, rng))
            .find(|task| !self.parts.iter().any(|part| part.task == *task))?;
        let part = Part { task: found, second_wording: rng.random_bool(0.5) };
        Some(Self { parts: [self.parts.clone(), vec![part]].concat(), ..self.clone() })
    }

    /// The first of its tasks, in an order of the draw, that `change` can change.
    fn with_task(
        &self,
        rng: &mut ChaCha8Rng,
        mut change: impl FnMut(&Task, &mut ChaCha8Rng) -> Option<Task>,
    ) -> Option<Self> {
        let turn = below(rng, self.parts.len());
        (0..self.parts.len()).map(|at| (at + turn) % self.parts.len()).find_map(|at| {
            let mut changed = self.clone();
            changed.parts[at].task = change(&self.parts[at].task, rng)?;
            Some(changed)
        })
    }

    fn with_data(&self, form: usize, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Option<Self> {
        if self.data.is_some() {
            return None;
        }
        let mut changed = Self { data: Some(DATA_FORMS[form]), ..self.clone() };
        if !self.parts.iter().any(|part| part.task.list().is_some()) {
            if self.parts.len() >= MOST_PARTS {
                return None;
            }
            let words = distinct(config.list_words, SHORTEST_LIST, rng);
            let task = Task::List { op: LIST_OPS[below(rng, LIST_OPS.len())], words };
            changed.parts.push(Part { task, second_wording: rng.random_bool(0.5) });
        }
        Some(changed)
    }

    /// Another instruction with as many questions, steps, words and demands.
    fn another(&self, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Self {
        loop {
            let mut other = self.clone();
            for part in &mut other.parts {
                part.task = redrawn(&part.task, config, rng);
            }
            for demand in &mut other.demands {
                match demand {
                    Demand::Begin(word) | Demand::End(word) => *word = below(rng, config.list_words),
                    Demand::Twice => {}
                }
            }
            if !other.asks_the_same(self) {
                return other;
            }
        }
    }

    /// Without its last demand, else its data, else its last question, else a step or word of its last.
    fn simpler(&self) -> Option<Self> {
        let mut simpler = self.clone();
        if simpler.demands.pop().is_some() {
            return Some(simpler);
        }
        if simpler.data.take().is_some() {
            return Some(simpler);
        }
        let many = simpler.parts.len() > 1;
        let last = simpler.parts.last_mut()?;
        match &mut last.task {
            Task::Number { steps, .. } if steps.len() > 1 => {
                steps.pop();
            }
            Task::List { words, .. } | Task::CountAndAdd { words, .. } if words.len() > SHORTEST_LIST => {
                words.pop();
            }
            Task::CountAndAdd { words, .. } => {
                last.task = Task::List { op: ListOp::Count, words: std::mem::take(words) };
            }
            Task::FactOfList { entities, .. } if entities.len() > SHORTEST_LIST => {
                entities.pop();
            }
            Task::FactOfList { entities, attribute, .. } => {
                last.task = Task::Fact { entity: entities[0], attribute: *attribute };
            }
            _ if many => {
                simpler.parts.pop();
            }
            _ => return None,
        }
        Some(simpler)
    }
}

/// Another question about the same.
fn related(task: &Task, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Task {
    let attribute = below(rng, config.attributes.min(ATTRIBUTES.len()));
    match task {
        Task::Fact { entity, .. } => Task::Fact { entity: *entity, attribute },
        Task::FactOfList { last, entities, .. } => {
            Task::FactOfList { last: *last, entities: entities.clone(), attribute }
        }
        Task::Number { start, .. } => {
            Task::Number { start: *start, steps: vec![Task::draw_operand(*start as i32, config, rng)] }
        }
        Task::List { words, .. } | Task::CountAndAdd { words, .. } => {
            Task::List { op: LIST_OPS[below(rng, LIST_OPS.len())], words: words.clone() }
        }
        Task::Letter { word, .. } => Task::Letter { op: LETTER_OPS[below(rng, LETTER_OPS.len())], word },
    }
}

fn more_concrete(task: &Task, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Option<Task> {
    let one_more = |list: &Vec<usize>, pool: usize, rng: &mut ChaCha8Rng| {
        (list.len() < config.max_list_len).then(|| {
            loop {
                let next = below(rng, pool);
                if !list.contains(&next) {
                    break [list.clone(), vec![next]].concat();
                }
            }
        })
    };
    match task {
        Task::List { op, words } => {
            Some(Task::List { op: *op, words: one_more(words, config.list_words, rng)? })
        }
        Task::CountAndAdd { words, add } => {
            Some(Task::CountAndAdd { words: one_more(words, config.list_words, rng)?, add: *add })
        }
        Task::FactOfList { last, entities, attribute } => Some(Task::FactOfList {
            last: *last,
            entities: one_more(entities, config.entities, rng)?,
            attribute: *attribute,
        }),
        Task::Number { start, steps } => {
            let counted = *start as usize;
            let fits = (SHORTEST_LIST..=config.max_list_len).contains(&counted);
            match steps.as_slice() {
                [add] if fits && *add >= 0 => Some(Task::CountAndAdd {
                    words: distinct(config.list_words, counted, rng),
                    add: add.unsigned_abs(),
                }),
                _ => None,
            }
        }
        Task::Fact { .. } | Task::Letter { .. } => None,
    }
}

fn one_step_more(task: &Task, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Option<Task> {
    match task {
        Task::Fact { entity, attribute } => {
            let last = rng.random_bool(0.5);
            let mut entities = distinct(config.entities, SHORTEST_LIST, rng);
            entities.retain(|other| other != entity);
            entities.truncate(SHORTEST_LIST - 1);
            entities.insert(if last { entities.len() } else { 0 }, *entity);
            Some(Task::FactOfList { last, entities, attribute: *attribute })
        }
        Task::Number { start, steps } if steps.len() < MOST_STEPS => {
            let value = *start as i32 + steps.iter().sum::<i32>();
            let step = Task::draw_operand(value, config, rng);
            Some(Task::Number { start: *start, steps: [steps.clone(), vec![step]].concat() })
        }
        Task::List { words, .. } => {
            let add = below(rng, config.max_number as usize + 1) as u32;
            Some(Task::CountAndAdd { words: words.clone(), add })
        }
        Task::Number { .. } | Task::Letter { .. } | Task::FactOfList { .. } | Task::CountAndAdd { .. } => {
            None
        }
    }
}

/// A task of the same kind and size.
fn redrawn(task: &Task, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Task {
    let attribute = below(rng, config.attributes);
    match task {
        Task::Fact { .. } => Task::Fact { entity: below(rng, config.entities), attribute },
        Task::FactOfList { entities, .. } => Task::FactOfList {
            last: rng.random_bool(0.5),
            entities: distinct(config.entities, entities.len(), rng),
            attribute,
        },
        Task::Number { steps, .. } => Task::draw_sum(steps.len(), config, rng),
        Task::List { words, .. } => Task::List {
            op: LIST_OPS[below(rng, LIST_OPS.len())],
            words: distinct(config.list_words, words.len(), rng),
        },
        Task::CountAndAdd { words, .. } => Task::CountAndAdd {
            words: distinct(config.list_words, words.len(), rng),
            add: below(rng, config.max_number as usize + 1) as u32,
        },
        Task::Letter { .. } => Task::Letter {
            op: LETTER_OPS[below(rng, LETTER_OPS.len())],
            word: NOUNS[below(rng, config.list_words)],
        },
    }
}

/// `len` different indices below `pool`.
pub fn distinct(pool: usize, len: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut list = Vec::with_capacity(len);
    while list.len() < len {
        let next = below(rng, pool);
        if !list.contains(&next) {
            list.push(next);
        }
    }
    list
}
