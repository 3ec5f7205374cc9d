//! The backward pass: the heads of each sequence in parallel, and in each the tiles of keys one
//! after the other, with all tiles of queries that see them: what is summed over queries stays in
//! the cache. How the work is cut depends on the shapes alone, so that the bits never depend on
//! threads.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::forward::padded;
use super::product::{Left, Right, Target, Update, product};
use super::sequences::Sequence;
use super::{Heads, KEY_TILE, QUERY_TILE, panels, transposed_panels};
use crate::lanes::{dot, exp, vectorised};
use crate::values::Values;

/// Contiguous inputs; `lse` holds one value per query position and head.
#[derive(Clone, Copy)]
pub(super) struct Slices<'a> {
    pub dy: &'a [f32],
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a [f32],
    pub lse: &'a [f32],
}

/// Heads of keys from which on a task takes all query heads that share one of them; with fewer
/// there are too few tasks for the cores, and every query head is a task.
const KEY_HEADS_ENOUGH: usize = 8;

/// The gradients of `q`, `k` and `v`.
pub(super) fn run(slices: Slices<'_>, scale: f32, sequences: &[Sequence], heads: Heads) -> [Values; 3] {
    let mut dq = Values::unset(slices.q.len());
    let mut dk = Values::unset(slices.k.len());
    let mut dv = Values::unset(slices.v.len());
    if heads.d == 0 || heads.queries == 0 || heads.keys == 0 {
        return [dq, dk, dv];
    }
    let parts = if heads.keys < KEY_HEADS_ENOUGH { heads.group() } else { 1 };
    // The gradients of the first part lie where the sum will.
    let mut more_dk = Values::unset((parts - 1) * dk.len());
    let mut more_dv = Values::unset((parts - 1) * dv.len());
    {
        let grads = Grads {
            dq: HeadRows::new(&mut dq, heads.query_row(), heads.d),
            dk: layers(&mut dk, &mut more_dk, heads),
            dv: layers(&mut dv, &mut more_dv, heads),
        };
        (0..sequences.len() * heads.keys * parts).into_par_iter().with_max_len(1).for_each_init(
            Scratch::default,
            |scratch, i| {
                let (i, part) = (i / parts, i % parts);
                let sequence = sequences[i / heads.keys];
                let task = Task { slices, scale, sequence, heads, key_head: i % heads.keys, part, parts };
                task.run(scratch, &grads);
            },
        );
    }
    for (sum, more) in [(&mut dk, &more_dk), (&mut dv, &more_dv)] {
        let len = sum.len().max(1);
        for layer in more.chunks_exact(len) {
            sum.par_chunks_mut(SUM_CHUNK).zip(layer.par_chunks(SUM_CHUNK)).for_each(|(sum, layer)| {
                vectorised(
                    #[inline(always)]
                    || sum.iter_mut().zip(layer).for_each(|(sum, x)| *sum += x),
                );
            });
        }
    }
    [dq, dk, dv]
}

/// Gradients of the keys, or values, of each part: the first where the sum will be, then `more`.
fn layers<'a>(first: &'a mut [f32], more: &'a mut [f32], heads: Heads) -> Vec<HeadRows<'a>> {
    let len = first.len().max(1);
    let all = std::iter::once(first).chain(more.chunks_exact_mut(len));
    all.map(|layer| HeadRows::new(layer, heads.key_row(), heads.d)).collect()
}

/// Values that one task adds.
const SUM_CHUNK: usize = 1 << 15;

struct Grads<'a> {
    dq: HeadRows<'a>,
    /// One of each per part of the heads that share keys.
    dk: Vec<HeadRows<'a>>,
    dv: Vec<HeadRows<'a>>,
}

/// Rows of all heads side by side, to which several tasks write, each its own heads
/// or its own rows.
struct HeadRows<'a> {
    data: *mut f32,
    len: usize,
    row: usize,
    d: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer stands for an exclusive borrow of `f32` values, which may go to
// other threads; that tasks share it is the business of `write`.
#[allow(unsafe_code)]
unsafe impl Send for HeadRows<'_> {}
// SAFETY: as above; a shared reference alone reads and writes nothing.
#[allow(unsafe_code)]
unsafe impl Sync for HeadRows<'_> {}

impl<'a> HeadRows<'a> {
    fn new(values: &'a mut [f32], row: usize, d: usize) -> Self {
        Self { data: values.as_mut_ptr(), len: values.len(), row, d, borrowed: PhantomData }
    }

