//! Plain text for pre-training: paragraphs that state what the world knows.
//!
//! Every fact and every sum is stated, in many wordings; lists are drawn anew.
//! No paragraph has the form of a dialogue, so a model that has only read this
//! does not know how to answer, though it knows the answers.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoConfig;
use super::facts::Facts;
use super::lexicon::{ATTRIBUTES, NAMES, NOUNS};
use super::task::{
    LetterOp, ListOp, Task, below, chosen, draw_list, draw_number, draw_spelled, equations, expression, join,
    place,
};
use super::tokenizer::pieces;

/// Sets the stream of random numbers apart from those of facts and dialogues.
const STREAM: u64 = 1;

/// An endless run of paragraphs, cut where a number of tokens is reached.
pub struct Prose {
    config: NanoConfig,
    facts: Facts,
    rng: ChaCha8Rng,
    tokens_left: usize,
}

impl Prose {
    /// Paragraphs of about `tokens` tokens altogether.
    pub fn new(config: &NanoConfig, facts: &Facts, tokens: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(STREAM);
        Self { config: config.clone(), facts: facts.clone(), rng, tokens_left: tokens }
    }

    fn paragraph(&mut self) -> String {
        let heading = self.rng.random_bool(0.1);
        let (title, sentences) = match below(&mut self.rng, 10) {
            0..=3 => ("People", self.about_people()),
            4..=5 => ("Numbers", self.about_numbers()),
            6..=7 => ("Lists", self.about_lists()),
            8 => ("Words", self.about_letters()),
            _ if self.config.composition_depth > 1 => ("Notes", self.about_steps()),
            _ => ("Lists", self.about_lists()),
        };
        let body = sentences.join(" ");
        if heading { format!("### {title}\n{body}") } else { body }
    }

    /// Two people, all their facts, each in some wording.
    fn about_people(&mut self) -> Vec<String> {
        let mut sentences = Vec::new();
        for _ in 0..2 {
            let entity = below(&mut self.rng, self.config.entities);
            let mut attributes: Vec<usize> = (0..self.config.attributes).collect();
            attributes.shuffle(&mut self.rng);
            for attribute in attributes {
                // The plain wording is the most frequent one.
                let wording = match below(&mut self.rng, 8) {
                    n @ 0..=4 => n,
                    _ => 0,
                };
                sentences.push(self.facts.wording(entity, attribute, wording));
            }
        }
        sentences
    }

    fn about_numbers(&mut self) -> Vec<String> {
        (0..8)
            .map(|_| {
                let Task::Number { start, steps } = draw_number(1, &self.config, &mut self.rng) else {
                    return String::new();
                };
                let step = steps[0];
                let (operand, value) = (step.unsigned_abs(), start as i32 + step);
                match (below(&mut self.rng, 6), step < 0) {
                    (0, false) => format!("Add {operand} to {start} to get {value}."),
                    (1, false) => format!("{start} plus {operand} is {value}."),
                    (0, true) => format!("{start} minus {operand} is {value}."),
                    (1, true) => format!("Take {operand} from {start} to get {value}."),
                    (2, _) => {
                        let sum = expression(start, &[step]);
                        format!("What is equal to {sum} is {value}.")
                    }
                    _ => equations(start, &[step]),
                }
            })
            .collect()
    }

    /// Three lists, with several things said about each.
    fn about_lists(&mut self) -> Vec<String> {
        let mut sentences = Vec::new();
        for _ in 0..3 {
            let words = draw_list(self.config.list_words, &self.config, &mut self.rng);
            let list = join(&words, &NOUNS);
            let mut ops = [ListOp::First, ListOp::Second, ListOp::Last, ListOp::Count, ListOp::Reverse];
            ops.shuffle(&mut self.rng);
            let said: Vec<String> = ops[..3]
                .iter()
                .map(|&op| {
                    let words = words.clone();
                    Task::List { op, words }.answer(&self.facts)
                })
                .collect();
            match below(&mut self.rng, 3) {
                0 => sentences.push(format!("Take {list}. {}", said.join(" "))),
                1 => sentences.push(format!("Tell me what {list} is. {}", said.join(" "))),
                _ => sentences.extend(ops[..3].iter().map(|&op| list_clause(op, &words, &list))),
            }
        }
        sentences
    }

    fn about_letters(&mut self) -> Vec<String> {
        (0..6)
            .map(|_| {
                let word = draw_spelled(&self.config, &mut self.rng);
                let op = [LetterOp::Begin, LetterOp::End, LetterOp::Length][below(&mut self.rng, 3)];
                let plain = Task::Letter { op, word }.answer(&self.facts);
                let letter = match op {
                    LetterOp::Begin => ("first letter", word[..1].to_string()),
                    LetterOp::End => ("last letter", word[word.len() - 1..].to_string()),
                    LetterOp::Length => ("number of letters", word.len().to_string()),
                };
                match below(&mut self.rng, 3) {
                    0 => format!("The {} of {word} is {}.", letter.0, letter.1),
                    1 => format!("Is it so? Yes, {plain}"),
                    _ => plain,
                }
            })
            .collect()
    }

    /// Reasoning in steps, as compositions need it.
    fn about_steps(&mut self) -> Vec<String> {
        (0..3)
            .map(|_| match Task::draw(super::Family::Compose, &self.config, &mut self.rng) {
                Task::FactOfList { last, entities, attribute } => {
                    let person = chosen(&entities, last);
                    let (names, which) = (join(&entities, &NAMES), place(last));
                    let fact = self.facts.statement(person, attribute);
                    let noun = ATTRIBUTES[attribute].noun;
                    match below(&mut self.rng, 2) {
                        0 => format!("The {which} of {names} is {}. {fact}", NAMES[person]),
                        _ => format!("Take the {noun} of the {which} of {names}. {fact}"),
                    }
                }
                Task::CountAndAdd { words, add } => {
                    let list = join(&words, &NOUNS);
                    let answer = Task::CountAndAdd { words, add }.answer(&self.facts);
                    format!("Take {list} and add {add}. {answer}")
                }
                Task::Number { start, steps } => {
                    let sum = expression(start, &steps);
                    format!("Take {sum}. {}", equations(start, &steps))
                }
                other => other.answer(&self.facts),
            })
            .collect()
    }
}

fn list_clause(op: ListOp, words: &[usize], list: &str) -> String {
    match op {
        ListOp::First => format!("The first word of {list} is {}.", NOUNS[words[0]]),
        ListOp::Second => format!("The second word of {list} is {}.", NOUNS[words[1]]),
        ListOp::Last => format!("The last word of {list} is {}.", NOUNS[words[words.len() - 1]]),
        ListOp::Count => format!("The number of words in {list} is {}.", words.len()),
        ListOp::Reverse => {
            let reversed: Vec<usize> = words.iter().rev().copied().collect();
            format!("Reverse {list} to get {}.", join(&reversed, &NOUNS))
        }
    }
}

impl Iterator for Prose {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.tokens_left == 0 {
            return None;
        }
        let paragraph = self.paragraph();
        // Beginning and end tokens frame each paragraph.
        let tokens = pieces(&paragraph).count() + 2;
        self.tokens_left = self.tokens_left.saturating_sub(tokens);
        Some(paragraph)
    }
}
