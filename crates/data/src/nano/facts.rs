//! The table of facts: who lives where, wears what, …

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoConfig;
use super::lexicon::{ATTRIBUTES, Attribute, NAMES};

/// One value per person and attribute.
#[derive(Clone, Debug)]
pub struct Facts {
    attributes: usize,
    values: Vec<usize>,
}

impl Facts {
    /// Draws the table.
    pub fn draw(config: &NanoConfig) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let count = config.entities * config.attributes;
        let values =
            (0..count).map(|_| rng.random_range(0..config.values_per_attribute as u32) as usize).collect();
        Self { attributes: config.attributes, values }
    }

    /// The value's word.
    pub fn value(&self, entity: usize, attribute: usize) -> &'static str {
        ATTRIBUTES[attribute].values[self.values[entity * self.attributes + attribute]]
    }

    /// The plain statement of a fact.
    pub fn statement(&self, entity: usize, attribute: usize) -> String {
        let sentence = ATTRIBUTES[attribute].statement;
        fill(sentence, NAMES[entity], self.value(entity, attribute))
    }

    /// The statement in one of its wordings; 0 is the plain one.
    pub fn wording(&self, entity: usize, attribute: usize, wording: usize) -> String {
        let kind: &Attribute = &ATTRIBUTES[attribute];
        let sentence = match wording {
            0 => kind.statement,
            n => kind.paraphrases[(n - 1) % kind.paraphrases.len()],
        };
        fill(sentence, NAMES[entity], self.value(entity, attribute))
    }
}

/// Puts a person and a value into a sentence.
pub fn fill(sentence: &str, name: &str, value: &str) -> String {
    sentence.replace("{N}", name).replace("{V}", value)
}