    /// Writes head `head` of the rows from `first` on, `values.len() / d` of them.
    ///
    /// # Safety
    /// No other task writes that head of those rows.
    #[allow(unsafe_code)]
    unsafe fn write(&self, first: usize, head: usize, values: &[f32]) {
        for (i, values) in values.chunks_exact(self.d).enumerate() {
            let at = (first + i) * self.row + head * self.d;
            assert!(head < self.row / self.d && at + self.d <= self.len, "a head outside the gradient");
            // SAFETY: `at + d` lies inside the buffer, which is borrowed exclusively for
            // `'a`; the caller promises that nobody else writes these elements.
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.data.add(at), self.d) };
        }
    }
}

/// Buffers that one thread uses again.
#[derive(Default)]
struct Scratch {
    /// The transposes of a tile's keys times the scale, and of its values, in panels.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// A tile's keys in panels.
    key_panels: Vec<f32>,
    /// The gradients of a tile's keys and values, `[keys, d]`.
    dk: Vec<f32>,
    dv: Vec<f32>,
    /// A tile's queries, and the gradient of its output, in panels.
    q: Vec<f32>,
    dy: Vec<f32>,
    /// A tile's softmax and the gradient of its scores.
    p: Vec<f32>,
    ds: Vec<f32>,
    /// The gradients of the queries, `[t, d]`, and the sums of `dy·out`, `[t]`, of each head.
    dq: Vec<f32>,
    row_sums: Vec<f32>,
}

impl Scratch {
    fn resize(&mut self, queries: usize, d: usize) {
        for tile in [&mut self.keys, &mut self.values, &mut self.key_panels, &mut self.dk, &mut self.dv] {
            tile.resize(KEY_TILE * padded(d), 0.0);
        }
        for tile in [&mut self.q, &mut self.dy] {
            tile.resize(QUERY_TILE * padded(d), 0.0);
        }
        for tile in [&mut self.p, &mut self.ds] {
            tile.resize(QUERY_TILE * KEY_TILE, 0.0);
        }
        self.dq.resize(queries * d, 0.0);
        self.row_sums.resize(queries, 0.0);
    }
}

/// One head of keys of one sequence, and a part of the query heads that share it.
#[derive(Clone, Copy)]
struct Task<'a> {
    slices: Slices<'a>,
    scale: f32,
    sequence: Sequence,
    heads: Heads,
    key_head: usize,
    part: usize,
    parts: usize,
}

