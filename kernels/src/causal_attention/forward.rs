//! The forward pass: tiles of query positions in parallel, all heads of a tile in one task.

use rayon::prelude::*;

use super::{KEY_TILE, QUERY_TILE, Sizes};
use crate::lanes::{exp, exp_in_place, max, vectorised};
use crate::product::{Matrix, MatrixMut, Threads, Update, multiply};

/// Returns the output `[batch, t, heads, d]` and the logarithms of the softmax
/// denominators `[batch, t, heads]`.
pub(super) fn run(q: &[f32], k: &[f32], v: &[f32], scale: f32, sizes: Sizes) -> (Vec<f32>, Vec<f32>) {
    let Sizes { batch, t, s, heads, kv_heads, d } = sizes;
    let mut out = vec![0f32; batch * t * heads * d];
    let mut lse = vec![0f32; batch * t * heads];
    if out.is_empty() {
        return (out, lse);
    }
    out.par_chunks_mut(t * heads * d).zip(lse.par_chunks_mut(t * heads)).enumerate().for_each(
        |(b, (out, lse))| {
            let q = &q[b * t * heads * d..][..t * heads * d];
            let keys = &k[b * s * kv_heads * d..][..s * kv_heads * d];
            let values = &v[b * s * kv_heads * d..][..s * kv_heads * d];
            out.par_chunks_mut(QUERY_TILE * heads * d)
                .zip(lse.par_chunks_mut(QUERY_TILE * heads))
                .enumerate()
                .for_each_init(
                    || Scratch::new(sizes),
                    |scratch, (tile, (out, lse))| {
                        let first = tile * QUERY_TILE;
                        let q = &q[first * heads * d..][..out.len()];
                        for kv in 0..kv_heads {
                            scratch.group(
                                q,
                                &keys[kv * d..],
                                &values[kv * d..],
                                out,
                                lse,
                                first,
                                kv,
                                scale,
                                sizes,
                            );
                        }
                    },
                );
        },
    );
    (out, lse)
}

/// Buffers that one task reuses.
struct Scratch {
    scores: Vec<f32>,
    largest: Vec<f32>,
    total: Vec<f32>,
}

impl Scratch {
    fn new(sizes: Sizes) -> Self {
        let rows = QUERY_TILE.min(sizes.t).max(sizes.group());
        Self {
            scores: vec![0.0; rows * KEY_TILE.min(sizes.s)],
            largest: vec![0.0; rows],
            total: vec![0.0; rows],
        }
    }

    /// All query heads that share the keys of head `kv`. With one query position
    /// (decoding) the heads of the group are the rows of one product.
    #[allow(clippy::too_many_arguments)]
    fn group(
        &mut self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        out: &mut [f32],
        lse: &mut [f32],
        first: usize,
        kv: usize,
        scale: f32,
        sizes: Sizes,
    ) {
        let Sizes { heads, d, .. } = sizes;
        let group = sizes.group();
        let positions = lse.len() / heads;
        if positions == 1 {
            let head = kv * group;
            let rows = Rows { count: group, stride: d, lse_stride: 1, first, step: 0 };
            self.rows(&q[head * d..], k, v, &mut out[head * d..], &mut lse[head..], rows, scale, sizes);
        } else {
            for head in kv * group..(kv + 1) * group {
                let rows = Rows { count: positions, stride: heads * d, lse_stride: heads, first, step: 1 };
                self.rows(&q[head * d..], k, v, &mut out[head * d..], &mut lse[head..], rows, scale, sizes);
            }
        }
    }

    /// Online softmax over tiles of keys for a set of query rows.
    #[allow(clippy::too_many_arguments)]
    fn rows(
        &mut self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        out: &mut [f32],
        lse: &mut [f32],
        rows: Rows,
        scale: f32,
        sizes: Sizes,
    ) {
        let d = sizes.d;
        let kv_stride = sizes.kv_heads * d;
        let n = rows.count;
        let largest = &mut self.largest[..n];
        let total = &mut self.total[..n];
        largest.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        let seen_by_last = rows.visible(n - 1, sizes);
        for key in (0..seen_by_last).step_by(KEY_TILE) {
            let width = KEY_TILE.min(seen_by_last - key);
            let scores = &mut self.scores[..n * width];
            multiply(
                MatrixMut::new(scores, n, width),
                Update::Replace,
                scale,
                Matrix::strided(q, n, d, rows.stride),
                Matrix::strided(&k[key * kv_stride..], width, d, kv_stride).t(),
                Threads::One,
            );
            vectorised(
                #[inline(always)]
                || {
                    for (i, scores) in scores.chunks_exact_mut(width).enumerate() {
                        let seen = rows.visible(i, sizes).saturating_sub(key).min(width);
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
                                out[i * rows.stride..][..d].iter_mut().for_each(|o| *o *= shrink);
                            }
                        }
                        largest[i] = new;
                    }
                },
            );
            multiply(
                MatrixMut::strided(out, n, d, rows.stride),
                if key == 0 { Update::Replace } else { Update::Add },
                1.0,
                Matrix::new(scores, n, width),
                Matrix::strided(&v[key * kv_stride..], width, d, kv_stride),
                Threads::One,
            );
        }
        for (i, (&total, &largest)) in total.iter().zip(&*largest).enumerate() {
            let inverse = 1.0 / total;
            out[i * rows.stride..][..d].iter_mut().for_each(|o| *o *= inverse);
            lse[i * rows.lse_stride] = largest + total.ln();
        }
    }
}

/// Which rows of `q` and `out` a call works on.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    /// Elements between rows of `q` and `out`.
    stride: usize,
    /// Elements between rows of `lse`.
    lse_stride: usize,
    /// Query position of row 0.
    first: usize,
    /// Query positions between rows: 1, or 0 when the rows are heads of one position.
    step: usize,
}

impl Rows {
    fn visible(&self, row: usize, sizes: Sizes) -> usize {
        sizes.visible(self.first + row * self.step)
    }
}
