//! Quantisation written out plainly, one element at a time: what the fast path
//! is held to.

use super::{Code4, Decision, Packed4View, Rounding};

/// Quantises block by block; see [`super::quantize`].
pub fn quantize(
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    packed: &mut [u8],
    absmax: &mut [f32],
) {
    super::check_lengths(block_size, values.len(), packed.len(), absmax.len());
    let decision = Decision::new(code, rounding);
    let mut codes = Vec::with_capacity(values.len());
    for (block, absmax) in values.chunks(block_size).zip(absmax) {
        let full = block.len() == block_size;
        *absmax = quantize_block(&decision, rounding, full, block, &mut codes);
    }
    super::pack(&codes, decision.code(0.0), packed);
}

/// Appends the codes of one block and returns its scale.
pub(crate) fn quantize_block(
    decision: &Decision,
    rounding: Rounding,
    full: bool,
    block: &[f32],
    codes: &mut Vec<u8>,
) -> f32 {
    let absmax = largest_magnitude(block);
    match rounding {
        Rounding::Cuda => {
            for &value in block {
                codes.push(match normalise_cuda(value, absmax) {
                    Some(normalised) => decision.code(normalised),
                    None => 0,
                });
            }
            absmax
        }
        Rounding::BnbCpu => {
            let floored = if absmax < BNB_CPU_FLOOR { BNB_CPU_FLOOR } else { absmax };
            for &value in block {
                let normalised = if full { value * (1.0 / floored) } else { value / floored };
                codes.push(if normalised.is_nan() {
                    decision.order[15]
                } else {
                    decision.code(normalised.clamp(-1.0, 1.0))
                });
            }
            if full { absmax } else { floored }
        }
    }
}

/// The smallest scale that bitsandbytes' CPU build divides by.
pub(crate) const BNB_CPU_FLOOR: f32 = 1e-38;

/// `None` for the elements of an all-zero block (and for NaN).
fn normalise_cuda(value: f32, absmax: f32) -> Option<f32> {
    let reciprocal = 1.0 / absmax;
    let normalised =
        if absmax > 0.0 && reciprocal.is_infinite() { value / absmax } else { value * reciprocal };
    (!normalised.is_nan()).then_some(normalised)
}

/// NaN if any value is NaN, as in NumPy's `max`.
fn largest_magnitude(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |largest: f32, value| {
        let magnitude = value.abs();
        if largest.is_nan() || magnitude <= largest { largest } else { magnitude }
    })
}

/// Dequantises element by element; see [`Packed4View::dequantize_range`].
pub fn dequantize_range(view: &Packed4View<'_>, start: usize, out: &mut [f32]) {
    for (i, out) in (start..).zip(out) {
        let byte = view.packed[i / 2];
        let code = if i % 2 == 0 { byte >> 4 } else { byte & 15 };
        *out = view.code.table()[usize::from(code)] * view.absmax.get(i / view.block_size);
    }
}
