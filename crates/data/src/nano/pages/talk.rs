//! What all conversations draw from: the world's facts, and facts that only conversations tell.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::nano::NanoConfig;
use crate::nano::facts::{Facts, fill};
use crate::nano::lexicon::{ATTRIBUTES, NAMES};

/// Sets the stream of random numbers of told facts apart from the others.
const STREAM: u64 = 4;

/// Facts to talk about.
pub struct Talk<'a> {
    /// The world's dials.
    pub config: &'a NanoConfig,
    /// What prose states.
    pub facts: &'a Facts,
    /// Values of the attributes that prose does not state, a person after the other.
    told: Vec<usize>,
}

impl<'a> Talk<'a> {
    /// Draws what is told.
    pub fn new(config: &'a NanoConfig, facts: &'a Facts) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(STREAM);
        let count = config.entities * (ATTRIBUTES.len() - config.attributes);
        let values = config.values_per_attribute as u32;
        Self { config, facts, told: (0..count).map(|_| rng.random_range(0..values) as usize).collect() }
    }

    /// The attributes that prose leaves out; empty where it states all.
    pub fn told_attributes(&self) -> Range<usize> {
        self.config.attributes..ATTRIBUTES.len()
    }

    /// The statement of a told fact.
    pub fn told_statement(&self, entity: usize, attribute: usize) -> String {
        let kind = &ATTRIBUTES[attribute];
        let told = self.told_attributes();
        let value = self.told[entity * told.len() + attribute - told.start];
        fill(kind.statement, NAMES[entity], kind.values[value])
    }
}
