//! ROUGE-L (Lin 2004) between short texts, and the search for an earlier text that is too like a new one.
//!
//! The score is that of the Python package `rouge-score` without stemming, to the last bit: a threshold
//! decides the same here and there, also where the score is the threshold but for rounding.

use std::collections::HashMap;

/// The tokens of a text: runs of `a`–`z` and digits in small letters. Whatever else, letters of other
/// scripts too, stands between tokens.
pub fn tokens(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let runs = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    runs.filter(|run| !run.is_empty()).map(str::to_owned).collect()
}

/// The F-measure of ROUGE-L between two texts, from 0 to 1.
pub fn rouge_l(target: &str, prediction: &str) -> f64 {
    let mut vocabulary = Vocabulary::default();
    let target = vocabulary.known(&tokens(target));
    let prediction = vocabulary.known(&tokens(prediction));
    f_measure(Pattern::new(&target).common(&prediction), target.len(), prediction.len())
}

/// In the order of operations of `rouge-score`.
fn f_measure(common: usize, target: usize, prediction: usize) -> f64 {
    if common == 0 {
        return 0.0;
    }
    let (precision, recall) = (common as f64 / prediction as f64, common as f64 / target as f64);
    2.0 * precision * recall / (precision + recall)
}

/// Earlier texts, among which a new one's likes are found without a look at most of them.
///
/// A text of `n` tokens can score above `t` only beside one that shares at least `t·n / (2 − t)` of its
/// tokens, and so at least one of any `n − t·n / (2 − t) + 1` of them. Those that stand in the fewest
/// earlier texts are looked up; every text found is then scored exactly. What is found is therefore what
/// a comparison with all of them finds.
#[derive(Debug)]
pub struct Earlier {
    above: f64,
    vocabulary: Vocabulary,
    texts: Vec<Box<[u32]>>,
    /// For each token, the texts that have it.
    with: Vec<Vec<u32>>,
    /// The search that last came upon each text.
    met: Vec<u32>,
    searches: u32,
}

/// An earlier text that a new one is too like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Like {
    /// Its place among the texts added, from 0.
    pub place: usize,
    /// The score.
    pub score: f64,
}

impl Earlier {
    /// None yet. Texts that score `above` this, from 0 to 1, are too like; Alpaca's is 0.7.
    pub fn new(above: f64) -> Self {
        Self {
            above,
            vocabulary: Vocabulary::default(),
            texts: Vec::new(),
            with: Vec::new(),
            met: Vec::new(),
            searches: 0,
        }
    }

    /// How many texts were added.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Adds a text and gives its place.
    pub fn add(&mut self, text: &str) -> usize {
        let text = self.vocabulary.known(&tokens(text));
        self.with.resize_with(self.vocabulary.0.len(), Vec::new);
        let place = self.texts.len();
        for &token in &text {
            let with = &mut self.with[token as usize];
            if with.last() != Some(&(place as u32)) {
                with.push(place as u32);
            }
        }
        self.texts.push(text.into());
        self.met.push(0);
        place
    }

    /// The earlier text that is most like this one, the first of those, if it is too like.
    pub fn like(&mut self, text: &str) -> Option<Like> {
        let text = self.vocabulary.found(&tokens(text));
        let pattern = Pattern::new(&text);
        self.searches += 1;
        let mut best: Option<Like> = None;
        for token in self.rarest(&text) {
            for &place in &self.with[token as usize] {
                let met = std::mem::replace(&mut self.met[place as usize], self.searches);
                let other = &self.texts[place as usize];
                if met == self.searches || self.at_most(text.len(), other.len()) {
                    continue;
                }
                let score = f_measure(pattern.common(other), text.len(), other.len());
                let like = Like { place: place as usize, score };
                let better = best
                    .is_none_or(|best| (score, best.place) > (best.score, like.place) && score >= best.score);
                if score > self.above && better {
                    best = Some(like);
                }
            }
        }
        best
    }

    /// Whether texts of these lengths score at most the threshold, whatever they say.
    fn at_most(&self, target: usize, prediction: usize) -> bool {
        let best = 2 * target.min(prediction);
        (best as f64) < self.above * (target + prediction) as f64 - SLACK
    }

    /// The tokens, those of fewest texts first, of which any text that is too like has one.
    fn rarest(&self, text: &[u32]) -> Vec<u32> {
        let shared = (self.above * text.len() as f64 / (2.0 - self.above) - SLACK).ceil().max(1.0) as usize;
        let mut tokens = text.to_vec();
        // A token that no text has is worth the most: it is looked up for nothing.
        let texts = |token: u32| self.with.get(token as usize).map_or(0, Vec::len);
        tokens.sort_by_key(|&token| (texts(token), token));
        tokens.truncate((text.len() + 1).saturating_sub(shared));
        tokens.dedup();
        tokens.retain(|&token| texts(token) > 0);
        tokens
    }
}

