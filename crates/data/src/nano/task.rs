//! Tasks: what can be asked, how, and what the right answer is.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::NanoConfig;
use super::facts::{Facts, fill};
use super::lexicon::{ATTRIBUTES, FORMAT_WORDS, NAMES, NOUNS};

/// A kind of task; scores are reported by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Look-ups in the table of facts.
    Fact,
    /// Sums and differences.
    Number,
    /// First, second, last, count and reverse of a list of words.
    List,
    /// First letter, last letter and length of a word.
    Letter,
    /// Two or more steps.
    Compose,
}

impl Family {
    /// All families, in the order of reports.
    pub const ALL: [Family; 5] =
        [Family::Fact, Family::Number, Family::List, Family::Letter, Family::Compose];

    /// The name in reports and item ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Fact => "fact",
            Family::Number => "number",
            Family::List => "list",
            Family::Letter => "letter",
            Family::Compose => "compose",
        }
    }
}

/// What is asked about a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOp {
    First,
    Second,
    Last,
    Count,
    Reverse,
}

/// What is asked about a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterOp {
    Begin,
    End,
    Length,
}

/// All of them.
pub const LIST_OPS: [ListOp; 5] =
    [ListOp::First, ListOp::Second, ListOp::Last, ListOp::Count, ListOp::Reverse];
/// All of them.
pub const LETTER_OPS: [LetterOp; 3] = [LetterOp::Begin, LetterOp::End, LetterOp::Length];

/// A question with its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// An attribute of a person.
    Fact { entity: usize, attribute: usize },
    /// `start` with each signed operand added in turn; one step is a plain sum or difference.
    Number { start: u32, steps: Vec<i32> },
    /// An operation on a list of words (indices into the nouns).
    List { op: ListOp, words: Vec<usize> },
    /// A question about a word's letters.
    Letter { op: LetterOp, word: &'static str },
    /// An attribute of the first or last of several people.
    FactOfList { last: bool, entities: Vec<usize>, attribute: usize },
    /// The number of words in a list, plus a number.
    CountAndAdd { words: Vec<usize>, add: u32 },
}

