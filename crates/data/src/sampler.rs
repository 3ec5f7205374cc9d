//! The order in which examples are trained on.
//!
//! An epoch's order is a pure function of (kind, lengths, batch size, seed,
//! epoch), so [`Position`] is all a checkpoint needs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// How an epoch orders the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// As they are.
    Sequential,
    /// Shuffled anew each epoch.
    Random,
    /// Shuffled, then of similar length side by side: the rule of Hugging Face's
    /// `LengthGroupedSampler` (see [`Sampler::order`]).
    LengthGrouped,
}

/// Where a sampler stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Examples of this epoch already given out.
    pub index: usize,
}

/// Gives out batches of example indices, epoch after epoch, without end.
#[derive(Clone, Debug)]
pub struct Sampler {
    kind: SamplerKind,
    lengths: Vec<usize>,
    batch_size: usize,
    seed: u64,
    position: Position,
    order: Vec<usize>,
}

impl Sampler {
    /// A sampler at the start of epoch 0 over examples of these lengths.
    ///
    /// `batch_size` counts the examples of one optimizer step, gradient
    /// accumulation included.
    ///
    /// # Errors
    /// [`DataError::Option`] for no examples and for a batch size of 0.
    pub fn new(
        kind: SamplerKind,
        lengths: Vec<usize>,
        batch_size: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        if lengths.is_empty() {
            return Err(DataError::Option("a sampler over no examples".to_string()));
        }
        if batch_size == 0 {
            return Err(DataError::Option("a batch size of 0".to_string()));
        }
        let mut sampler =
            Self { kind, lengths, batch_size, seed, position: Position::default(), order: Vec::new() };
        sampler.order = sampler.order(0);
        Ok(sampler)
    }

    /// The order of an epoch: each index once.
    ///
    /// Length-grouped: indices are shuffled and cut into megabatches of 50
    /// batches (of a quarter of the data set where that is less, at least one
    /// batch); each is sorted by length, longest first; the longest example of
    /// all is swapped to the very front, so that running out of memory happens
    /// at once.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        match self.kind {
            SamplerKind::Sequential => {}
            SamplerKind::Random => shuffle(&mut order, self.seed, epoch),
            SamplerKind::LengthGrouped => {
                shuffle(&mut order, self.seed, epoch);
                self.group(&mut order);
            }
        }
        order
    }

    fn group(&self, order: &mut [usize]) {
        let batches = (order.len() / self.batch_size.saturating_mul(4)).clamp(1, 50);
        let size = batches.saturating_mul(self.batch_size);
        for megabatch in order.chunks_mut(size) {
            megabatch.sort_by_key(|&index| std::cmp::Reverse(self.lengths[index]));
        }
        // Each megabatch begins with its longest; the earlier one wins a tie.
        let mut longest_at = 0;
        for first in (0..order.len()).step_by(size) {
            if self.lengths[order[first]] > self.lengths[order[longest_at]] {
                longest_at = first;
            }
        }
        order.swap(0, longest_at);
    }

    /// The next indices, `batch_size` of them or what is left of the epoch; the
    /// next call then begins the next epoch.
    pub fn next_batch(&mut self) -> Vec<usize> {
        let start = self.position.index;
        let end = start.saturating_add(self.batch_size).min(self.order.len());
        let batch = self.order[start..end].to_vec();
        self.position.index = end;
        if end == self.order.len() {
            self.position = Position { epoch: self.position.epoch + 1, index: 0 };
            self.order = self.order(self.position.epoch);
        }
        batch
    }

    /// Batches per epoch, the last, smaller one included.
    pub fn batches_per_epoch(&self) -> usize {
        self.lengths.len().div_ceil(self.batch_size)
    }

    /// Where the sampler stands, for a checkpoint.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes to a position taken from [`Sampler::position`].
    ///
    /// # Errors
    /// [`DataError::Option`] when the position lies outside the data set: it came
    /// from another one.
    pub fn seek(&mut self, position: Position) -> Result<(), DataError> {
        if position.index >= self.lengths.len() {
            return Err(DataError::Option(format!(
                "sampler position {} of a data set of {} examples: it belongs to another data set",
                position.index,
                self.lengths.len()
            )));
        }
        if position.epoch != self.position.epoch {
            self.order = self.order(position.epoch);
        }
        self.position = position;
        Ok(())
    }
}

/// Fisher–Yates with ChaCha8; seed and epoch are separate parts of the key.
fn shuffle(order: &mut [usize], seed: u64, epoch: u64) {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    for last in (1..order.len()).rev() {
        order.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
}

/// A uniform number below `bound`, by rejection.
fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    let unbiased = u64::MAX - u64::MAX % bound;
    loop {
        let draw = rng.next_u64();
        if draw < unbiased {
            return draw % bound;
        }
    }
}
