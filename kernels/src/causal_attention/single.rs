//! One query position per sequence, as in generation: every key and value is read
//! once, where it lies.

use rayon::prelude::*;

use super::Heads;
use super::sequences::Sequence;
use crate::lanes::{dot, exp_in_place, max, vectorised};

/// Elements of keys below which a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 16;

/// Writes the output, one row of all heads per sequence, and the logarithms of the
/// softmax denominators.
#[allow(clippy::too_many_arguments)]
pub(super) fn run(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    scale: f32,
    sequences: &[Sequence],
    heads: Heads,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let group = heads.group();
    let work = |i: usize, out: &mut [f32], lse: &mut [f32]| {
        let (sequence, head) = (sequences[i / heads.keys], i % heads.keys);
        let at = sequence.key * heads.key_row() + head * heads.d;
        let q = &q[sequence.query * heads.query_row() + head * group * heads.d..];
        let (k, v) = (&k[at..], &v[at..]);
        vectorised(
            #[inline(always)]
            || attend(q, k, v, scale, sequence.s, heads, out, lse),
        );
    };
    let keys: usize = sequences.iter().map(|sequence| sequence.s * heads.key_row()).sum();
    if keys < PARALLEL_FROM {
        for (i, (out, lse)) in out.chunks_mut(group * heads.d).zip(lse.chunks_mut(group)).enumerate() {
            work(i, out, lse);
        }
    } else {
        let parts = out.par_chunks_mut(group * heads.d).zip(lse.par_chunks_mut(group));
        parts.enumerate().for_each(|(i, (out, lse))| work(i, out, lse));
    }
}

/// The query heads that share one head of keys.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn attend(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    scale: f32,
    s: usize,
    heads: Heads,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let (d, stride) = (heads.d, heads.key_row());
    let mut weights = vec![0f32; lse.len() * s];
    for j in 0..s {
        let k = &k[j * stride..][..d];
        for g in 0..lse.len() {
            weights[g * s + j] = scale * dot(&q[g * d..][..d], k);
        }
    }
    for (weights, lse) in weights.chunks_exact_mut(s).zip(lse) {
        let largest = max(weights);
        let total = exp_in_place(weights, largest);
        let inverse = 1.0 / total;
        weights.iter_mut().for_each(|w| *w *= inverse);
        *lse = largest + total.ln();
    }
    out.fill(0.0);
    for j in 0..s {
        let v = &v[j * stride..][..d];
        for (g, out) in out.chunks_exact_mut(d).enumerate() {
            let weight = weights[g * s + j];
            out.iter_mut().zip(v).for_each(|(o, &v)| *o = weight.mul_add(v, *o));
        }
    }
}
