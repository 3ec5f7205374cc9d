//! Plain text for pre-training: paragraphs that state what the world knows.
//!
//! Every fact and every sum is stated, in many wordings; lists are drawn anew.
//! No paragraph has the form of a dialogue, so a model that has only read this
//! does not know how to answer, though it knows the answers.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::facts::Facts;
use super::lexicon::NOUNS;
use super::task::{
    Family, LETTER_OPS, LIST_OPS, LetterOp, ListOp, Task, below, draw_list, draw_spelled, draw_step,
    equations, expression, join,
};
use super::tokenizer::pieces;
use super::{NanoConfig, code};

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
        Self::drawn_from(config, facts, tokens, rng)
    }

    /// The same of other random numbers.
    pub fn drawn_from(config: &NanoConfig, facts: &Facts, tokens: usize, rng: ChaCha8Rng) -> Self {
        Self { config: config.clone(), facts: facts.clone(), rng, tokens_left: tokens }
    }

    fn paragraph(&mut self) -> String {
        // A world without programs draws nothing here, so that its prose is what it was.
        let programs = self.config.programs;
        if programs > 0 && below(&mut self.rng, 100) < programs as usize {
            return code::function(&self.config.code(), &mut self.rng);
        }
        let heading = self.rng.random_bool(0.1);
        let (title, sentences) = match below(&mut self.rng, 10) {
            0..=2 => ("People", self.about_people()),
            3..=4 => ("Numbers", self.about_numbers()),
            5..=6 => ("Lists", self.about_lists()),
            7 => ("Words", self.about_letters()),
            8 if self.config.composition_depth > 1 => ("Notes", self.worked(&[Family::Compose])),
            _ => ("Notes", self.worked(&SIMPLE)),
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
        let mut sentences = Vec::new();
        for _ in 0..8 {
            let (start, step) = draw_step(&self.config, &mut self.rng);
            let (operand, value) = (step.unsigned_abs(), start as i32 + step);
            sentences.push(match (below(&mut self.rng, 12), step < 0) {
                (0, false) => format!("Add {operand} to {start} to get {value}."),
                (1, false) => format!("{start} plus {operand} is {value}."),
                (0, true) => format!("Take {operand} from {start} to get {value}."),
                (1, true) => format!("{start} minus {operand} is {value}."),
                (2, _) => format!("What is {} is {value}.", expression(start, &[step])),
                (3..=6, _) => self.work(&Task::Number { start, steps: vec![step] }),
                _ => equations(start, &[step]),
            });
        }
        sentences
    }

    /// Three lists, with several things said about each.
    fn about_lists(&mut self) -> Vec<String> {
        let mut sentences = Vec::new();
        for _ in 0..3 {
            let words = draw_list(self.config.list_words, &self.config, &mut self.rng);
            let list = join(&words, &NOUNS);
            let mut ops = LIST_OPS;
            ops.shuffle(&mut self.rng);
            let style = below(&mut self.rng, 3);
            if style == 0 {
                sentences.push(format!("Take {list}."));
            }
            for op in &ops[..3] {
                let task = Task::List { op: *op, words: words.clone() };
                sentences.push(match style {
                    0 => task.answer(&self.facts),
                    1 => self.work(&task),
                    _ => list_clause(*op, &words, &list),
                });
            }
        }
        sentences
    }

    fn about_letters(&mut self) -> Vec<String> {
        let mut sentences = Vec::new();
        for _ in 0..6 {
            let word = draw_spelled(&self.config, &mut self.rng);
            let op = LETTER_OPS[below(&mut self.rng, LETTER_OPS.len())];
            let task = Task::Letter { op, word };
            let plain = task.answer(&self.facts);
            sentences.push(match below(&mut self.rng, 4) {
                0 => format!("What is {} is {}.", task.topic(), letter_value(op, word)),
                1 => format!("Is it so? Yes, {plain}"),
                2 => self.work(&task),
                _ => plain,
            });
        }
        sentences
    }

    /// Tasks with their answers, as exercises in a book.
    fn worked(&mut self, families: &[Family]) -> Vec<String> {
        let mut sentences = Vec::new();
        for _ in 0..4 {
            let family = families[below(&mut self.rng, families.len())];
            let task = Task::draw(family, &self.config, &mut self.rng);
            sentences.push(self.work(&task));
        }
        sentences
    }

    fn work(&self, task: &Task) -> String {
        format!("Take {}. {}", task.topic(), task.answer(&self.facts))
    }
}

/// Families without compositions.
const SIMPLE: [Family; 4] = [Family::Fact, Family::Number, Family::List, Family::Letter];

fn letter_value(op: LetterOp, word: &str) -> String {
    match op {
        LetterOp::Begin => word[..1].to_string(),
        LetterOp::End => word[word.len() - 1..].to_string(),
        LetterOp::Length => word.len().to_string(),
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
            format!("The reverse of {list} is {}.", join(&reversed, &NOUNS))
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
