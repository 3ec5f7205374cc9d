//! Which positions attend to which.

use std::sync::Arc;

use super::Heads;

/// Lengths of sequences that lie end to end in one row of positions, so that none
/// of it is padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLengths(Arc<[usize]>);

impl RowLengths {
    /// Sequences of these lengths, in this order.
    pub fn new(lengths: impl Into<Arc<[usize]>>) -> Self {
        Self(lengths.into())
    }

    /// The lengths.
    pub fn lengths(&self) -> &[usize] {
        &self.0
    }

    /// Positions of all sequences together.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// The length of the longest, 0 for none.
    pub fn longest(&self) -> usize {
        self.0.iter().copied().max().unwrap_or(0)
    }
}

/// Consecutive queries and the keys they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Row of the first query.
    pub query: usize,
    /// Query positions.
    pub t: usize,
    /// Row of the first key.
    pub key: usize,
    /// Key positions, at least `t`; query `i` sees keys `0..=s - t + i`.
    pub s: usize,
}

impl Sequence {
    /// `batch` sequences of `t` queries and `s` keys; none of them is empty.
    pub fn batch(batch: usize, t: usize, s: usize) -> Vec<Self> {
        let batch = if s == 0 { 0 } else { batch };
        (0..batch).map(|b| Self { query: b * t, t, key: b * s, s }).collect()
    }

    /// Sequences end to end, each with as many keys as queries; empty ones are left out.
    pub fn end_to_end(rows: &RowLengths) -> Vec<Self> {
        let start = |first: &mut usize, &t: &usize| {
            let row = *first;
            *first += t;
            Some(Self { query: row, t, key: row, s: t })
        };
        rows.lengths().iter().scan(0, start).filter(|sequence| sequence.s > 0).collect()
    }

    /// Number of keys that query `i` sees.
    pub fn visible(&self, i: usize) -> usize {
        self.s - self.t + i + 1
    }
}

/// What a call with these shapes of `q`, `k` and `v` attends to.
///
/// # Panics
/// If the shapes do not agree.
pub(super) fn sizes([q, k, v]: [Vec<usize>; 3], rows: Option<&RowLengths>) -> (Vec<Sequence>, Heads) {
    let (&[batch, t, queries, d], &[k_batch, s, keys, k_d]) = (q.as_slice(), k.as_slice()) else {
        panic!("causal_attention: four dimensions, not {q:?} and {k:?}");
    };
    assert!(
        k == v && batch == k_batch && d == k_d && s >= t && keys > 0 && queries.is_multiple_of(keys),
        "causal_attention: q {q:?}, k {k:?}, v {v:?}"
    );
    let sequences = match rows {
        None => Sequence::batch(batch, t, s),
        Some(rows) => {
            assert!(
                batch == 1 && t == s && t == rows.total(),
                "causal_attention: sequences of {:?} positions in q {q:?} and k {k:?}",
                rows.lengths()
            );
            Sequence::end_to_end(rows)
        }
    };
    (sequences, Heads { queries, keys, d })
}
