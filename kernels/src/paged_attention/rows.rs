//! Which rows belong to which sequence, and where its positions lie.

use std::sync::Arc;

/// Consecutive rows of a call: the next positions of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedSequence {
    /// Number of rows.
    pub rows: usize,
    /// Position of the first row; the cache holds those before it.
    pub start: usize,
    /// The block of each run of positions, from position 0 on.
    pub blocks: Vec<u32>,
}

/// The rows of one call: sequences end to end, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedRows(Arc<[PagedSequence]>);

impl PagedRows {
    /// The rows of these sequences.
    pub fn new(sequences: impl IntoIterator<Item = PagedSequence>) -> Self {
        Self(sequences.into_iter().collect())
    }

    /// The sequences.
    pub fn sequences(&self) -> &[PagedSequence] {
        &self.0
    }

    /// Rows of all sequences together.
    pub fn total(&self) -> usize {
        self.0.iter().map(|sequence| sequence.rows).sum()
    }

    /// The position of each row.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().flat_map(|sequence| sequence.start..sequence.start + sequence.rows)
    }

    /// Of each row the block that holds its position, and the place in it.
    pub(super) fn slots(&self, positions: usize) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.0.iter().flat_map(move |sequence| {
            let own = sequence.start..sequence.start + sequence.rows;
            own.map(move |position| (sequence.blocks[position / positions], position % positions))
        })
    }

    /// Each sequence with its first row.
    pub(super) fn with_first(&self) -> impl Iterator<Item = (usize, &PagedSequence)> {
        self.0.iter().scan(0, |next, sequence| {
            let first = *next;
            *next += sequence.rows;
            Some((first, sequence))
        })
    }

    /// # Panics
    /// If a sequence has fewer blocks than positions need, or one that the pool lacks.
    pub(super) fn check(&self, rows: usize, pool: super::Pool) {
        assert_eq!(self.total(), rows, "paged_attention: rows of all sequences against those given");
        for sequence in self.0.iter() {
            let needed = (sequence.start + sequence.rows).div_ceil(pool.positions);
            assert!(
                sequence.blocks.len() >= needed
                    && sequence.blocks[..needed].iter().all(|block| (*block as usize) < pool.blocks),
                "paged_attention: {sequence:?} needs {needed} blocks of a pool of {}",
                pool.blocks
            );
        }
    }
}
