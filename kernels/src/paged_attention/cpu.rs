//! The flex backend's implementation: tiles of consecutive rows and the query heads that share a
//! head of keys, in parallel.
//!
//! The order of sums of one query depends on its position alone: a score is one chain over the head,
//! the softmax runs over the scores from position 0 on, and the values are added in the order of the
//! positions. How many queries share a tile only decides how often keys and values are loaded.

// Loops over the index of a lane are what the vectoriser turns into registers.
#![allow(clippy::needless_range_loop)]

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::op::PagedAttentionOp;
use super::{PagedRows, PagedSequence, Pool};
use crate::flex_slices::{F32s, dims, own_buffer};
use crate::lanes::{LANES, exp_in_place, max, vectorised};
use crate::product::Buffer;
use crate::values::Values;

/// Rows of a tile, at most.
const TILE_ROWS: usize = 8;

/// Queries whose sums are in registers together, at most.
const QUERIES: usize = 8;

/// Multiply-adds below which a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 17;

impl PagedAttentionOp for Flex {
    fn paged_append_op(
        keys: FlexTensor,
        values: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        rows: PagedRows,
    ) -> (FlexTensor, FlexTensor) {
        let pool = Pool::of(&dims(&keys), &dims(&values));
        pool.check_new(&dims(&k), &dims(&v), &rows);
        assert!(keys.dtype() == DType::F32 && values.dtype() == DType::F32, "the operation computes in f32");
        let (k, v) = (F32s::new(&k), F32s::new(&v));
        let (mut keys, mut values) = (own_buffer(keys), own_buffer(values));
        {
            let (keys, values) = (keys.storage_mut::<f32>(), values.storage_mut::<f32>());
            for (row, (block, slot)) in rows.slots(pool.positions).enumerate() {
                for head in 0..pool.heads {
                    let from = (row * pool.heads + head) * pool.d;
                    let to = pool.head_start(block, head);
                    let column = keys[to + slot..].iter_mut().step_by(pool.positions);
                    column.zip(&k[from..from + pool.d]).for_each(|(to, from)| *to = *from);
                    values[to + slot * pool.d..][..pool.d].copy_from_slice(&v[from..from + pool.d]);
                }
            }
        }
        (keys, values)
    }

    fn paged_attention_op(
        q: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        scale: f32,
        rows: PagedRows,
    ) -> FlexTensor {
        let pool = Pool::of(&dims(&keys), &dims(&values));
        let shape = dims(&q);
        let heads = pool.check_queries(&shape, &rows);
        let (total, d) = (rows.total(), pool.d);
        let (q, keys, values) = (F32s::new(&q), F32s::new(&keys), F32s::new(&values));
        let call = Call { q: &q, keys: &keys, values: &values, scale, pool, group: heads / pool.heads };

        let tiles: Vec<Tile<'_>> = rows
            .with_first()
            .flat_map(|(first, sequence)| {
                (0..sequence.rows).step_by(TILE_ROWS).flat_map(move |i| {
                    let rows = TILE_ROWS.min(sequence.rows - i);
                    let visible = sequence.start + i + 1;
                    (0..pool.heads).map(move |head| Tile { sequence, first: first + i, rows, visible, head })
                })
            })
            .collect();
        let work: usize = tiles.iter().map(|tile| tile.rows * tile.visible * call.group * d).sum();
        let mut out = Values::unset(total * heads * d);
        let y = Output(out.as_mut_ptr());
        let attend = |tile: &Tile<'_>| {
            vectorised(
                #[inline(always)]
                || call.attend(tile, &y),
            );
        };
        if work < PARALLEL_FROM {
            tiles.iter().for_each(attend);
        } else {
            tiles.par_iter().with_max_len(1).for_each(attend);
        }
        out.into_tensor(shape)
    }
}

/// Queries up to which several vectors are worked on at once: few chains of multiply-adds would wait for
/// each other.
const FEW_QUERIES: usize = 4;

