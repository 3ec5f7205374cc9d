//! The forward pass: tiles of query positions in parallel, all heads of a tile in one task.

use rayon::prelude::*;

use super::product::{Left, Right, Target, Update, product};
use super::sequences::Sequence;
use super::{Heads, KEY_TILE, QUERY_TILE, panels, single, transposed_panels};
use crate::lanes::{LANES, exp, exp_in_place, max, vectorised};
use crate::values::Values;

/// Returns the output, of the shape of `q`, and the logarithms of the softmax
/// denominators, one per query position and head.
pub(super) fn run(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    scale: f32,
    sequences: &[Sequence],
    heads: Heads,
) -> (Values, Values) {
    let mut out = Values::unset(q.len());
    let mut lse = Values::unset(sequences.iter().map(|s| s.t).sum::<usize>() * heads.queries);
    if heads.d == 0 || heads.queries == 0 || lse.is_empty() {
        return (out, lse);
    }
    let (row, key_row) = (heads.query_row(), heads.key_row());
    if sequences.iter().all(|sequence| sequence.t == 1) {
        single::run(q, k, v, scale, sequences, heads, &mut out, &mut lse);
        return (out, lse);
    }
    let key_size = |sequence: &Sequence| heads.d * padded(sequence.s);
    let keys = packed(sequences, heads, key_size, |sequence, head, out| {
        let k = &k[sequence.key * heads.key_row() + head * heads.d..];
        vectorised(
            #[inline(always)]
            || transposed_panels(k, sequence.s, heads.key_row(), heads.d, scale, out),
        );
    });
    // Values that a single tile of queries reads are not worth a copy.
    let value_size =
        |sequence: &Sequence| if sequence.t > QUERY_TILE { padded(heads.d) * sequence.s } else { 0 };
    let values = packed(sequences, heads, value_size, |sequence, head, out| {
        let v = &v[sequence.key * heads.key_row() + head * heads.d..];
        vectorised(
            #[inline(always)]
            || panels(v, sequence.s, heads.key_row(), heads.d, out),
        );
    });

    let mut tiles = Vec::new();
    let (mut out_left, mut lse_left) = (&mut out[..], &mut lse[..]);
    let (mut keys_left, mut values_left) = (&keys[..], &values[..]);
    for &sequence in sequences {
        let (keys, keys_rest) = keys_left.split_at(heads.keys * key_size(&sequence));
        let (values, values_rest) = values_left.split_at(heads.keys * value_size(&sequence));
        (keys_left, values_left) = (keys_rest, values_rest);
        for first in (0..sequence.t).step_by(QUERY_TILE) {
            let n = QUERY_TILE.min(sequence.t - first);
            let (out, out_rest) = out_left.split_at_mut(n * row);
            let (lse, lse_rest) = lse_left.split_at_mut(n * heads.queries);
            (out_left, lse_left) = (out_rest, lse_rest);
            let q = &q[(sequence.query + first) * row..][..n * row];
            let v = &v[sequence.key * key_row..];
            tiles.push((Tile { sequence, first, n, heads, q, keys, values, v }, out, lse));
        }
    }
    // Long tiles first: what is left at the end is short.
    tiles.par_iter_mut().rev().with_max_len(1).for_each_init(
        || vec![0f32; QUERY_TILE * KEY_TILE],
        |scores, (tile, out, lse)| {
            for head in 0..heads.queries {
                tile.head(head, scores, out, lse);
            }
        },
    );
    (out, lse)
}

/// Positions, or elements, of whole panels.
pub(super) fn padded(positions: usize) -> usize {
    positions.next_multiple_of(LANES)
}

