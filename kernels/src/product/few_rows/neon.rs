//! The loop of NEON.

use std::arch::aarch64::*;

use super::{Row, SPARE, STEP, part};
use crate::blockwise4::Packed4View;
use crate::blockwise4::book_neon::{CodeBook, nibbles};
use crate::product::pack4;

/// Its code book.
pub(super) struct Loops(CodeBook);

impl Loops {
    pub fn new(table: &[f32; 16]) -> Self {
        // SAFETY: every 64-bit Arm processor has NEON.
        Self(unsafe { CodeBook::new(table) })
    }

    /// Puts a row into the order in which the loop meets its values.
    pub fn part(&self, to: &mut [f32], from: &[f32]) {
        part(to, from, STEP);
    }

    /// The scales of the runs of the `inn` values from `start`.
    pub fn scales(
        &self,
        view: &Packed4View<'_>,
        start: usize,
        inn: usize,
        run: usize,
        scales: &mut Vec<f32>,
    ) {
        pack4::run_scales(view, start, inn, run, scales);
        scales.resize(scales.len() + SPARE, 0.0);
    }

    /// `y = x · rowᵀ` for `M` rows of `x`.
    ///
    /// # Safety
    /// The task is as described.
    #[target_feature(enable = "neon")]
    pub unsafe fn dot<const M: usize>(&self, task: Row<'_>, y: &mut [f32]) {
        let Row { bytes, scales, run, x } = task;
        let inn = 2 * bytes.len();
        let mut sums = [vdupq_n_f32(0.0); M];
        for (i, scale) in scales.iter().enumerate().take(inn / run) {
            let mut parts = [[vdupq_n_f32(0.0); 4]; M];
            for at in (i * run..(i + 1) * run).step_by(STEP) {
                // SAFETY: a step of a run is sixteen bytes, and 32 values of each row of `x`.
                unsafe {
                    let (even, odd) = nibbles(vld1q_u8(bytes.as_ptr().add(at / 2)));
                    for (half, codes) in [even, odd].into_iter().enumerate() {
                        let values = self.0.get(codes);
                        for (r, parts) in parts.iter_mut().enumerate() {
                            let x = x.as_ptr().add(r * inn + at + STEP / 2 * half);
                            for (i, (part, values)) in parts.iter_mut().zip(values).enumerate() {
                                *part = vfmaq_f32(*part, values, vld1q_f32(x.add(4 * i)));
                            }
                        }
                    }
                }
            }
            for (sum, [a, b, c, d]) in sums.iter_mut().zip(parts) {
                *sum = vfmaq_n_f32(*sum, vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)), *scale);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = vaddvq_f32(sum);
        }
    }
}
