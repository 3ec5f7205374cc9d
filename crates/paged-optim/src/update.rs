//! The arithmetic of one step, on slices.
//!
//! AdamW (Loshchilov & Hutter 2019, algorithm 2) as torch and bitsandbytes write it:
//!
//! ```text
//! m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
//! p ← p·(1 − lr·λ) − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! Rounding: the moments are what a fused multiply-add gives, `m = fma(1 − β₁, g, β₁·m)` and
//! `v = fma((1 − β₂)·g, g, β₂·v)`, which is what bitsandbytes' compiled kernels compute (its
//! stored states are equal to the last bit). The fused step is spelt as an `f64` sum of exact
//! products, so it needs no FMA instruction and is the same on every processor. The parameter is
//! computed in `f64` and rounded once; the libraries round it three times, so they differ from it
//! by about a unit in the last place per step.

use camelid_kernels::blockwise4::Rounding;
use camelid_kernels::blockwise8::{self, Map8};
use rayon::prelude::*;

use crate::AdamWConfig;

/// Elements one task works on; a multiple of the 8-bit block, so tasks never share a block.
const TASK: usize = 4096;
const BLOCK: usize = AdamWConfig::BLOCK;

/// The scalars of one step of one tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    eps: f64,
    /// `1 − lr·weight_decay`
    keep: f64,
    /// `lr / (1 − β₁ᵗ)`
    step_size: f64,
    /// `√(1 − β₂ᵗ)`
    correction2: f64,
    rounding: Rounding,
}

impl Step {
    /// Scalars of step `t`, counted from 1.
    pub(crate) fn new(config: &AdamWConfig, lr: f64, t: u64) -> Self {
        let t = t.min(i32::MAX as u64) as i32;
        Self {
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            one_minus_beta1: (1.0 - config.beta1) as f32,
            one_minus_beta2: (1.0 - config.beta2) as f32,
            eps: config.eps,
            keep: 1.0 - lr * config.weight_decay,
            step_size: lr / (1.0 - config.beta1.powi(t)),
            correction2: (1.0 - config.beta2.powi(t)).sqrt(),
            rounding: config.rounding,
        }
    }

    /// One parameter with its gradient and moments.
    #[inline(always)]
    fn one(&self, p: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        *m = fused(self.one_minus_beta1, g, self.beta1 * *m);
        *v = fused(self.one_minus_beta2 * g, g, self.beta2 * *v);
        let denominator = f64::from(*v).sqrt() / self.correction2 + self.eps;
        *p = (f64::from(*p) * self.keep - self.step_size * f64::from(*m) / denominator) as f32;
    }

    /// Updates a run of parameters with 32-bit moments. All four slices have one length.
    pub(crate) fn update_f32(&self, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        let tasks = p.par_chunks_mut(TASK).zip(g.par_chunks(TASK));
        let states = m.par_chunks_mut(TASK).zip(v.par_chunks_mut(TASK));
        tasks.zip(states).for_each(|((p, g), (m, v))| {
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                self.one(p, *g, m, v);
            }
        });
    }

    /// Updates a run of parameters with 8-bit moments: they are dequantised, updated, used for
    /// the parameter as they are, and quantised again (bitsandbytes' order).
    pub(crate) fn update_8bit(&self, p: &mut [f32], g: &[f32], m: Codes<'_>, v: Codes<'_>) {
        let values = p.par_chunks_mut(TASK).zip(g.par_chunks(TASK));
        values.zip(m.tasks()).zip(v.tasks()).for_each(|(((p, g), m), v)| {
            let (mut m32, mut v32) = ([0.0; TASK], [0.0; TASK]);
            let (m32, v32) = (&mut m32[..p.len()], &mut v32[..p.len()]);
            blockwise8::dequantize(Map8::DynamicSigned, BLOCK, m.0, m.1, m32);
            blockwise8::dequantize(Map8::DynamicUnsigned, BLOCK, v.0, v.1, v32);
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m32.iter_mut()).zip(v32.iter_mut()) {
                self.one(p, *g, m, v);
            }
            blockwise8::quantize(Map8::DynamicSigned, BLOCK, self.rounding, m32, m.0, m.1);
            blockwise8::quantize(Map8::DynamicUnsigned, BLOCK, self.rounding, v32, v.0, v.1);
        });
    }
}

/// A quantised moment: one code per element and one absmax per 256 of them.
pub(crate) struct Codes<'a> {
    pub(crate) codes: &'a mut [u8],
    pub(crate) absmax: &'a mut [f32],
}

impl<'a> Codes<'a> {
    fn tasks(self) -> impl IndexedParallelIterator<Item = (&'a mut [u8], &'a mut [f32])> {
        let absmax = self.absmax.par_chunks_mut(TASK / BLOCK);
        self.codes.par_chunks_mut(TASK).zip(absmax)
    }
}

/// `a·b + c` rounded once: the product of two `f32` is exact in `f64`.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}