/// What `pack` makes of each sequence and head in turn, `size` values for a head of a sequence.
fn packed(
    sequences: &[Sequence],
    heads: Heads,
    size: impl Fn(&Sequence) -> usize,
    pack: impl Fn(&Sequence, usize, &mut [f32]) + Sync,
) -> Values {
    let mut packed = Values::unset(sequences.iter().map(|s| heads.keys * size(s)).sum());
    let mut parts = Vec::with_capacity(sequences.len() * heads.keys);
    let mut left = &mut packed[..];
    for sequence in sequences {
        for head in 0..heads.keys {
            let (part, rest) = left.split_at_mut(size(sequence));
            left = rest;
            if !part.is_empty() {
                parts.push((sequence, head, part));
            }
        }
    }
    parts.par_iter_mut().for_each(|(sequence, head, part)| pack(sequence, *head, part));
    packed
}

/// A tile of query positions.
struct Tile<'a> {
    sequence: Sequence,
    /// Its first position in the sequence.
    first: usize,
    /// Its positions.
    n: usize,
    heads: Heads,
    q: &'a [f32],
    /// Transposed and scaled, in panels, head by head.
    keys: &'a [f32],
    /// In panels, head by head; empty where the values are read as they lie.
    values: &'a [f32],
    v: &'a [f32],
}

impl Tile<'_> {
    /// Online softmax over tiles of keys for one query head.
    fn head(&self, head: usize, scores: &mut [f32], out: &mut [f32], lse: &mut [f32]) {
        let Self { sequence, first, n, heads, q, v, .. } = *self;
        let (d, row, key_row) = (heads.d, heads.query_row(), heads.key_row());
        let key_head = head / heads.group();
        let key_size = d * padded(sequence.s);
        let keys = &self.keys[key_head * key_size..][..key_size];
        let values_from = |key: usize| {
            if self.values.is_empty() {
                return Right::rows(&v[key * key_row + key_head * d..], key_row);
            }
            let head = &self.values[key_head * padded(d) * sequence.s..][..padded(d) * sequence.s];
            Right { data: &head[key * LANES..], ..Right::panels(head, sequence.s) }
        };
        let (q, out) = (&q[head * d..], &mut out[head * d..]);
        let mut largest = [f32::NEG_INFINITY; QUERY_TILE];
        let mut total = [0f32; QUERY_TILE];
        let seen_by_last = sequence.visible(first + n - 1);
        for key in (0..seen_by_last).step_by(KEY_TILE) {
            let seen = KEY_TILE.min(seen_by_last - key);
            let stride = padded(seen);
            let scores = &mut scores[..n * stride];
            product(
                [n, stride, d],
                Target { data: scores, stride },
                Update::Replace,
                Left { data: q, row, col: 1 },
                Right::panels(&keys[key * d..], d),
            );
            vectorised(
                #[inline(always)]
                || {
                    for (i, scores) in scores.chunks_exact_mut(stride).enumerate() {
                        let seen = sequence.visible(first + i).saturating_sub(key).min(seen);
                        let (scores, hidden) = scores.split_at_mut(seen);
                        hidden.fill(0.0);
                        if seen == 0 {
                            continue;
                        }
                        let old = largest[i];
                        let tile_largest = max(scores);
                        let new = if tile_largest > old { tile_largest } else { old };
                        let sum = exp_in_place(scores, new);
                        if key == 0 {
                            total[i] = sum;
                        } else {
                            let shrink = exp(old - new);
                            total[i] = total[i].mul_add(shrink, sum);
                            if shrink != 1.0 {
                                out[i * row..][..d].iter_mut().for_each(|o| *o *= shrink);
                            }
                        }
                        largest[i] = new;
                    }
                },
            );
            product(
                [n, d, seen],
                Target { data: out, stride: row },
                if key == 0 { Update::Replace } else { Update::Add },
                Left { data: scores, row: stride, col: 1 },
                values_from(key),
            );
        }
        for i in 0..n {
            let inverse = 1.0 / total[i];
            out[i * row..][..d].iter_mut().for_each(|o| *o *= inverse);
            lse[i * heads.queries + head] = largest[i] + total[i].ln();
        }
    }
}