impl Task<'_> {
    /// With `P` the softmax and `D` the row sums of `dy·out`:
    /// `dv = Pᵀ·dy`, `dS = P·(dy·vᵀ − D)·scale`, `dq = dS·k`, `dk = dSᵀ·q`.
    fn run(&self, scratch: &mut Scratch, grads: &Grads<'_>) {
        let Self { slices, scale, sequence, heads, key_head, part, .. } = *self;
        let (d, t, key_row) = (heads.d, sequence.t, heads.key_row());
        let size = heads.group() / self.parts;
        let query_heads =
            key_head * heads.group() + part * size..key_head * heads.group() + (part + 1) * size;
        scratch.resize(size * t, d);
        self.row_sums(query_heads.clone(), &mut scratch.row_sums);
        for key in (0..sequence.s).step_by(KEY_TILE) {
            let seen = KEY_TILE.min(sequence.s - key);
            let at = (sequence.key + key) * key_row + key_head * d;
            let (k, v) = (&slices.k[at..], &slices.v[at..]);
            vectorised(
                #[inline(always)]
                || {
                    transposed_panels(k, seen, key_row, d, scale, &mut scratch.keys);
                    transposed_panels(v, seen, key_row, d, 1.0, &mut scratch.values);
                    panels(k, seen, key_row, d, &mut scratch.key_panels[..padded(d) * seen]);
                },
            );
            let (dk, dv) = (&mut scratch.dk[..seen * d], &mut scratch.dv[..seen * d]);
            dk.fill(0.0);
            dv.fill(0.0);
            for (i, head) in query_heads.clone().enumerate() {
                // The first tile of queries whose last position sees the first of these keys.
                let first = key.saturating_sub(sequence.visible(0) - 1) / QUERY_TILE * QUERY_TILE;
                for first in (first..t).step_by(QUERY_TILE) {
                    self.tile(scratch, i * t, head, first, key);
                }
            }
            // SAFETY: this part of this head of keys of this sequence is this task's alone.
            #[allow(unsafe_code)]
            unsafe {
                grads.dk[part].write(sequence.key + key, key_head, &scratch.dk[..seen * d]);
                grads.dv[part].write(sequence.key + key, key_head, &scratch.dv[..seen * d]);
            }
        }
        for (head, dq) in query_heads.zip(scratch.dq.chunks_exact(t * d)) {
            // SAFETY: `head` belongs to this task alone, and these rows to its sequence.
            #[allow(unsafe_code)]
            unsafe {
                grads.dq.write(sequence.query, head, dq);
            }
        }
    }

    /// Where the queries of a head lie from position `first` on.
    fn query_at(&self, head: usize, first: usize) -> usize {
        (self.sequence.query + first) * self.heads.query_row() + head * self.heads.d
    }

    /// `dy·out` for every position of each head.
    fn row_sums(&self, query_heads: Range<usize>, sums: &mut [f32]) {
        let (dy, out, d) = (self.slices.dy, self.slices.out, self.heads.d);
        vectorised(
            #[inline(always)]
            || {
                for (head, sums) in query_heads.zip(sums.chunks_exact_mut(self.sequence.t)) {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let at = self.query_at(head, i);
                        *sum = dot(&dy[at..][..d], &out[at..][..d]);
                    }
                }
            },
        );
    }

    /// The queries of one head from `first` on with the keys from `key` on: adds to `dk`, `dv` and,
    /// from row `row_of_head` on, to `dq`.
    fn tile(&self, scratch: &mut Scratch, row_of_head: usize, head: usize, first: usize, key: usize) {
        let Self { slices, scale, sequence, heads, .. } = *self;
        let (d, row) = (heads.d, heads.query_row());
        let n = QUERY_TILE.min(sequence.t - first);
        let at = self.query_at(head, first);
        let (q, dy) = (&slices.q[at..], &slices.dy[at..]);
        let lse = &slices.lse[(sequence.query + first) * heads.queries + head..];
        let seen = KEY_TILE.min(sequence.visible(first + n - 1) - key);
        let stride = padded(seen);
        // Keys of the tile, of which these queries may see only the first.
        let keys = KEY_TILE.min(sequence.s - key);
        let (p, ds) = (&mut scratch.p[..n * stride], &mut scratch.ds[..n * stride]);
        for (scores, left, right) in [(&mut *p, q, &scratch.keys), (&mut *ds, dy, &scratch.values)] {
            product(
                [n, stride, d],
                Target { data: scores, stride },
                Update::Replace,
                Left { data: left, row, col: 1 },
                Right::panels(right, d),
            );
        }
        let row_sums = &scratch.row_sums[row_of_head + first..];
        let (q_panels, dy_panels) = (&mut scratch.q[..padded(d) * n], &mut scratch.dy[..padded(d) * n]);
        vectorised(
            #[inline(always)]
            || {
                panels(q, n, row, d, q_panels);
                panels(dy, n, row, d, dy_panels);
                for (i, (p, ds)) in p.chunks_exact_mut(stride).zip(ds.chunks_exact_mut(stride)).enumerate() {
                    let seen = sequence.visible(first + i).saturating_sub(key).min(seen);
                    let lse = lse[i * heads.queries];
                    let row_sum = row_sums[i];
                    for (p, ds) in p[..seen].iter_mut().zip(&mut ds[..seen]) {
                        *p = exp(*p - lse);
                        *ds = *p * (*ds - row_sum) * scale;
                    }
                    p[seen..].fill(0.0);
                    ds[seen..].fill(0.0);
                }
            },
        );
        for (grad, scores, right) in
            [(&mut scratch.dv, &*p, &*dy_panels), (&mut scratch.dk, &*ds, &*q_panels)]
        {
            product(
                [seen, d, n],
                Target { data: grad, stride: d },
                Update::Add,
                Left { data: scores, row: 1, col: stride },
                Right::panels(right, n),
            );
        }
        product(
            [n, d, seen],
            Target { data: &mut scratch.dq[(row_of_head + first) * d..], stride: d },
            if key == 0 { Update::Replace } else { Update::Add },
            Left { data: ds, row: stride, col: 1 },
            Right::panels(&scratch.key_panels, keys),
        );
    }
}
