//! One parameter after the other: what the fast paths are held to.

use super::{BLOCK, Moment8, Step};
use crate::blockwise4::Rounding;
use crate::blockwise8::{Map8, reference};

/// See [`super::update_f32`].
pub fn update_f32(step: &Step, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    for i in 0..p.len() {
        let g = step.grad_scale * g[i];
        // Each `mul_add` rounds once.
        m[i] = f32::mul_add(step.one_minus_beta1, g, step.beta1 * m[i]);
        v[i] = f32::mul_add(step.one_minus_beta2 * g, g, step.beta2 * v[i]);
        let denominator = f32::mul_add(v[i].sqrt(), step.correction2, step.eps);
        let update = step.step_size * (m[i] / denominator);
        p[i] -= f32::mul_add(step.decay, p[i], update);
    }
}

/// See [`super::update_8bit`].
pub fn update_8bit(
    step: &Step,
    rounding: Rounding,
    p: &mut [f32],
    g: &[f32],
    m: Moment8<'_>,
    v: Moment8<'_>,
) {
    let (mut m32, mut v32) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    reference::dequantize(Map8::DynamicSigned, BLOCK, m.codes, m.absmax, &mut m32);
    reference::dequantize(Map8::DynamicUnsigned, BLOCK, v.codes, v.absmax, &mut v32);
    update_f32(step, p, g, &mut m32, &mut v32);
    reference::quantize(Map8::DynamicSigned, BLOCK, rounding, &m32, m.codes, m.absmax);
    reference::quantize(Map8::DynamicUnsigned, BLOCK, rounding, &v32, v.codes, v.absmax);
}
