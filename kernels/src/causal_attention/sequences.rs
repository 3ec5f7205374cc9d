//! Which positions attend to which.

use std::ops::Range;
use std::sync::Arc;

use super::Heads;

/// Packed sequences: they lie end to end in one row of positions, so that none of it is padding.
///
/// Held as FlashAttention's cumulative sequence lengths: 0, then the position after each sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CuSeqlens(Arc<[usize]>);

impl CuSeqlens {
    /// Sequences of these lengths, in this order.
    pub fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let ends = lengths.into_iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        Self(std::iter::once(0).chain(ends).collect())
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.0.windows(2).map(|ends| ends[1] - ends[0])
    }

    /// Positions of all sequences together.
    pub fn total(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }

    /// The length of the longest, 0 for none.
    pub fn max_seqlen(&self) -> usize {
        self.lengths().max().unwrap_or(0)
    }

    /// The positions of each sequence.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.windows(2).map(|ends| ends[0]..ends[1])
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

    /// Packed sequences, each with as many keys as queries; empty ones are left out.
    pub fn packed(cu_seqlens: &CuSeqlens) -> Vec<Self> {
        let of = |range: Range<usize>| Self {
            query: range.start,
            t: range.len(),
            key: range.start,
            s: range.len(),
        };
        cu_seqlens.ranges().filter(|range| !range.is_empty()).map(of).collect()
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
pub(super) fn sizes([q, k, v]: [Vec<usize>; 3], cu_seqlens: Option<&CuSeqlens>) -> (Vec<Sequence>, Heads) {
    let (&[batch, t, queries, d], &[k_batch, s, keys, k_d]) = (q.as_slice(), k.as_slice()) else {
        panic!("causal_attention: four dimensions, not {q:?} and {k:?}");
    };
    assert!(
        k == v && batch == k_batch && d == k_d && s >= t && keys > 0 && queries.is_multiple_of(keys),
        "causal_attention: q {q:?}, k {k:?}, v {v:?}"
    );
    let sequences = match cu_seqlens {
        None => Sequence::batch(batch, t, s),
        Some(cu_seqlens) => {
            assert!(
                batch == 1 && t == s && t == cu_seqlens.total(),
                "causal_attention: sequences of {:?} positions in q {q:?} and k {k:?}",
                cu_seqlens.lengths().collect::<Vec<_>>()
            );
            Sequence::packed(cu_seqlens)
        }
    };
    (sequences, Heads { queries, keys, d })
}