/// `$function::<n, m>` for a number of queries known when it runs.
macro_rules! by_number {
    ($n:expr, $m:literal, $function:ident($($argument:expr),* $(,)?)) => {
        match $n {
            1 => $function::<1, $m>($($argument),*),
            2 => $function::<2, $m>($($argument),*),
            3 => $function::<3, $m>($($argument),*),
            4 => $function::<4, $m>($($argument),*),
            5 => $function::<5, $m>($($argument),*),
            6 => $function::<6, $m>($($argument),*),
            7 => $function::<7, $m>($($argument),*),
            _ => $function::<QUERIES, $m>($($argument),*),
        }
    };
}

/// Where the output goes, `[rows, heads, d]`.
struct Output(*mut f32);

// SAFETY: tiles write disjoint parts of the output, which outlives them.
#[allow(unsafe_code)]
unsafe impl Sync for Output {}

/// What all tiles of a call share.
struct Call<'a> {
    q: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    scale: f32,
    pool: Pool,
    /// Query heads per head of keys and values.
    group: usize,
}

/// Consecutive rows of one sequence, and the query heads that share one head of keys.
struct Tile<'a> {
    sequence: &'a PagedSequence,
    /// Row of the call.
    first: usize,
    rows: usize,
    /// Positions that the first row sees.
    visible: usize,
    head: usize,
}

impl Call<'_> {
    /// Writes the rows of a tile, `[group, d]` each.
    #[inline(always)]
    fn attend(&self, tile: &Tile<'_>, y: &Output) {
        let (pool, d, group) = (self.pool, self.pool.d, self.group);
        let count = tile.rows * group;
        let most = tile.visible + tile.rows - 1;
        let width = most.next_multiple_of(LANES);
        let mut scratch = Buffer::take(count * (2 * d + width + 1));
        let (queries, rest) = scratch.split_at_mut(count * d);
        let (out, rest) = rest.split_at_mut(count * d);
        let (scores, totals) = rest.split_at_mut(count * width);

        for (i, queries) in queries.chunks_exact_mut(group * d).enumerate() {
            let at = self.start(tile, i);
            queries.iter_mut().zip(&self.q[at..]).for_each(|(to, &from)| *to = from * self.scale);
        }
        let blocks = Blocks { of: &tile.sequence.blocks, pool, head: tile.head };
        let keys_at = |first: usize| {
            let start = blocks.start(first / pool.positions) + first % pool.positions;
            &self.keys[start..]
        };
        for at in (0..count).step_by(QUERIES) {
            let n = QUERIES.min(count - at);
            let (queries, scores) = (&queries[at * d..], &mut scores[at * width..]);
            let mut first = 0;
            while n <= FEW_QUERIES && first + 2 * LANES <= width {
                let keys = [keys_at(first), keys_at(first + LANES)];
                by_number!(n, 2, score(queries, d, keys, pool.positions, &mut scores[first..], width));
                first += 2 * LANES;
            }
            while first < width {
                let keys = [keys_at(first)];
                by_number!(n, 1, score(queries, d, keys, pool.positions, &mut scores[first..], width));
                first += LANES;
            }
        }

        for (i, (scores, total)) in scores.chunks_exact_mut(width).zip(&mut *totals).enumerate() {
            let seen = &mut scores[..tile.visible + i / group];
            let largest = max(seen);
            *total = exp_in_place(seen, largest);
        }

        out.fill(0.0);
        for at in (0..count).step_by(QUERIES) {
            let n = QUERIES.min(count - at);
            let (scores, out) = (&scores[at * width..], &mut out[at * d..]);
            let seen = 0..tile.visible;
            if n <= FEW_QUERIES && d.is_multiple_of(4 * LANES) {
                by_number!(n, 4, mix(scores, width, self.values, blocks, seen, out));
            } else {
                by_number!(n, 1, mix(scores, width, self.values, blocks, seen, out));
            }
        }
        // Each row sees one position more than the one before.
        for i in group..count {
            let (scores, out) = (&scores[i * width..], &mut out[i * d..]);
            let more = tile.visible..tile.visible + i / group;
            mix::<1, 1>(scores, width, self.values, blocks, more, out);
        }
        for (out, total) in out.chunks_exact_mut(d).zip(&*totals) {
            let inverse = 1.0 / total;
            out.iter_mut().for_each(|out| *out *= inverse);
        }
        for (i, out) in out.chunks_exact(group * d).enumerate() {
            // SAFETY: the heads of one row of the call, which no other tile has.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::copy_nonoverlapping(out.as_ptr(), y.0.add(self.start(tile, i)), out.len());
            }
        }
    }

    /// Where row `i` of a tile begins, among the queries and in the output.
    fn start(&self, tile: &Tile<'_>, i: usize) -> usize {
        ((tile.first + i) * self.pool.heads + tile.head) * self.group * self.pool.d
    }
}

