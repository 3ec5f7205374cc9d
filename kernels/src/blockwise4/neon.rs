//! NEON: codes by a binary search over thresholds in registers, values by look-ups of bytes.

// The kernels' pointers stay inside arrays and slices whose lengths are those of their types.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::mem::MaybeUninit;

use half::{bf16, f16};

use super::book_neon::{CodeBook, entries, nibbles, rounded_high};
use super::walk::{GROUP, Run, decode_rest, for_each_block, groups};
use super::{Decision, Float, Packed4View};

/// Quantises whole blocks (the last may be partial).
#[target_feature(enable = "neon")]
pub(super) fn quantize_run<T: Float>(
    run: &Run<'_>,
    values: &[T],
    packed: &mut [MaybeUninit<u8>],
    absmax: &mut [MaybeUninit<f32>],
) {
    let search = Search::new(run.decision);
    run.quantize(values, packed, absmax, |scale, block, packed| {
        for (values, packed) in block.as_chunks::<GROUP>().0.iter().zip(packed.as_chunks_mut().0) {
            search.group(scale, values, packed);
        }
    });
}

/// The thresholds of a rounding rule, arranged for a binary search.
struct Search {
    middle: float32x4_t,
    quarters: [float32x4_t; 2],
    /// Thresholds 1, 5, 9 and 13, as bytes.
    eighths: uint8x16_t,
    /// Thresholds 0, 2, …, 14, as bytes.
    last: uint8x16x2_t,
    /// From the number of thresholds below a value to its code.
    order: uint8x16_t,
}

impl Search {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(decision: &Decision) -> Self {
        let t = &decision.thresholds;
        let bytes = |four: [f32; 4]| {
            // SAFETY: four values are read from four.
            vreinterpretq_u8_f32(unsafe { vld1q_f32(four.as_ptr()) })
        };
        Search {
            middle: vdupq_n_f32(t[7]),
            quarters: [vdupq_n_f32(t[3]), vdupq_n_f32(t[11])],
            eighths: bytes([t[1], t[5], t[9], t[13]]),
            last: uint8x16x2_t(bytes([t[0], t[2], t[4], t[6]]), bytes([t[8], t[10], t[12], t[14]])),
            // SAFETY: sixteen codes are read from sixteen.
            order: unsafe { vld1q_u8(decision.order.as_ptr()) },
        }
    }

    /// How many thresholds lie strictly below each of four values.
    #[inline]
    #[target_feature(enable = "neon")]
    fn below(&self, values: float32x4_t) -> uint32x4_t {
        let above = |threshold| vcgtq_f32(values, threshold);
        // Masks are 0 or all ones, which is −1: subtracting one appends a bit.
        let append = |bits, mask| vsubq_u32(vaddq_u32(bits, bits), mask);
        // The four bytes of the number at each index.
        let bytes = |index| vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x0302_0100), index, 0x0404_0404));
        let mask = above(self.middle);
        let bits = vshrq_n_u32::<31>(mask);
        let bits = append(bits, above(vbslq_f32(mask, self.quarters[1], self.quarters[0])));
        let bits = append(bits, above(vreinterpretq_f32_u8(vqtbl1q_u8(self.eighths, bytes(bits)))));
        append(bits, above(vreinterpretq_f32_u8(vqtbl2q_u8(self.last, bytes(bits)))))
    }

    /// Codes 32 values into 16 bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    fn group(&self, scale: f32, values: &[f32; GROUP], packed: &mut [MaybeUninit<u8>; GROUP / 2]) {
        let four = |i: usize| {
            // SAFETY: `i` is at most 7, so the four values are among the 32.
            let values = unsafe { vld1q_f32(values.as_ptr().add(4 * i)) };
            vreinterpretq_u16_u32(self.below(vmulq_n_f32(values, scale)))
        };
        // The low half of each number, twice.
        let eight = |i: usize| vreinterpretq_u8_u16(vuzp1q_u16(four(i), four(i + 1)));
        let sixteen = |i: usize| vqtbl1q_u8(self.order, vuzp1q_u8(eight(i), eight(i + 2)));
        let (a, b) = (sixteen(0), sixteen(4));
        let (first, second) = (vuzp1q_u8(a, b), vuzp2q_u8(a, b));
        // SAFETY: `packed` is 16 bytes long, and any bytes may be written to it.
        unsafe { vst1q_u8(packed.as_mut_ptr().cast(), vsliq_n_u8::<4>(second, first)) };
    }
}

