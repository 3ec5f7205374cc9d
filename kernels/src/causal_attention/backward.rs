//! The backward pass: the heads of keys of each sequence in parallel, each with the
//! query heads that share it, one after the other: the bits never depend on threads.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::forward::padded;
use super::product::{Left, Right, Target, Update, product};
use super::sequences::Sequence;
use super::{Heads, KEY_TILE, QUERY_TILE, transpose};
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

/// The gradients of `q`, `k` and `v`.
pub(super) fn run(slices: Slices<'_>, scale: f32, sequences: &[Sequence], heads: Heads) -> [Values; 3] {
    let mut dq = Values::unset(slices.q.len());
    let mut dk = Values::unset(slices.k.len());
    let mut dv = Values::unset(slices.v.len());
    if heads.d == 0 || heads.queries == 0 || heads.keys == 0 {
        return [dq, dk, dv];
    }
    let grads = Grads {
        dq: HeadRows::new(&mut dq, heads.query_row(), heads.d),
        dk: HeadRows::new(&mut dk, heads.key_row(), heads.d),
        dv: HeadRows::new(&mut dv, heads.key_row(), heads.d),
    };
    (0..sequences.len() * heads.keys).into_par_iter().with_max_len(1).for_each_init(
        Scratch::default,
        |scratch, i| {
            let sequence = sequences[i / heads.keys];
            scratch.key_head(slices, scale, sequence, heads, i % heads.keys, &grads);
        },
    );
    [dq, dk, dv]
}

struct Grads<'a> {
    dq: HeadRows<'a>,
    dk: HeadRows<'a>,
    dv: HeadRows<'a>,
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
    /// Keys times the scale, and values, `[d, padded(s)]`.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[s, d]`.
    dk: Vec<f32>,
    dv: Vec<f32>,
    /// A tile's softmax and the gradient of its scores.
    p: Vec<f32>,
    ds: Vec<f32>,
    /// A tile's `dq`, `[queries, d]`.
    dq: Vec<f32>,
}

impl Scratch {
    fn resize(&mut self, s: usize, d: usize) {
        let zeros = |buffer: &mut Vec<f32>, len| {
            buffer.clear();
            buffer.resize(len, 0.0);
        };
        for transposed in [&mut self.keys, &mut self.values] {
            transposed.resize(d * padded(s), 0.0);
        }
        zeros(&mut self.dk, s * d);
        zeros(&mut self.dv, s * d);
        for tile in [&mut self.p, &mut self.ds] {
            tile.resize(QUERY_TILE * KEY_TILE, 0.0);
        }
        self.dq.resize(QUERY_TILE * d, 0.0);
    }

    /// Everything that one head of keys of one sequence takes part in.
    ///
    /// With `P` the softmax and `D` the row sums of `dy·out`:
    /// `dv = Pᵀ·dy`, `dS = P·(dy·vᵀ − D)·scale`, `dq = dS·k`, `dk = dSᵀ·q`.
    fn key_head(
        &mut self,
        slices: Slices<'_>,
        scale: f32,
        sequence: Sequence,
        heads: Heads,
        key_head: usize,
        grads: &Grads<'_>,
    ) {
        let d = heads.d;
        let width = padded(sequence.s);
        self.resize(sequence.s, d);
        let at = sequence.key * heads.key_row() + key_head * d;
        let (k, v) = (&slices.k[at..], &slices.v[at..]);
        vectorised(
            #[inline(always)]
            || {
                transpose(k, sequence.s, heads.key_row(), scale, width, &mut self.keys);
                transpose(v, sequence.s, heads.key_row(), 1.0, width, &mut self.values);
            },
        );
        for head in key_head * heads.group()..(key_head + 1) * heads.group() {
            for first in (0..sequence.t).step_by(QUERY_TILE) {
                let n = QUERY_TILE.min(sequence.t - first);
                self.tile(slices, scale, sequence, heads, k, head, first, n);
                // SAFETY: `head` belongs to this task's head of keys alone, and these rows
                // to its sequence.
                #[allow(unsafe_code)]
                unsafe {
                    grads.dq.write(sequence.query + first, head, &self.dq[..n * d]);
                }
            }
        }
        // SAFETY: this head of keys of this sequence is this task's alone.
        #[allow(unsafe_code)]
        unsafe {
            grads.dk.write(sequence.key, key_head, &self.dk);
            grads.dv.write(sequence.key, key_head, &self.dv);
        }
    }

    /// `n` queries of one head from `first` on: adds to `dk` and `dv`, writes `dq`.
    #[allow(clippy::too_many_arguments)]
    fn tile(
        &mut self,
        slices: Slices<'_>,
        scale: f32,
        sequence: Sequence,
        heads: Heads,
        k: &[f32],
        head: usize,
        first: usize,
        n: usize,
    ) {
        let (d, row, key_row) = (heads.d, heads.query_row(), heads.key_row());
        let width = padded(sequence.s);
        let at = (sequence.query + first) * row + head * d;
        let (q, dy, out) = (&slices.q[at..], &slices.dy[at..], &slices.out[at..]);
        let lse = &slices.lse[(sequence.query + first) * heads.queries + head..];
        let mut row_sums = [0f32; QUERY_TILE];
        vectorised(
            #[inline(always)]
            || {
                for (i, sum) in row_sums[..n].iter_mut().enumerate() {
                    *sum = dot(&dy[i * row..][..d], &out[i * row..][..d]);
                }
            },
        );
        let seen_by_last = sequence.visible(first + n - 1);
        for key in (0..seen_by_last).step_by(KEY_TILE) {
            let seen = KEY_TILE.min(seen_by_last - key);
            let stride = padded(seen);
            let (p, ds) = (&mut self.p[..n * stride], &mut self.ds[..n * stride]);
            for (scores, left, right) in [(&mut *p, q, &self.keys), (&mut *ds, dy, &self.values)] {
                product(
                    [n, stride, d],
                    Target { data: scores, stride },
                    Update::Replace,
                    Left { data: left, row, col: 1 },
                    Right { data: &right[key..], stride: width },
                );
            }
            vectorised(
                #[inline(always)]
                || {
                    for (i, (p, ds)) in
                        p.chunks_exact_mut(stride).zip(ds.chunks_exact_mut(stride)).enumerate()
                    {
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
            for (grad, scores, right) in [(&mut self.dv, &*p, dy), (&mut self.dk, &*ds, q)] {
                product(
                    [seen, d, n],
                    Target { data: &mut grad[key * d..], stride: d },
                    Update::Add,
                    Left { data: scores, row: 1, col: stride },
                    Right { data: right, stride: row },
                );
            }
            product(
                [n, d, seen],
                Target { data: &mut self.dq, stride: d },
                if key == 0 { Update::Replace } else { Update::Add },
                Left { data: ds, row: stride, col: 1 },
                Right { data: &k[key * key_row..], stride: key_row },
            );
        }
    }
}
