//! One AdamW step of a run of parameters, in one pass over memory.
//!
//! AdamW (Loshchilov & Hutter 2019, algorithm 2) as torch and bitsandbytes write it, of gradients
//! scaled by `s` (1, or what clipping by the global norm asks for):
//!
//! ```text
//! g ← s·g
//! m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
//! p ← p − (lr·λ·p + lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε))
//! ```
//!
//! # Rounding
//! Everything is f32 arithmetic in the order of [`mod@reference`], each operation rounded once, so
//! the result does not depend on the instruction set. The moments are what fused multiply-adds
//! give, `m = fma(1 − β₁, g, β₁·m)` and `v = fma((1 − β₂)·g, g, β₂·v)`, which is what
//! bitsandbytes' compiled kernels compute: their states are equal to the last bit. The parameter
//! is within a unit in the last place of the exact step (of the larger of its old and new value,
//! where the step is small beside it); torch and bitsandbytes round in other places.
//!
//! ```
//! use camelid_kernels::adamw::{self, Hyper, Step};
//!
//! let hyper = Hyper { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
//! let (mut p, mut m, mut v) = ([1.0f32], [0f32], [0f32]);
//! adamw::update_f32(&Step::new(&hyper, 0.1, 1), &mut p, &[3.0], &mut m, &mut v);
//! assert!((p[0] - 0.9).abs() < 1e-6); // the first step is lr long, whatever the gradient
//! ```

mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod gradient;
mod op;
pub mod reference;

pub use gradient::{first_non_finite, sum_of_squares};
pub use op::{AdamW8Op, Moment8Tensors, update_8bit_tensors};

use crate::blockwise4::{Rounding, block_count};
use crate::isa::Isa;

/// Elements that share one scale in 8-bit state.
pub const BLOCK: usize = crate::blockwise8::BLOCK_SIZE;

/// What stays the same from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Decay of the first moment, β₁.
    pub beta1: f64,
    /// Decay of the second moment, β₂.
    pub beta2: f64,
    /// Added to the square root of the corrected second moment, ε.
    pub eps: f64,
    /// Decoupled weight decay, λ.
    pub weight_decay: f64,
}

/// The scalars of one step, computed in f64 and rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    grad_scale: f32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    eps: f32,
    /// `lr·λ`
    decay: f32,
    /// `lr / (1 − β₁ᵗ)`
    step_size: f32,
    /// `1 / √(1 − β₂ᵗ)`
    correction2: f32,
}

impl Step {
    /// Scalars of step `t`, counted from 1, with gradients taken as they are.
    pub fn new(hyper: &Hyper, lr: f64, t: u64) -> Self {
        let t = t.min(i32::MAX as u64) as i32;
        // An ε too small for f32 still keeps 0 / 0 away.
        let smallest = if hyper.eps > 0.0 { f32::from_bits(1) } else { 0.0 };
        Step {
            grad_scale: 1.0,
            beta1: hyper.beta1 as f32,
            beta2: hyper.beta2 as f32,
            one_minus_beta1: (1.0 - hyper.beta1) as f32,
            one_minus_beta2: (1.0 - hyper.beta2) as f32,
            eps: (hyper.eps as f32).max(smallest),
            decay: (lr * hyper.weight_decay) as f32,
            step_size: (lr / (1.0 - hyper.beta1.powi(t))) as f32,
            correction2: (1.0 / (1.0 - hyper.beta2.powi(t)).sqrt()) as f32,
        }
    }

    /// The same with every gradient multiplied by `scale` first (rounded to f32).
    pub fn with_grad_scale(self, scale: f32) -> Self {
        Step { grad_scale: scale, ..self }
    }

    /// One parameter with its gradient and moments.
    #[inline(always)]
    fn update(&self, p: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        let g = self.grad_scale * g;
        *m = self.one_minus_beta1.mul_add(g, self.beta1 * *m);
        *v = (self.one_minus_beta2 * g).mul_add(g, self.beta2 * *v);
        let denominator = v.sqrt().mul_add(self.correction2, self.eps);
        *p -= self.decay.mul_add(*p, self.step_size * (*m / denominator));
    }
}

/// A moment in 8-bit blocks: one code per parameter, and a scale per [`BLOCK`] of them.
#[derive(Debug)]
pub struct Moment8<'a> {
    /// Codes of a dynamic map: the signed one for `m`, the unsigned one for `v`.
    pub codes: &'a mut [u8],
    /// One scale per block.
    pub absmax: &'a mut [f32],
}

impl Moment8<'_> {
    fn check(&self, len: usize) {
        assert_eq!(self.codes.len(), len, "one code per parameter");
        assert_eq!(self.absmax.len(), block_count(len, BLOCK), "one scale per block of {BLOCK}");
    }
}

/// Updates parameters with 32-bit moments, in parallel.
///
/// # Panics
/// Unless all four slices have one length.
pub fn update_f32(step: &Step, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    assert_eq!(g.len(), p.len(), "one gradient per parameter");
    assert_eq!((m.len(), v.len()), (p.len(), p.len()), "two moments per parameter");
    cpu::update_f32(Isa::active(), step, p, g, m, v);
}

/// Updates parameters with 8-bit moments, in parallel over blocks of [`BLOCK`]: moments are
/// dequantised, updated, used for the parameter as they are, and quantised again
/// (bitsandbytes' order) while the block is at hand.
///
/// # Panics
/// If a length does not fit `p.len()`.
pub fn update_8bit(
    step: &Step,
    rounding: Rounding,
    p: &mut [f32],
    g: &[f32],
    m: Moment8<'_>,
    v: Moment8<'_>,
) {
    assert_eq!(g.len(), p.len(), "one gradient per parameter");
    m.check(p.len());
    v.check(p.len());
    cpu::update_8bit(Isa::active(), step, rounding, p, g, m, v);
}

#[cfg(test)]
mod tests;
