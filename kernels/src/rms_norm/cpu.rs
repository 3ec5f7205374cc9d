//! The flex backend's implementation: rows in parallel, lanes within a row.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::op::{RmsNormGrad, RmsNormOp};
use crate::flex_slices::{F32s, dims, f32_tensor, own_buffer, rows};
use crate::lanes::{dot, sum2, vectorised};
use crate::values::Values;

/// Rows that one task takes: few enough to share out, enough to be worth a task.
const ROWS_EACH: usize = 16;

impl RmsNormOp for Flex {
    fn rms_norm_op(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
        let shape = dims(&x);
        let (_, d) = rows(&x);
        let (x, weight) = (F32s::new(&x), F32s::new(&weight));
        assert_eq!(weight.len(), d, "rms_norm: length of the weight");
        let mut y = Values::unset(x.len());
        if d > 0 {
            y.par_chunks_mut(ROWS_EACH * d).zip(x.par_chunks(ROWS_EACH * d)).for_each(|(y, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                            normalise(y, x, &weight, eps);
                        }
                    },
                );
            });
        }
        y.into_tensor(shape)
    }
}

impl RmsNormGrad for Flex {
    /// Written over `dy`, which the backward pass is the last to hold as a rule.
    fn rms_norm_dx(dy: FlexTensor, x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
        let (_, d) = rows(&x);
        let (x, weight) = (F32s::new(&x), F32s::new(&weight));
        let mut dx = own_buffer(dy);
        if d > 0 {
            let dx = dx.storage_mut::<f32>();
            dx.par_chunks_mut(ROWS_EACH * d).zip(x.par_chunks(ROWS_EACH * d)).for_each(|(dx, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (dx, x) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                            normalise_back(dx, x, &weight, eps);
                        }
                    },
                );
            });
        }
        dx
    }

    fn rms_norm_dweight(dy: FlexTensor, x: FlexTensor, eps: f32) -> FlexTensor {
        let (_, d) = rows(&x);
        let (dy, x) = (F32s::new(&dy), F32s::new(&x));
        f32_tensor(weight_gradient(&dy, &x, d, eps), [d])
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

#[inline(always)]
fn normalise(y: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let inverse = inverse_rms(x, eps);
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * inverse * w;
    }
}

/// With r = 1/rms: `dx = r·(dy·w) − x·r³/d · Σ dy·w·x`; `dx` holds `dy` before.
#[inline(always)]
fn normalise_back(dx: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let inverse = inverse_rms(x, eps);
    for (dx, &w) in dx.iter_mut().zip(weight) {
        *dx *= w;
    }
    let sum = sum2(dx, x, |sum, g, x| g.mul_add(x, sum));
    let along_x = -sum * inverse * inverse * inverse / x.len() as f32;
    for (dx, &x) in dx.iter_mut().zip(x) {
        *dx = dx.mul_add(inverse, x * along_x);
    }
}

/// `dw = Σ over rows of dy·x·r`, in groups of rows whose sums are added in order:
/// the same bits with any number of threads.
fn weight_gradient(dy: &[f32], x: &[f32], d: usize, eps: f32) -> Vec<f32> {
    const GROUP: usize = 64;
    let mut total = vec![0f32; d];
    if d == 0 {
        return total;
    }
    let groups: Vec<Vec<f32>> = dy
        .par_chunks(GROUP * d)
        .zip(x.par_chunks(GROUP * d))
        .map(|(dy, x)| {
            let mut sums = vec![0f32; d];
            vectorised(
                #[inline(always)]
                || {
                    for (dy, x) in dy.chunks_exact(d).zip(x.chunks_exact(d)) {
                        let inverse = inverse_rms(x, eps);
                        for ((sum, &dy), &x) in sums.iter_mut().zip(dy).zip(x) {
                            *sum = (dy * inverse).mul_add(x, *sum);
                        }
                    }
                },
            );
            sums
        })
        .collect();
    for group in groups {
        total.iter_mut().zip(group).for_each(|(t, v)| *t += v);
    }
    total
}
