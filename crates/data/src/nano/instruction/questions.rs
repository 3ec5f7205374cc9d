//! Questions of the world side by side, with demands on the answer and data written out.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::NanoWorld;
use super::super::lexicon::{NAMES, NOUNS};
use super::super::task::{Task, below, join};

/// Words of the shortest list.
pub(super) const SHORTEST_LIST: usize = 3;

/// Questions with one right answer together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Questions {
    pub(super) parts: Vec<Part>,
    pub(super) demands: Vec<Demand>,
    /// The form in which the first list is written.
    pub(super) data: Option<DataForm>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub(super) task: Task,
    pub(super) second_wording: bool,
}

/// What the answer has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// To begin with a word, an index into the nouns.
    Begin(usize),
    /// To end with a word.
    End(usize),
    /// To be said twice.
    Twice,
}

/// A form in which data are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataForm {
    /// What a prompt calls it.
    pub(super) name: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
}

/// The forms, by the names that Evol-Instruct's prompt gives them. The words of a list stay as they are.
pub(super) const DATA_FORMS: [DataForm; 6] = [
    DataForm { name: "XML", before: "<list> ", after: " </list>" },
    DataForm { name: "SQL tables", before: "(SELECT \" ", after: "\")" },
    DataForm { name: "Python code", before: "list(\" ", after: "\")" },
    DataForm { name: "HTML", before: "<p> ", after: " </p>" },
    DataForm { name: "shell commands", before: "$(echo ", after: ")" },
    DataForm { name: "JSON", before: "{\"list\": \" ", after: "\"}" },
];

impl Questions {
    /// The questions as they are asked.
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

    /// The right answer.
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

    /// How hard they are: 1, and 1 more for every further question, step, person or word of a list, for each
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

    /// The same in the wording that all are compared in.
    pub fn plainly(&self) -> Self {
        self.reworded(false)
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
    pub(super) fn list(&self) -> Option<String> {
        match self {
            Task::List { words, .. } | Task::CountAndAdd { words, .. } => Some(join(words, &NOUNS)),
            Task::FactOfList { entities, .. } => Some(join(entities, &NAMES)),
            Task::Fact { .. } | Task::Number { .. } | Task::Letter { .. } => None,
        }
    }
}
