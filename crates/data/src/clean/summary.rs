//! The figures of a cleaning.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rule::{Cut, CutRule, Rule};
use crate::Mode;

/// Examples that are kept of each rule.
const EXAMPLES: usize = 3;

/// How long a conversation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Turns.
    pub turns: usize,
    /// Characters of all turns.
    pub characters: usize,
    /// Tokens of all turns, where they are counted.
    pub tokens: Option<usize>,
}

/// How many conversations have a length from a power of two up to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// The sum of all lengths.
    pub total: u64,
    /// By the exponent of two: `counts[3]` have a length of 8 to 15; `counts[0]` one of 0 or 1.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, length: usize) {
        let bin = length.max(1).ilog2() as usize;
        if self.counts.len() <= bin {
            self.counts.resize(bin + 1, 0);
        }
        self.counts[bin] += 1;
        self.total += length as u64;
    }
}

/// The lengths of many conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Turns a conversation.
    pub turns: Histogram,
    /// Characters a conversation.
    pub characters: Histogram,
    /// Tokens a conversation; empty where they are not counted.
    pub tokens: Histogram,
}

impl Side {
    pub(super) fn add(&mut self, lengths: Lengths) {
        self.turns.add(lengths.turns);
        self.characters.add(lengths.characters);
        if let Some(tokens) = lengths.tokens {
            self.tokens.add(tokens);
        }
    }
}

/// A conversation that a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its id, or where it stands.
    pub name: String,
    /// What exactly was found, where the rule does not tell.
    pub detail: Option<String>,
    /// A piece of its text.
    pub excerpt: String,
}

/// Conversations that a rule dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// How many.
    pub conversations: u64,
    /// How many rounds (questions with their answer) they held.
    pub rounds: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// Turns that were left out of conversations that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// In how many conversations.
    pub conversations: u64,
    /// How many turns.
    pub turns: u64,
    /// How many rounds went with them.
    pub rounds: u64,
}

/// What a cleaning did: `total = kept + dropped`, and `rounds_in = rounds_out` + those of what was
/// dropped and left out, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whose rules held.
    pub mode: Mode,
    /// Rows read.
    pub total: u64,
    /// Conversations kept.
    pub kept: u64,
    /// Rounds in all rows that could be read, and in what is kept.
    pub rounds_in: u64,
    /// See `rounds_in`.
    pub rounds_out: u64,
    /// What was dropped, by rule.
    pub dropped: BTreeMap<Rule, Dropped>,
    /// What was left out of what is kept.
    pub left_out: BTreeMap<CutRule, LeftOut>,
    /// All conversations that could be read, as they came.
    pub before: Side,
    /// Those that are kept, as they go out.
    pub after: Side,
    /// How many places of personal data were masked, by kind.
    pub masked: BTreeMap<&'static str, u64>,
    /// Where the file is cut off, if it is and its whole rows were used.
    pub cut_off: Option<String>,
}

impl Summary {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            total: 0,
            kept: 0,
            rounds_in: 0,
            rounds_out: 0,
            dropped: BTreeMap::new(),
            left_out: BTreeMap::new(),
            before: Side::default(),
            after: Side::default(),
            masked: BTreeMap::new(),
            cut_off: None,
        }
    }

    pub(super) fn mask(&mut self, masked: &BTreeMap<&'static str, u64>) {
        for (kind, count) in masked {
            *self.masked.entry(*kind).or_default() += count;
        }
    }

    pub(super) fn keep(&mut self, rounds: [usize; 2], cuts: &[Cut], after: Lengths) {
        self.total += 1;
        self.kept += 1;
        self.rounds_in += rounds[0] as u64;
        self.rounds_out += rounds[1] as u64;
        self.after.add(after);
        for cut in cuts {
            let entry = self.left_out.entry(cut.rule).or_default();
            entry.conversations += 1;
            entry.turns += cut.turns as u64;
            entry.rounds += cut.rounds as u64;
        }
    }

    pub(super) fn drop(&mut self, rule: Rule, rounds: usize, example: impl FnOnce() -> Example) {
        self.total += 1;
        self.rounds_in += rounds as u64;
        let entry = self.dropped.entry(rule).or_default();
        entry.conversations += 1;
        entry.rounds += rounds as u64;
        if entry.examples.len() < EXAMPLES {
            entry.examples.push(example());
        }
    }

    /// How many conversations a rule dropped.
    pub fn dropped_by(&self, rule: Rule) -> u64 {
        self.dropped.get(&rule).map_or(0, |dropped| dropped.conversations)
    }

    /// The line that `clean_sharegpt.py` prints at its end. Rows at which its run would have stopped
    /// are counted as skipped.
    pub fn fastchat_line(&self) -> String {
        let new = self.kept + self.dropped_by(Rule::Language) + self.dropped_by(Rule::RepeatedDigits);
        format!(
            "total: {}, skip: {}, new: {new}, cnt_blocked_words: {}, cnt_parser_error: {}, cnt_wrong_format: {}, \
             cnt_too_short: {}, cnt_id_duplication: {}, cnt_value_duplication: {}, cnt_plugin: {}",
            self.total,
            self.total - new,
            self.dropped_by(Rule::BlockedWord),
            self.dropped_by(Rule::ParserError),
            self.dropped_by(Rule::WrongFormat),
            self.dropped_by(Rule::TooShort),
            self.dropped_by(Rule::IdDuplicate),
            self.dropped_by(Rule::ValueDuplicate),
            self.dropped_by(Rule::Plugin),
        )
    }

    /// The line that `optional_clean.py` prints.
    pub fn fastchat_optional_line(&self) -> String {
        let new = self.kept + self.dropped_by(Rule::Language) + self.dropped_by(Rule::RepeatedDigits);
        format!("#in: {new}, #out: {}", self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_by_powers_of_two() {
        let mut histogram = Histogram::default();
        for length in [0, 1, 2, 3, 4, 15, 16] {
            histogram.add(length);
        }
        assert_eq!(histogram.counts, [2, 2, 1, 1, 1]);
        assert_eq!(histogram.total, 41);
    }
}
