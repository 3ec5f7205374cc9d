//! What a cleaning can be told.

use std::path::PathBuf;
use std::str::FromStr;

use tokenizers::Tokenizer;

use super::blocked::Blocked;
use crate::Mode;

/// A part of a file: the rows whose number, from 1, leaves the remainder `index` when divided by
/// `count`.
///
/// What becomes of a row does not depend on the shard: every shard reads the whole file and decides
/// on every row, since a duplicate may stand anywhere before it. The shards of a file together are
/// what a cleaning without shards gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// Whether the row with this number, from 1, is in it.
    pub fn has(self, number: u64) -> bool {
        number % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `1/3`, `2/3` and `3/3` are the shards of three; `0/3` is the same as `3/3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().ok();
        let parsed = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match parsed {
            Some((index, count)) if index <= count && count > 0 => Ok(Self { index: index % count, count }),
            _ => Err(format!("\"{text}\" is no shard; 1/3, 2/3 and 3/3 are the shards of three")),
        }
    }
}

/// What [`super::clean`] can be told.
#[derive(Debug, Clone)]
pub struct CleanOptions {
    /// Whose rules hold.
    pub mode: Mode,
    /// Languages that are dropped: ISO 639-1 codes, or `unknown`.
    pub skip_languages: Vec<String>,
    /// The only language that is kept.
    pub keep_language: Option<String>,
    /// Correct mode: words and phrases that drop a conversation.
    pub blocked: Blocked,
    /// Correct mode: the similarity (Jaccard, of runs of five words) from which on a conversation is a
    /// duplicate of one before; above 1, none is. Pairs below 0.8 are found by chance only.
    pub near_duplicates: f64,
    /// Correct mode: whether e-mail, network and postal addresses, telephone numbers and keys are masked.
    pub mask_personal: bool,
    /// Whether conversations with the same digit nine times running are dropped.
    pub reduce_repetition: bool,
    /// Whether a row that cannot be used is an error; else it is skipped, named and counted.
    pub strict: bool,
    /// Whether of a JSON array that is cut off the whole rows before the cut are used; else it is an
    /// error.
    pub salvage: bool,
    /// What counts tokens for the figures before and after; without one, they are not counted.
    pub tokenizer: Option<Tokenizer>,
    /// The part of the file that is written.
    pub shard: Shard,
    /// A file of one row per conversation: JSON lines, or Parquet where its name ends so.
    pub lineage: Option<PathBuf>,
}

impl CleanOptions {
    /// A mode with everything else as it is by default.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            skip_languages: Vec::new(),
            keep_language: None,
            blocked: Blocked::default(),
            near_duplicates: 0.8,
            mask_personal: false,
            reduce_repetition: false,
            strict: false,
            salvage: false,
            tokenizer: None,
            shard: Shard::default(),
            lineage: None,
        }
    }

    /// Whether the language of a conversation decides anything.
    pub(super) fn asks_language(&self) -> bool {
        self.keep_language.is_some() || !self.skip_languages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_part_a_file_and_begin_at_one_or_zero() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        assert!((1..100).all(|number| shards.iter().filter(|shard| shard.has(number)).count() == 1));
        assert_eq!("0/3".parse::<Shard>(), "3/3".parse());
        for wrong in ["4/3", "0/0", "-1/3", "3", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
