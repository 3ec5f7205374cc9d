//! The dials of the world.

use serde::{Deserialize, Serialize};

use super::code::CodeConfig;
use super::lexicon::{ATTRIBUTES, NAMES, NOUNS};

/// How large and how hard the world is. The same configuration always gives the
/// same world, to the byte. The defaults suit a LLaMA of a few million
/// parameters that sees about a million tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NanoConfig {
    /// Seed of the facts and of every draw.
    pub seed: u64,
    /// Made-up people, 4 to 48.
    pub entities: usize,
    /// Facts about each of them, 1 to 6: home, colour, food, job, pet, tool.
    pub attributes: usize,
    /// Different values of an attribute, 2 to 8.
    pub values_per_attribute: usize,
    /// Largest operand of sums and differences, 1 to 99.
    pub max_number: u32,
    /// Different words in lists, 4 to 24.
    pub list_words: usize,
    /// Longest list, 3 to 8; the shortest has 3 words.
    pub max_list_len: usize,
    /// Steps of the hardest questions, 1 to 4; at 1 there are no compositions.
    pub composition_depth: usize,
    /// Dialogue trees for tuning.
    pub tuning_trees: usize,
    /// Trees, of a hundred, whose dialogue goes on after the first answer.
    pub multi_turn_percent: u32,
    /// Tasks, of a hundred, that tuning never asks, 1 to 90.
    pub held_out_percent: u32,
    /// Questions for evaluation at most, shared out evenly among the families.
    pub eval_items: usize,
    /// Raw pages of conversations, as ShareGPT held them; 0 for none, and none of their words in
    /// the vocabulary.
    pub pages: usize,
    /// Pages, of a hundred, that something is wrong with.
    pub faulty_percent: u32,
    /// Whether the vocabulary has the words of [`Instruction`](super::Instruction)s, which can be evolved.
    pub instructions: bool,
    /// Paragraphs of prose, of a hundred, that are small programs ([`code`](super::code)); 0 for none, and none of
    /// their words in the vocabulary.
    pub programs: u32,
}

impl Default for NanoConfig {
    fn default() -> Self {
        Self {
            seed: 17,
            entities: 32,
            attributes: 4,
            values_per_attribute: 6,
            max_number: 10,
            list_words: 12,
            max_list_len: 4,
            composition_depth: 2,
            tuning_trees: 2000,
            multi_turn_percent: 25,
            held_out_percent: 20,
            eval_items: 200,
            pages: 0,
            faulty_percent: 25,
            instructions: false,
            programs: 0,
        }
    }
}

/// What can be wrong with a world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NanoError {
    /// A dial outside its range.
    #[error("nano world: `{field}` is {value}, expected {min} to {max}")]
    Dial {
        /// The field of [`NanoConfig`].
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// The tokenizer could not be put together.
    #[error("nano world: tokenizer: {0}")]
    Tokenizer(String),
}

impl NanoConfig {
    /// The dials of this world's small programs.
    pub(super) fn code(&self) -> CodeConfig {
        CodeConfig {
            seed: self.seed,
            held_out_percent: self.held_out_percent,
            // More tests than usual: a program that is wrong is to be found so.
            tests: 12,
            ..CodeConfig::default()
        }
    }

    /// Checks every dial against its range.
    ///
    /// # Errors
    /// The first field outside its range, with the range.
    pub fn validate(&self) -> Result<(), NanoError> {
        let dials = [
            ("entities", self.entities as u64, 4, NAMES.len() as u64),
            ("attributes", self.attributes as u64, 1, ATTRIBUTES.len() as u64),
            ("values_per_attribute", self.values_per_attribute as u64, 2, 8),
            ("max_number", self.max_number.into(), 1, 99),
            ("list_words", self.list_words as u64, 4, NOUNS.len() as u64),
            (
                "max_list_len",
                self.max_list_len as u64,
                3,
                // Words of a list differ, and so do the people of one.
                self.list_words.min(self.entities).min(8) as u64,
            ),
            ("composition_depth", self.composition_depth as u64, 1, 4),
            ("multi_turn_percent", self.multi_turn_percent.into(), 0, 100),
            ("held_out_percent", self.held_out_percent.into(), 1, 90),
            ("faulty_percent", self.faulty_percent.into(), 0, 100),
            ("programs", self.programs.into(), 0, 100),
        ];
        for (field, value, min, max) in dials {
            if !(min..=max).contains(&value) {
                return Err(NanoError::Dial { field, value, min, max });
            }
        }
        Ok(())
    }
}