impl Task {
    /// Draws a task of a family.
    pub fn draw(family: Family, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Self {
        match family {
            Family::Fact => {
                Task::Fact { entity: below(rng, config.entities), attribute: below(rng, config.attributes) }
            }
            Family::Number => {
                let (start, step) = draw_step(config, rng);
                Task::Number { start, steps: vec![step] }
            }
            Family::List => Task::List {
                op: LIST_OPS[below(rng, LIST_OPS.len())],
                words: draw_list(config.list_words, config, rng),
            },
            Family::Letter => {
                Task::Letter { op: LETTER_OPS[below(rng, LETTER_OPS.len())], word: draw_spelled(config, rng) }
            }
            Family::Compose => match below(rng, 3) {
                0 => Task::FactOfList {
                    last: rng.random_bool(0.5),
                    entities: draw_list(config.entities, config, rng),
                    attribute: below(rng, config.attributes),
                },
                1 => Task::CountAndAdd {
                    words: draw_list(config.list_words, config, rng),
                    add: below(rng, config.max_number as usize + 1) as u32,
                },
                _ => {
                    let steps = 2 + below(rng, config.composition_depth.max(2) - 1);
                    let (start, steps) = draw_steps(steps, config, rng);
                    Task::Number { start, steps }
                }
            },
        }
    }

    /// A sum of so many steps.
    pub fn draw_sum(steps: usize, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Self {
        let (start, steps) = draw_steps(steps, config, rng);
        Task::Number { start, steps }
    }

    /// A signed operand that may be added to `value`.
    pub fn draw_operand(value: i32, config: &NanoConfig, rng: &mut ChaCha8Rng) -> i32 {
        let max = config.max_number as i32;
        loop {
            let operand = below(rng, max as usize + 1) as i32;
            let signed = if rng.random_bool(0.5) { operand } else { -operand };
            if (0..=2 * max).contains(&(value + signed)) {
                return signed;
            }
        }
    }

    /// The family it is scored under.
    pub fn family(&self) -> Family {
        match self {
            Task::Fact { .. } => Family::Fact,
            Task::Number { steps, .. } if steps.len() == 1 => Family::Number,
            Task::List { .. } => Family::List,
            Task::Letter { .. } => Family::Letter,
            Task::Number { .. } | Task::FactOfList { .. } | Task::CountAndAdd { .. } => Family::Compose,
        }
    }

    /// What makes it this task and no other, however it is worded.
    pub fn key(&self) -> String {
        match self {
            Task::Fact { entity, attribute } => {
                format!("fact {} {}", NAMES[*entity], ATTRIBUTES[*attribute].noun)
            }
            Task::Number { start, steps } => format!("number {}", expression(*start, steps)),
            Task::List { op, words } => format!("list {op:?} {}", join(words, &NOUNS)),
            Task::Letter { op, word } => format!("letter {op:?} {word}"),
            Task::FactOfList { last, entities, attribute } => {
                format!("fact of {} {} {}", place(*last), join(entities, &NAMES), ATTRIBUTES[*attribute].noun)
            }
            Task::CountAndAdd { words, add } => format!("count {} add {add}", join(words, &NOUNS)),
        }
    }

    /// What is asked for, as a phrase: "the home of Mirel", "3 + 4".
    pub fn topic(&self) -> String {
        match self {
            Task::Fact { entity, attribute } => {
                format!("the {} of {}", ATTRIBUTES[*attribute].noun, NAMES[*entity])
            }
            Task::Number { start, steps } => expression(*start, steps),
            Task::List { op, words } => {
                let list = join(words, &NOUNS);
                match op {
                    ListOp::First => format!("the first word of {list}"),
                    ListOp::Second => format!("the second word of {list}"),
                    ListOp::Last => format!("the last word of {list}"),
                    ListOp::Count => format!("the number of words in {list}"),
                    ListOp::Reverse => format!("the reverse of {list}"),
                }
            }
            Task::Letter { op, word } => {
                let what = match op {
                    LetterOp::Begin => "first letter",
                    LetterOp::End => "last letter",
                    LetterOp::Length => "number of letters",
                };
                format!("the {what} of {word}")
            }
            Task::FactOfList { last, entities, attribute } => {
                let noun = ATTRIBUTES[*attribute].noun;
                format!("the {noun} of the {} of {}", place(*last), join(entities, &NAMES))
            }
            Task::CountAndAdd { words, add } => {
                format!("the number of words in {} plus {add}", join(words, &NOUNS))
            }
        }
    }

    /// The question, in one of two wordings.
    pub fn question(&self, second_wording: bool) -> String {
        let topic = self.topic();
        match self {
            _ if second_wording => format!("Tell me {topic}."),
            Task::Fact { entity, attribute } => fill(ATTRIBUTES[*attribute].question, NAMES[*entity], ""),
            Task::FactOfList { last, entities, attribute } => {
                let whom = format!("the {} of {}", place(*last), join(entities, &NAMES));
                fill(ATTRIBUTES[*attribute].question, &whom, "")
            }
            _ => format!("What is {topic}?"),
        }
    }

    /// The right answer, worded as prose states it.
    pub fn answer(&self, facts: &Facts) -> String {
        match self {
            Task::Fact { entity, attribute } => facts.statement(*entity, *attribute),
            Task::Number { start, steps } => equations(*start, steps),
            Task::List { op, words } => match op {
                ListOp::First => format!("The first word is {}.", NOUNS[words[0]]),
                ListOp::Second => format!("The second word is {}.", NOUNS[words[1]]),
                ListOp::Last => format!("The last word is {}.", NOUNS[words[words.len() - 1]]),
                ListOp::Count => format!("There are {} words.", words.len()),
                ListOp::Reverse => {
                    let reversed: Vec<usize> = words.iter().rev().copied().collect();
                    format!("The reverse is {}.", join(&reversed, &NOUNS))
                }
            },
            Task::Letter { op, word } => match op {
                LetterOp::Begin => format!("{word} begins with {}.", &word[..1]),
                LetterOp::End => format!("{word} ends with {}.", &word[word.len() - 1..]),
                LetterOp::Length => format!("{word} has {} letters.", word.len()),
            },
            Task::FactOfList { last, entities, attribute } => {
                facts.statement(chosen(entities, *last), *attribute)
            }
            Task::CountAndAdd { words, add } => {
                format!("There are {} words. {}", words.len(), equations(words.len() as u32, &[*add as i32]))
            }
        }
    }

    /// A neighbour with the same shape and another answer, to be answered in
    /// this one's place by a bad reply.
    pub fn mistaken(&self, facts: &Facts, config: &NanoConfig, rng: &mut ChaCha8Rng) -> String {
        let right = self.answer(facts);
        loop {
            let wrong = match self {
                Task::Fact { entity, attribute } => {
                    let other = below(rng, config.values_per_attribute);
                    let kind = &ATTRIBUTES[*attribute];
                    fill(kind.statement, NAMES[*entity], kind.values[other])
                }
                Task::FactOfList { entities, attribute, last } => {
                    let other = below(rng, config.values_per_attribute);
                    let kind = &ATTRIBUTES[*attribute];
                    let name = NAMES[chosen(entities, *last)];
                    fill(kind.statement, name, kind.values[other])
                }
                _ => Task::draw(self.family(), config, rng).answer(facts),
            };
            if wrong != right {
                return wrong;
            }
        }
    }
}

/// A number below `count`, the same on every platform.
pub fn below(rng: &mut ChaCha8Rng, count: usize) -> usize {
    rng.random_range(0..count as u32) as usize
}

/// Different indices below `pool`, three up to the configured length.
pub fn draw_list(pool: usize, config: &NanoConfig, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let len = 3 + below(rng, config.max_list_len - 2);
    let mut list = Vec::with_capacity(len);
    while list.len() < len {
        let next = below(rng, pool);
        if !list.contains(&next) {
            list.push(next);
        }
    }
    list
}

/// One sum or difference: a number and a signed operand.
pub fn draw_step(config: &NanoConfig, rng: &mut ChaCha8Rng) -> (u32, i32) {
    let (start, steps) = draw_steps(1, config, rng);
    (start, steps[0])
}

/// Sums and differences that stay within 0 and twice the largest operand.
fn draw_steps(steps: usize, config: &NanoConfig, rng: &mut ChaCha8Rng) -> (u32, Vec<i32>) {
    let max = config.max_number as i32;
    let operand = |rng: &mut ChaCha8Rng| below(rng, max as usize + 1) as i32;
    let start = operand(rng);
    let mut value = start;
    let mut signed = Vec::with_capacity(steps);
    while signed.len() < steps {
        let next = if rng.random_bool(0.5) { operand(rng) } else { -operand(rng) };
        if (0..=2 * max).contains(&(value + next)) {
            value += next;
            signed.push(next);
        }
    }
    (start as u32, signed)
}

/// A word whose letters are asked for.
pub fn draw_spelled(config: &NanoConfig, rng: &mut ChaCha8Rng) -> &'static str {
    let words = config.list_words + FORMAT_WORDS.len();
    match below(rng, words) {
        n if n < config.list_words => NOUNS[n],
        n => FORMAT_WORDS[n - config.list_words],
    }
}

/// The words of a list, a space between.
pub fn join(indices: &[usize], words: &[&str]) -> String {
    let words: Vec<&str> = indices.iter().map(|&index| words[index]).collect();
    words.join(" ")
}

/// "first" or "last".
pub fn place(last: bool) -> &'static str {
    if last { "last" } else { "first" }
}

/// The first or last of a list.
pub fn chosen(list: &[usize], last: bool) -> usize {
    if last { list[list.len() - 1] } else { list[0] }
}

/// `3 + 4 - 2`
pub fn expression(start: u32, steps: &[i32]) -> String {
    let mut out = start.to_string();
    for step in steps {
        out.push_str(if *step < 0 { " - " } else { " + " });
        out.push_str(&step.unsigned_abs().to_string());
    }
    out
}

/// `3 + 4 = 7. 7 - 2 = 5.`
pub fn equations(start: u32, steps: &[i32]) -> String {
    let mut value = start as i32;
    let mut sentences = Vec::with_capacity(steps.len());
    for step in steps {
        let left = expression(value as u32, &[*step]);
        value += step;
        sentences.push(format!("{left} = {value}."));
    }
    sentences.join(" ")
}
