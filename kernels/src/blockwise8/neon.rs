//! NEON: nearest codes by arithmetic, as in the AVX2 form.
//!
//! A dynamic map is linear within each decade, so the code of a magnitude is nearly
//! `slope·magnitude + intercept`, rounded. A magnitude that falls almost half-way between two codes is
//! searched for among the exact midpoints.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::map::Tables;
use super::pieces::{Pieces, SURE};
use super::search;

/// Values coded at a time.
const GROUP: usize = 16;

/// The largest magnitude of a block; NaN is left out.
#[target_feature(enable = "neon")]
pub(super) fn largest_magnitude(block: &[f32]) -> f32 {
    let (groups, rest) = block.as_chunks::<GROUP>();
    let mut largest = [vdupq_n_f32(0.0); 4];
    for group in groups {
        for (i, largest) in largest.iter_mut().enumerate() {
            // SAFETY: a group is four vectors.
            let magnitude = vabsq_f32(unsafe { vld1q_f32(group.as_ptr().add(4 * i)) });
            // NaN is larger than nothing.
            *largest = vbslq_f32(vcgtq_f32(magnitude, *largest), magnitude, *largest);
        }
    }
    let [a, b, c, d] = largest;
    let one = vmaxvq_f32(vmaxq_f32(vmaxq_f32(a, b), vmaxq_f32(c, d)));
    rest.iter().fold(one, |largest, value| if value.abs() > largest { value.abs() } else { largest })
}

/// Codes the values of an ordinary block: the reciprocal of its scale is finite.
#[target_feature(enable = "neon")]
pub(super) fn quantize_scaled(tables: &Tables, reciprocal: f32, values: &[f32], codes: &mut [u8]) {
    let linear = Linear::new(&tables.pieces);
    let (groups, rest) = values.as_chunks::<GROUP>();
    let (code_groups, code_rest) = codes.as_chunks_mut::<GROUP>();
    for (values, codes) in groups.iter().zip(code_groups) {
        let mut unsure = vdupq_n_u32(0);
        let mut four = |i: usize| {
            // SAFETY: a group is four vectors.
            let values = unsafe { vld1q_f32(values.as_ptr().add(4 * i)) };
            let (codes, halfway) = linear.nearest(vmulq_n_f32(values, reciprocal));
            unsure = vorrq_u32(unsure, halfway);
            vreinterpretq_u16_s32(codes)
        };
        let mut eight = |i: usize| vreinterpretq_u8_u16(vuzp1q_u16(four(i), four(i + 1)));
        let packed = vuzp1q_u8(eight(0), eight(2));
        // SAFETY: a group of codes is one vector of bytes.
        unsafe { vst1q_u8(codes.as_mut_ptr(), packed) };
        if vmaxvq_u32(unsure) != 0 {
            search::quantize_scaled(tables, reciprocal, values, codes);
        }
    }
    search::quantize_scaled(tables, reciprocal, rest, code_rest);
}

/// [`Pieces`] in registers.
struct Linear {
    ends: uint8x16x2_t,
    slope: uint8x16x2_t,
    top: float32x4_t,
    /// Added to a piece: the exponent field of the number of its codes.
    bias: uint32x4_t,
    /// What is taken off `8n/9` and off `2n` for the place and the last code of a piece.
    offset: float32x4_t,
    last_offset: float32x4_t,
    /// The code of zero.
    zero: int32x4_t,
    signed: bool,
}

impl Linear {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(pieces: &Pieces) -> Self {
        let signed = pieces.signed;
        let bytes = |table: *const u8| {
            // SAFETY: the tables hold eight 32-bit entries each.
            unsafe { uint8x16x2_t(vld1q_u8(table), vld1q_u8(table.add(16))) }
        };
        Linear {
            ends: bytes(pieces.ends.as_ptr().cast()),
            slope: bytes(pieces.slope.as_ptr().cast()),
            top: vdupq_n_f32(pieces.top),
            bias: vdupq_n_u32(if signed { 126 } else { 127 }),
            offset: vdupq_n_f32(if signed { -0.5 } else { -1.5 }),
            last_offset: vdupq_n_f32(if signed { -1.0 } else { -2.0 }),
            zero: vdupq_n_s32(if signed { 127 } else { 0 }),
            signed,
        }
    }

    /// The nearest codes of four values in `[-1, 1]`, and where that is not sure.
    #[inline]
    #[target_feature(enable = "neon")]
    fn nearest(&self, values: float32x4_t) -> (int32x4_t, uint32x4_t) {
        // NaN stays NaN through all that follows.
        let magnitude =
            if self.signed { vabsq_f32(values) } else { vabsq_f32(vmaxq_f32(vdupq_n_f32(0.0), values)) };
        let bits = vreinterpretq_u32_f32(magnitude);

        // A third of the exponent, counted from 2⁻²³, is the piece or the one before it: the
        // pieces begin a factor of about ten apart, and each in an exponent of its own.
        let exponent = vqsubq_u32(vshrq_n_u32::<23>(bits), vdupq_n_u32(127 - 23));
        let piece = vshrq_n_u32::<16>(vmulq_n_u32(exponent, 21_846));
        let entry = |table, piece| {
            vqtbl2q_u8(table, vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x0302_0100), piece, 0x0404_0404)))
        };
        let end = vreinterpretq_u32_u8(entry(self.ends, piece));
        // A tie belongs to the lower code, which on the negative side is the larger magnitude.
        let (negative, reached) = if self.signed {
            let negative = vshrq_n_s32::<31>(vreinterpretq_s32_f32(values));
            (negative, vsubq_u32(bits, vreinterpretq_u32_s32(negative)))
        } else {
            (vdupq_n_s32(0), bits)
        };
        // Masks are −1 where they say yes.
        let piece = vsubq_u32(piece, vcgtq_u32(reached, end));

        let slope = vreinterpretq_f32_u8(entry(self.slope, piece));
        let count = vreinterpretq_f32_u32(vshlq_n_u32::<23>(vaddq_u32(piece, self.bias)));
        let intercept = vfmaq_n_f32(self.offset, count, 8.0 / 9.0);
        let last = vfmaq_n_f32(self.last_offset, count, 2.0);
        let place = vminq_f32(last, vfmaq_f32(intercept, magnitude, slope));
        // In the piece of zero the rule is beside the point.
        let place = if self.signed { place } else { vmaxq_f32(vdupq_n_f32(0.0), place) };
        let steps = vcvtnq_s32_f32(place);
        let distance = vabdq_f32(place, vcvtq_f32_s32(steps));
        // Not less than: true of NaN too.
        let unsure = vmvnq_u32(vcltq_f32(distance, vdupq_n_f32(SURE)));
        // Only +1 has the code beyond the last piece.
        let above = vreinterpretq_s32_u32(vcgtq_f32(values, self.top));
        let steps = vsubq_s32(steps, above);
        let steps = vsubq_s32(veorq_s32(steps, negative), negative);
        (vaddq_s32(self.zero, steps), unsure)
    }
}
