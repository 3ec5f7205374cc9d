//! The backward pass: query heads in parallel, each with its own share of the
//! gradients of keys and values; the shares of a group are added in order, so the
//! bits never depend on threads.

use rayon::prelude::*;

use super::{KEY_TILE, QUERY_TILE, Sizes};
use crate::lanes::{dot, exp, vectorised};
use crate::product::{Matrix, MatrixMut, Threads, Update, multiply};

/// Contiguous inputs; `lse` is `[batch, t, heads]`, the rest as in the forward pass.
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
pub(super) fn run(slices: Slices<'_>, scale: f32, sizes: Sizes) -> [Vec<f32>; 3] {
    let Sizes { batch, t, s, heads, kv_heads, d } = sizes;
    let parts: Vec<HeadGrads> = (0..batch * heads)
        .into_par_iter()
        .with_max_len(1)
        .map(|i| head(slices, i / heads, i % heads, scale, sizes))
        .collect();

    let mut dq = vec![0f32; batch * t * heads * d];
    let mut dk = vec![0f32; batch * s * kv_heads * d];
    let mut dv = dk.clone();
    if d == 0 || heads == 0 {
        return [dq, dk, dv];
    }
    // Row `row` of dq is position `row % t` of batch `row / t`, all heads side by side.
    dq.par_chunks_mut(heads * d).enumerate().with_min_len(16).for_each(|(row, dq)| {
        for (h, dq) in dq.chunks_exact_mut(d).enumerate() {
            dq.copy_from_slice(&parts[row / t * heads + h].dq[row % t * d..][..d]);
        }
    });
    let group = sizes.group();
    let row_pairs = dk.par_chunks_mut(kv_heads * d).zip(dv.par_chunks_mut(kv_heads * d));
    row_pairs.enumerate().with_min_len(16).for_each(|(row, (dk, dv))| {
        for (kv, (dk, dv)) in dk.chunks_exact_mut(d).zip(dv.chunks_exact_mut(d)).enumerate() {
            for part in &parts[row / s * heads + kv * group..][..group] {
                let at = row % s * d;
                dk.iter_mut().zip(&part.dk[at..]).for_each(|(o, v)| *o += v);
                dv.iter_mut().zip(&part.dv[at..]).for_each(|(o, v)| *o += v);
            }
        }
    });
    [dq, dk, dv]
}

/// What one query head contributes: `dq[t, d]`, `dk[s, d]`, `dv[s, d]`.
struct HeadGrads {
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

/// With `P` the softmax and `D` the row sums of `dy·out`:
/// `dv = Pᵀ·dy`, `dS = P·(dy·vᵀ − D)·scale`, `dq = dS·k`, `dk = dSᵀ·q`.
fn head(slices: Slices<'_>, b: usize, h: usize, scale: f32, sizes: Sizes) -> HeadGrads {
    let Sizes { t, s, heads, kv_heads, d, .. } = sizes;
    let (q_stride, kv_stride) = (heads * d, kv_heads * d);
    let q_at = b * t * q_stride + h * d;
    let kv_at = b * s * kv_stride + h / sizes.group() * d;
    let mut grads = HeadGrads { dq: vec![0.0; t * d], dk: vec![0.0; s * d], dv: vec![0.0; s * d] };
    let tile = QUERY_TILE.min(t) * KEY_TILE.min(s);
    let (mut p, mut ds) = (vec![0f32; tile], vec![0f32; tile]);
    let mut row_sums = [0f32; QUERY_TILE];

    for first in (0..t).step_by(QUERY_TILE) {
        let n = QUERY_TILE.min(t - first);
        let at = q_at + first * q_stride;
        let (q, dy, out) = (&slices.q[at..], &slices.dy[at..], &slices.out[at..]);
        vectorised(
            #[inline(always)]
            || {
                for (i, sum) in row_sums[..n].iter_mut().enumerate() {
                    *sum = dot(&dy[i * q_stride..][..d], &out[i * q_stride..][..d]);
                }
            },
        );
        let q = Matrix::strided(q, n, d, q_stride);
        let dy = Matrix::strided(dy, n, d, q_stride);
        let seen_by_last = sizes.visible(first + n - 1);
        for key in (0..seen_by_last).step_by(KEY_TILE) {
            let width = KEY_TILE.min(seen_by_last - key);
            let at = kv_at + key * kv_stride;
            let k = Matrix::strided(&slices.k[at..], width, d, kv_stride);
            let v = Matrix::strided(&slices.v[at..], width, d, kv_stride);
            let (p, ds) = (&mut p[..n * width], &mut ds[..n * width]);
            multiply(MatrixMut::new(p, n, width), Update::Replace, scale, q, k.t(), Threads::One);
            multiply(MatrixMut::new(ds, n, width), Update::Replace, 1.0, dy, v.t(), Threads::One);
            vectorised(
                #[inline(always)]
                || {
                    for (i, (p, ds)) in p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width)).enumerate()
                    {
                        let seen = sizes.visible(first + i).saturating_sub(key).min(width);
                        let lse = slices.lse[(b * t + first + i) * heads + h];
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
            let (p, ds) = (Matrix::new(p, n, width), Matrix::new(ds, n, width));
            let add = |dst: &mut [f32], rows, lhs, rhs| {
                multiply(MatrixMut::new(dst, rows, d), Update::Add, 1.0, lhs, rhs, Threads::One);
            };
            add(&mut grads.dv[key * d..], width, p.t(), dy);
            add(&mut grads.dk[key * d..], width, ds.t(), q);
            add(&mut grads.dq[first * d..], n, ds, k);
        }
    }
    grads
}
