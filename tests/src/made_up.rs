//! Texts of made-up words, for what has to be long or many.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SYLLABLES: [&str; 24] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we",
    "yo", "ing", "er", "ment", "ly", "est", "ous",
];

/// Words of which a few are frequent and most are rare, and texts of them, from a seed.
pub struct MadeUp {
    words: Vec<String>,
    rng: ChaCha8Rng,
}

impl MadeUp {
    /// 18,000 words, some of them alike.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut word = |at: usize| -> String {
            let syllables = 1 + at % 4;
            (0..syllables).map(|_| SYLLABLES[rng.random_range(0..SYLLABLES.len())]).collect()
        };
        let words = (0..18_000).map(&mut word).collect();
        Self { words, rng }
    }

    /// A text of so many words.
    pub fn text(&mut self, words: std::ops::RangeInclusive<usize>) -> String {
        let count = self.rng.random_range(words);
        let word = |_| {
            let at = self.words.len() as f64 * self.rng.random::<f64>().powi(3);
            self.words[at as usize].as_str()
        };
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    }

    /// A number below `many`.
    pub fn below(&mut self, many: usize) -> usize {
        self.rng.random_range(0..many)
    }
}