/// A head of the blocks of a sequence.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    of: &'a [u32],
    pool: Pool,
    head: usize,
}

impl Blocks<'_> {
    /// Where the head of block `i` begins in the pool.
    #[inline(always)]
    fn start(self, i: usize) -> usize {
        self.pool.head_start(self.of[i], self.head)
    }
}

/// The scores of `P` times `LANES` positions for `N` queries: each of `keys` holds `LANES` positions of
/// element `c` at `c · stride`, query `i` is at `i · d`, its scores go to `i · width`.
#[inline(always)]
fn score<const N: usize, const P: usize>(
    queries: &[f32],
    d: usize,
    keys: [&[f32]; P],
    stride: usize,
    scores: &mut [f32],
    width: usize,
) {
    let mut sums = [[[0f32; LANES]; P]; N];
    let queries: [&[f32]; N] = std::array::from_fn(|i| &queries[i * d..][..d]);
    for c in 0..d {
        for p in 0..P {
            let keys: &[f32; LANES] = lanes(&keys[p][c * stride..]);
            for i in 0..N {
                let q = queries[i][c];
                for lane in 0..LANES {
                    sums[i][p][lane] = q.mul_add(keys[lane], sums[i][p][lane]);
                }
            }
        }
    }
    for i in 0..N {
        for p in 0..P {
            scores[i * width + p * LANES..][..LANES].copy_from_slice(&sums[i][p]);
        }
    }
}

/// The first of a vector's worth of values.
#[inline(always)]
fn lanes(values: &[f32]) -> &[f32; LANES] {
    values.first_chunk().expect("a pool holds whole vectors")
}

/// Adds the weighted values of the positions `seen` to the outputs of `N` queries, `C` vectors of a head at
/// a time: the weights of query `i` are at `i · width`, its output is at `i · d`.
#[inline(always)]
fn mix<const N: usize, const C: usize>(
    weights: &[f32],
    width: usize,
    values: &[f32],
    blocks: Blocks<'_>,
    seen: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let (d, positions) = (blocks.pool.d, blocks.pool.positions);
    let step = C * LANES;
    let weights: [&[f32]; N] = std::array::from_fn(|i| &weights[i * width..][..seen.end]);
    for first in (0..d / step * step).step_by(step) {
        let mut sums = [[[0f32; LANES]; C]; N];
        for i in 0..N {
            for c in 0..C {
                sums[i][c] = *lanes(&out[i * d + first + c * LANES..]);
            }
        }
        let mut position = seen.start;
        while position < seen.end {
            let slot = position % positions;
            let count = (positions - slot).min(seen.end - position);
            let block = &values[blocks.start(position / positions) + slot * d + first..];
            for j in 0..count {
                for c in 0..C {
                    let values = lanes(&block[j * d + c * LANES..]);
                    for i in 0..N {
                        let weight = weights[i][position + j];
                        for lane in 0..LANES {
                            sums[i][c][lane] = weight.mul_add(values[lane], sums[i][c][lane]);
                        }
                    }
                }
            }
            position += count;
        }
        for i in 0..N {
            for c in 0..C {
                out[i * d + first + c * LANES..][..LANES].copy_from_slice(&sums[i][c]);
            }
        }
    }
    for c in d / step * step..d {
        for i in 0..N {
            let mut sum = out[i * d + c];
            for position in seen.clone() {
                let at = blocks.start(position / positions) + position % positions * d + c;
                sum = weights[i][position].mul_add(values[at], sum);
            }
            out[i * d + c] = sum;
        }
    }
}
