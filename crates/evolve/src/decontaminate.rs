//! Rows that share text with a test set.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;

use camelid_text::minhash::{Signature, Sketch, similarity};
use serde::{Deserialize, Serialize};

use crate::EvolveError;
use crate::words::words;

/// What counts as shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContaminationSettings {
    /// Words in a row that must not be shared. Default 13, as GPT-3's authors chose (arXiv 2005.14165,
    /// appendix C); 8 finds more, and more that is chance.
    pub ngram: usize,
    /// Share of a test item's `ngram / 2`-word runs from which a row is contaminated although no run
    /// of `ngram` words is whole. Default 0.5; 1 asks for all of them.
    pub share: f64,
    /// Similarity from which a row is contaminated as a whole, by MinHash: the share of equal runs of five words
    /// among all that either text has, estimated from 90 hashes. It finds what is nearly an item and nothing else,
    /// of texts of 14 words or more. Default none: it is not asked.
    pub similarity: Option<f64>,
}

impl Default for ContaminationSettings {
    fn default() -> Self {
        Self { ngram: 13, share: 0.5, similarity: None }
    }
}

/// A test item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestItem {
    /// The test set's name.
    pub set: String,
    /// The item's name within it.
    pub id: String,
    /// Its question, as the test puts it.
    pub text: String,
}

/// What a row shares with a test item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// The test set's name.
    pub set: String,
    /// The item's name within it.
    pub id: String,
    /// Words in a row that both have, at most the whole item.
    pub run: usize,
    /// Share of the item's short runs that the row has, from 0 to 1.
    pub share: f64,
    /// The shared words, in lower case.
    pub text: String,
    /// How like the whole texts are by MinHash, where that was asked and was enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
}

impl std::fmt::Display for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}: \"{}\" ({} words, {:.0} %)",
            self.set,
            self.id,
            self.text,
            self.run,
            100.0 * self.share
        )?;
        match self.similarity {
            Some(similarity) => write!(f, ", {similarity:.2} alike"),
            None => Ok(()),
        }
    }
}

/// Finds what rows share with test sets: words in lower case, without punctuation.
///
/// An item shorter than `ngram` words is looked for whole, if it has as many as [`SHORTEST`].
pub struct Decontaminator {
    settings: ContaminationSettings,
    items: Vec<(TestItem, Vec<String>)>,
    /// Hash of each short run of words, and the items that hold it.
    runs: HashMap<u64, Vec<u32>, BuildHasherDefault<DefaultHasher>>,
    /// The lengths of those runs.
    lengths: BTreeSet<usize>,
    /// Where MinHash is asked: each item's signature, and the items that hold each band.
    signatures: HashMap<u32, Signature>,
    bands: HashMap<u64, Vec<u32>>,
}

/// Fewest words of a test item that is looked for.
pub const SHORTEST: usize = 5;