/// Dequantises to f32; writes every element.
#[target_feature(enable = "neon")]
pub(super) fn dequantize_f32(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f32>]) {
    let table = view.code.table();
    let numbers = entries(table);
    for_each_block(view, start, out.len(), |scale, first, range| {
        let out = &mut out[range];
        let (whole, bytes, groups) = groups(view.packed, first, out);
        if !groups.is_empty() {
            let book = CodeBook::of(numbers.map(|four| vmulq_n_f32(four, scale)));
            for (bytes, out) in bytes.iter().zip(groups) {
                for (codes, out) in codes(bytes).into_iter().zip(out.as_chunks_mut::<16>().0) {
                    for (four, out) in book.get(codes).into_iter().zip(out.as_chunks_mut::<4>().0) {
                        // SAFETY: four values are written to four.
                        unsafe { vst1q_f32(out.as_mut_ptr().cast(), four) };
                    }
                }
            }
        }
        if !whole {
            decode_rest(&table.map(|code| code * scale), view.packed, first, out);
        }
    });
}

/// Dequantises to bfloat16; writes every element.
#[target_feature(enable = "neon")]
pub(super) fn dequantize_bf16(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<bf16>]) {
    let round =
        |low, high| vcombine_u16(vshrn_n_u32::<16>(rounded_high(low)), vshrn_n_u32::<16>(rounded_high(high)));
    dequantize_16(view, start, out, |values| round(values[0], values[1]), bf16::from_f32);
}

/// Dequantises to half precision; writes every element.
#[target_feature(enable = "neon")]
pub(super) fn dequantize_f16(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f16>]) {
    let round = |low, high| vreinterpretq_u16_f16(vcombine_f16(vcvt_f16_f32(low), vcvt_f16_f32(high)));
    dequantize_16(view, start, out, |values| round(values[0], values[1]), f16::from_f32);
}

/// Dequantises to 16-bit numbers, to which `round` brings eight values and `round_one` one.
#[inline]
#[target_feature(enable = "neon")]
fn dequantize_16<T: Copy>(
    view: &Packed4View<'_>,
    start: usize,
    out: &mut [MaybeUninit<T>],
    round: impl Fn([float32x4_t; 2]) -> uint16x8_t,
    round_one: impl Fn(f32) -> T,
) {
    const { assert!(size_of::<T>() == 2) };
    let table = view.code.table();
    let numbers = entries(table);
    for_each_block(view, start, out.len(), |scale, first, range| {
        let out = &mut out[range];
        let (whole, bytes, groups) = groups(view.packed, first, out);
        if !groups.is_empty() {
            let [a, b, c, d] = numbers.map(|four| vmulq_n_f32(four, scale));
            let [a, b] = [round([a, b]), round([c, d])].map(|eight| vreinterpretq_u8_u16(eight));
            let (low, high) = (vuzp1q_u8(a, b), vuzp2q_u8(a, b));
            for (bytes, out) in bytes.iter().zip(groups) {
                for (codes, out) in codes(bytes).into_iter().zip(out.as_chunks_mut::<16>().0) {
                    let (low, high) = (vqtbl1q_u8(low, codes), vqtbl1q_u8(high, codes));
                    let out = out.as_mut_ptr().cast::<u8>();
                    // SAFETY: sixteen 16-bit numbers are written to as many.
                    unsafe {
                        vst1q_u8(out, vzip1q_u8(low, high));
                        vst1q_u8(out.add(16), vzip2q_u8(low, high));
                    }
                }
            }
        }
        if !whole {
            decode_rest(&table.map(|code| round_one(code * scale)), view.packed, first, out);
        }
    });
}

/// The 32 codes of 16 packed bytes, in order.
#[inline]
#[target_feature(enable = "neon")]
fn codes(bytes: &[u8; GROUP / 2]) -> [uint8x16_t; 2] {
    // SAFETY: sixteen bytes are read from sixteen.
    let (first, second) = nibbles(unsafe { vld1q_u8(bytes.as_ptr()) });
    [vzip1q_u8(first, second), vzip2q_u8(first, second)]
}