/// More than rounding can add to a score that is a few counts divided.
const SLACK: f64 = 1e-9;

/// A number for each token.
#[derive(Debug, Default)]
struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    /// The tokens' numbers; new ones are given one.
    fn known(&mut self, tokens: &[String]) -> Vec<u32> {
        let number = |token: &String| {
            if let Some(&number) = self.0.get(token) {
                return number;
            }
            let number = self.0.len() as u32;
            self.0.insert(token.clone(), number);
            number
        };
        tokens.iter().map(number).collect()
    }

    /// The tokens' numbers; all new ones have one that no text has.
    fn found(&self, tokens: &[String]) -> Vec<u32> {
        tokens.iter().map(|token| self.0.get(token).copied().unwrap_or(u32::MAX)).collect()
    }
}

/// A text to be compared with many: for each of its tokens the places where it stands, a bit each.
struct Pattern {
    places: HashMap<u32, Vec<u64>>,
    length: usize,
}

impl Pattern {
    fn new(text: &[u32]) -> Self {
        let mut places: HashMap<u32, Vec<u64>> = HashMap::new();
        for (at, token) in text.iter().enumerate() {
            places.entry(*token).or_insert_with(|| vec![0; text.len().div_ceil(64)])[at / 64] |=
                1 << (at % 64);
        }
        Self { places, length: text.len() }
    }

    /// The length of the longest common subsequence, 64 cells of the table at a time (Hyyrö 2004): a
    /// bit of `rows` is 0 where the table steps up.
    fn common(&self, other: &[u32]) -> usize {
        let mut rows = vec![u64::MAX; self.length.div_ceil(64)];
        for places in other.iter().filter_map(|token| self.places.get(token)) {
            let mut carry = false;
            for (row, places) in rows.iter_mut().zip(places) {
                let matched = *row & places;
                let (sum, over) = row.overflowing_add(matched);
                let (sum, over_again) = sum.overflowing_add(u64::from(carry));
                carry = over || over_again;
                *row = sum | (*row & !places);
            }
        }
        let within = |at: usize| match self.length - 64 * at {
            bits @ 0..64 => (1 << bits) - 1,
            _ => u64::MAX,
        };
        rows.iter().enumerate().map(|(at, row)| (!row & within(at)).count_ones() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn text(rng: &mut ChaCha8Rng, most: usize, vocabulary: usize) -> String {
        let length = rng.random_range(0..=most);
        (0..length).map(|_| format!("w{} ", rng.random_range(0..vocabulary))).collect()
    }

    /// The table, cell by cell.
    fn common(a: &[String], b: &[String]) -> usize {
        let mut row = vec![0; b.len() + 1];
        for x in a {
            let mut corner = 0;
            for (at, y) in b.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if x == y { corner + 1 } else { above.max(row[at]) };
                corner = above;
            }
        }
        row[b.len()]
    }

    #[test]
    fn the_common_subsequence_is_that_of_the_table() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for round in 0..600 {
            let (a, b) = (text(&mut rng, 200, 2 + round % 40), text(&mut rng, 200, 2 + round % 40));
            let (of_a, of_b) = (tokens(&a), tokens(&b));
            assert_eq!(rouge_l(&a, &b), f_measure(common(&of_a, &of_b), of_a.len(), of_b.len()), "{a}|{b}");
        }
    }

    #[test]
    fn what_is_found_is_what_a_comparison_with_all_finds() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for above in [0.0, 0.5, 0.7, 0.9, 1.0] {
            let (mut earlier, mut all) = (Earlier::new(above), Vec::<String>::new());
            for _ in 0..400 {
                let new = match all.len() {
                    // A copy of an earlier text with some of its words replaced.
                    many @ 1.. if rng.random_bool(0.5) => {
                        let replaced =
                            |word: &str| if word.ends_with('3') { "other " } else { "" }.to_owned() + word;
                        let copied = &all[rng.random_range(0..many)];
                        copied.split_inclusive(' ').map(replaced).collect()
                    }
                    _ => text(&mut rng, 14, 25),
                };
                let mut wanted: Option<Like> = None;
                for (place, text) in all.iter().enumerate() {
                    let score = rouge_l(&new, text);
                    if score > above && wanted.is_none_or(|best| score > best.score) {
                        wanted = Some(Like { place, score });
                    }
                }
                assert_eq!(earlier.like(&new), wanted, "{new}");
                assert_eq!(earlier.add(&new), all.len());
                all.push(new);
            }
        }
    }

    #[test]
    fn tokens_are_latin_letters_and_digits() {
        assert_eq!(
            tokens("Don't #print 2_000 naïve Straße 东京"),
            ["don", "t", "print", "2", "000", "na", "ve", "stra", "e"]
        );
        assert_eq!(rouge_l("", ""), 0.0);
    }
}