impl Decontaminator {
    /// Prepares test items to be looked for.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(
        items: impl IntoIterator<Item = TestItem>,
        settings: ContaminationSettings,
    ) -> Result<Self, EvolveError> {
        let refuse = |setting: &str, found: String, expected: String| {
            Err(EvolveError::Setting { setting: setting.to_owned(), found, expected })
        };
        if settings.ngram < SHORTEST {
            return refuse("ngram", settings.ngram.to_string(), format!("at least {SHORTEST}"));
        }
        if !(settings.share > 0.0 && settings.share <= 1.0) {
            return refuse("share", settings.share.to_string(), "a number above 0 and up to 1".into());
        }
        if let Some(similarity) = settings.similarity.filter(|value| !(*value > 0.0 && *value <= 1.0)) {
            return refuse("similarity", similarity.to_string(), "a number above 0 and up to 1".into());
        }
        let items: Vec<(TestItem, Vec<String>)> = items
            .into_iter()
            .map(|item| {
                let words = words(&item.text).collect();
                (item, words)
            })
            .collect();
        let lengths = items.iter().map(|(_, words)| short(&settings, words.len())).collect();
        let mut found = Self {
            settings,
            items,
            runs: HashMap::default(),
            lengths,
            signatures: HashMap::new(),
            bands: HashMap::new(),
        };
        if found.settings.similarity.is_some() {
            for (at, (item, _)) in found.items.iter().enumerate() {
                let Some(sketch) = Sketch::of(&[&item.text]) else { continue };
                found.signatures.insert(at as u32, sketch.signature);
                sketch.bands.iter().for_each(|band| found.bands.entry(*band).or_default().push(at as u32));
            }
        }
        for (at, (_, words)) in found.items.iter().enumerate() {
            let seen: HashSet<u64> = hashes(words, short(&found.settings, words.len())).collect();
            for hash in seen {
                found.runs.entry(hash).or_default().push(at as u32);
            }
        }
        Ok(found)
    }

    /// Items too short to be looked for.
    pub fn too_short(&self) -> impl Iterator<Item = &TestItem> {
        self.items.iter().filter(|(_, words)| words.len() < SHORTEST).map(|(item, _)| item)
    }

    /// What a text shares with test items, the most first.
    pub fn hits(&self, text: &str) -> Vec<Hit> {
        let row: Vec<String> = words(text).collect();
        let mut places: HashMap<u32, HashSet<u64>> = HashMap::new();
        for &length in &self.lengths {
            for hash in hashes(&row, length) {
                for &item in self.runs.get(&hash).into_iter().flatten() {
                    if short(&self.settings, self.items[item as usize].1.len()) == length {
                        places.entry(item).or_default().insert(hash);
                    }
                }
            }
        }
        let alike = self.alike(text);
        for item in alike.keys() {
            places.entry(*item).or_default();
        }
        let hit = |(item, shared): (u32, HashSet<u64>)| {
            self.hit(&row, item, shared.len(), alike.get(&item).copied())
        };
        let mut hits: Vec<Hit> = places.into_iter().filter_map(hit).collect();
        hits.sort_by(|a, b| b.run.cmp(&a.run).then_with(|| (&a.set, &a.id).cmp(&(&b.set, &b.id))));
        hits
    }

    /// Items that a text is nearly, as far as the settings ask for them: texts that share a band of the signature.
    fn alike(&self, text: &str) -> HashMap<u32, f64> {
        let Some(least) = self.settings.similarity else { return HashMap::new() };
        let Some(sketch) = Sketch::of(&[text]) else { return HashMap::new() };
        let candidates = sketch.bands.iter().filter_map(|band| self.bands.get(band)).flatten();
        let with_likeness = |item: &u32| (*item, similarity(&sketch.signature, &self.signatures[item]));
        candidates.map(with_likeness).filter(|(_, similarity)| *similarity >= least).collect()
    }

    /// A hit, where what is shared is enough for one.
    fn hit(&self, row: &[String], item: u32, shared: usize, similarity: Option<f64>) -> Option<Hit> {
        let (item, words) = &self.items[item as usize];
        let length = short(&self.settings, words.len());
        let of_item: HashSet<u64> = hashes(words, length).collect();
        // An item shorter than its runs has none.
        let share = shared as f64 / of_item.len().max(1) as f64;
        let run = longest_run(row, words);
        let whole = self.settings.ngram.min(words.len());
        let enough = run.len() >= whole || (share >= self.settings.share && words.len() >= 2 * length);
        (enough || similarity.is_some()).then(|| Hit {
            set: item.set.clone(),
            id: item.id.clone(),
            run: run.len(),
            share,
            text: row[run].join(" "),
            similarity,
        })
    }
}

/// Length of the short runs by which an item of so many words is found.
fn short(settings: &ContaminationSettings, words: usize) -> usize {
    (settings.ngram / 2).min(words).max(SHORTEST.min(settings.ngram / 2))
}

/// The hash of every run of `length` words; none for a text that is shorter.
fn hashes(words: &[String], length: usize) -> impl Iterator<Item = u64> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    words.windows(length.max(1)).map(move |run| hasher.hash_one(run))
}

/// Where in `row` the longest run of words stands that `item` has too.
fn longest_run(row: &[String], item: &[String]) -> Range<usize> {
    let mut best = 0..0;
    // Length of the common run that ends at each word of the item, for the word of the row before.
    let mut before = vec![0; item.len() + 1];
    for (at, word) in row.iter().enumerate() {
        let mut now = vec![0; item.len() + 1];
        for (place, other) in item.iter().enumerate() {
            if word == other {
                now[place + 1] = before[place] + 1;
                if now[place + 1] > best.len() {
                    best = at + 1 - now[place + 1]..at + 1;
                }
            }
        }
        before = now;
    }
    best
}
