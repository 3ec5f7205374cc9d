//! A record of lines, and the question for the number in one of them.

use std::fmt::Write as _;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::cases::LongEvalCase;
use super::words::{ADJECTIVES, NOUNS};

/// The most lines that have names of their own.
pub(super) const MOST: usize = ADJECTIVES.len() * NOUNS.len();
/// Numbers lie between 1 and this.
const LARGEST: u32 = 50_000;

/// A record of `size` lines, each `line <adjective>-<noun>: REGISTER_CONTENT is <number>` under a
/// name of its own, and the question for one of them, every one being equally likely.
pub(super) fn case(size: usize, rng: &mut impl Rng) -> LongEvalCase {
    let mut names: Vec<usize> = (0..MOST).collect();
    let (names, _) = names.partial_shuffle(rng, size);
    let mut record = String::new();
    let mut lines = Vec::with_capacity(size);
    for name in names.iter() {
        let name = format!("{}-{}", ADJECTIVES[name / NOUNS.len()], NOUNS[name % NOUNS.len()]);
        let number = rng.random_range(1..=LARGEST);
        let _ = writeln!(record, "line {name}: REGISTER_CONTENT is <{number}>");
        lines.push((name, number));
    }
    let asked = rng.random_range(0..size);
    let (name, number) = lines.swap_remove(asked);
    let prompt = format!(
        "Here is a record of {size} lines. Every line starts with 'line' and the line's name, and ends with \
         its <REGISTER_CONTENT>, a number. Keep in mind which number belongs to which name: after the \
         record you will be asked for one of them. The record starts here:\n\n{record}\nThe record ends here. \
         What is the <REGISTER_CONTENT> in line {name}? Answer with the number. "
    );
    LongEvalCase::Lines { name, place: asked, number: number.into(), lines: size, prompt }
}
