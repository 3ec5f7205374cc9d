//! Packing with NEON: operands turned into panels four words at a time.
//!
//! `W` is one of the words of [`super::word`]: each is compiled apart.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::prefetch::prefetch;
use super::word::{F32, PAIR, ROUNDED, STEPS_AHEAD, last_steps, word};
use crate::blockwise4::book_neon::{CodeBook, nibbles, rounded_high};

/// The sixteen entries of a code book in registers.
pub(super) type Codes = CodeBook;

const LANES: usize = 4;

/// `rows` rows of `k` contiguous values, `row_stride` apart, into a panel of `width`
/// words a step; words beyond the last row are left as they are.
///
/// # Safety
/// `src` and `dst` hold all rows and steps.
#[target_feature(enable = "neon")]
pub(super) unsafe fn pack_rows<const W: u8>(
    src: *const f32,
    row_stride: usize,
    rows: usize,
    k: usize,
    dst: *mut f32,
    width: usize,
) {
    let each = if W == PAIR { 2 } else { 1 };
    let steps = k / (LANES * each) * LANES;
    // SAFETY: rows are clamped to the last one and steps to the whole blocks of four.
    unsafe {
        for group in (0..rows).step_by(LANES) {
            let live = rows - group;
            let sources: [*const f32; LANES] =
                std::array::from_fn(|i| src.add((group + i).min(rows - 1) * row_stride));
            let mut at = dst.add(group);
            for step in (0..steps).step_by(LANES) {
                let block = sources.map(|row| {
                    let row = row.add(step * each);
                    let x = vld1q_f32(row);
                    if W == PAIR { pair_neighbours(x, vld1q_f32(row.add(LANES))) } else { words::<W>(x, x) }
                });
                for words in transpose(block) {
                    store_first(at, words, live);
                    at = at.add(width);
                }
            }
        }
        last_steps(word::<W>(), src, row_stride, (rows, k), steps, dst, width);
    }
}

/// `cols` contiguous values of each of `k` rows, `row_stride` apart, into panels of
/// `width` words a step that are `panel_stride` words apart.
///
/// # Safety
/// `src` holds all rows, `dst` all panels.
#[target_feature(enable = "neon")]
pub(super) unsafe fn pack_cols<const W: u8>(
    src: *const f32,
    row_stride: usize,
    k: usize,
    cols: usize,
    dst: *mut f32,
    width: usize,
    panel_stride: usize,
) {
    let each = if W == PAIR { 2 } else { 1 };
    let word = word::<W>();
    // SAFETY: vectors are read and written only where four columns are left.
    unsafe {
        for step in 0..word.count(k) {
            let row = src.add(step * each * row_stride);
            let next = (each == 2 && step * 2 + 1 < k).then(|| row.add(row_stride));
            for row in 0..each {
                // Rows are cut short and lie pages apart: nothing foresees where the next one begins.
                let later = src.wrapping_add((step * each + STEPS_AHEAD * each + row) * row_stride);
                prefetch(later.cast(), cols * size_of::<f32>());
            }
            for (panel, first) in (0..cols).step_by(width).enumerate() {
                let at = dst.add(panel * panel_stride + step * width);
                let live = width.min(cols - first);
                let vectors = live / LANES * LANES;
                for j in (0..vectors).step_by(LANES) {
                    let second = next.map_or(vdupq_n_f32(0.0), |next| vld1q_f32(next.add(first + j)));
                    vst1q_f32(at.add(j), words::<W>(vld1q_f32(row.add(first + j)), second));
                }
                for j in vectors..live {
                    let second = next.map_or(0.0, |next| *next.add(first + j));
                    *at.add(j) = word.of(*row.add(first + j), second);
                }
            }
        }
    }
}

/// Eight rows of `8 · units` packed bytes under one scale a row: `16 · units` steps of
/// values, into eight columns of a panel of `width` words a step.
///
/// # Safety
/// Every row holds its bytes, `dst` all steps.
#[target_feature(enable = "neon")]
pub(super) unsafe fn unpack_rows<const W: u8>(
    codes: Codes,
    rows: [*const u8; 8],
    scales: [f32; 8],
    units: usize,
    mut dst: *mut f32,
    width: usize,
) {
    // SAFETY: as promised above.
    unsafe {
        let scales = [vld1q_f32(scales.as_ptr()), vld1q_f32(scales.as_ptr().add(LANES))];
        for unit in 0..units {
            for two in byte_columns(rows.map(|row| vld1_u8(row.add(8 * unit)))) {
                let (first, second) = nibbles(two);
                // Eight rows of one byte, then of the next.
                let (first, second) = (codes.get(first), codes.get(second));
                for column in 0..2 {
                    for (half, scale) in scales.into_iter().enumerate() {
                        let first = vmulq_f32(first[2 * column + half], scale);
                        let second = vmulq_f32(second[2 * column + half], scale);
                        let at = dst.add(LANES * half);
                        vst1q_f32(at, words::<W>(first, second));
                        if W != PAIR {
                            vst1q_f32(at.add(width), words::<W>(second, second));
                        }
                    }
                    dst = dst.wrapping_add(if W == PAIR { width } else { 2 * width });
                }
            }
        }
    }
}

/// Sixteen words of two rows of packed values (the second only for pairs).
///
/// # Safety
/// Eight bytes of each row are readable and sixteen words of `dst` writable.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn unpack_words<const W: u8>(
    codes: Codes,
    first: (*const u8, f32),
    second: Option<(*const u8, f32)>,
    dst: *mut f32,
) {
    let unpack = |(bytes, scale): (*const u8, f32)| {
        // SAFETY: as promised above.
        let bytes = unsafe { vld1_u8(bytes) };
        let (high, low) = (vshr_n_u8::<4>(bytes), vand_u8(bytes, vdup_n_u8(15)));
        codes.get(vcombine_u8(vzip1_u8(high, low), vzip2_u8(high, low))).map(|four| vmulq_n_f32(four, scale))
    };
    let x = unpack(first);
    let y = match second {
        Some(second) if W == PAIR => unpack(second),
        _ => [vdupq_n_f32(0.0); 4],
    };
    for (i, (x, y)) in x.into_iter().zip(y).enumerate() {
        // SAFETY: as promised above.
        unsafe { vst1q_f32(dst.add(LANES * i), words::<W>(x, y)) };
    }
}

/// Lane by lane the word of `first`, or for pairs of both.
#[inline]
#[target_feature(enable = "neon")]
fn words<const W: u8>(first: float32x4_t, second: float32x4_t) -> float32x4_t {
    match W {
        F32 => first,
        ROUNDED => vreinterpretq_f32_u32(vandq_u32(rounded_high(first), vdupq_n_u32(0xffff_0000))),
        _ => vreinterpretq_f32_u32(vsriq_n_u32::<16>(rounded_high(second), rounded_high(first))),
    }
}

/// Eight values in a row as four pairs of neighbours.
#[inline]
#[target_feature(enable = "neon")]
fn pair_neighbours(x: float32x4_t, y: float32x4_t) -> float32x4_t {
    words::<PAIR>(vuzp1q_f32(x, y), vuzp2q_f32(x, y))
}

/// Writes the first `live` lanes, all when there are more.
///
/// # Safety
/// They are writable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store_first(at: *mut f32, words: float32x4_t, live: usize) {
    // SAFETY: as promised above.
    unsafe {
        match live {
            1 => vst1q_lane_f32::<0>(at, words),
            2 => vst1_f32(at, vget_low_f32(words)),
            3 => {
                vst1_f32(at, vget_low_f32(words));
                vst1q_lane_f32::<2>(at.add(2), words);
            }
            _ => vst1q_f32(at, words),
        }
    }
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "neon")]
fn transpose([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let pairs = |x, y| (vreinterpretq_f64_f32(vtrn1q_f32(x, y)), vreinterpretq_f64_f32(vtrn2q_f32(x, y)));
    let ((ab_even, ab_odd), (cd_even, cd_odd)) = (pairs(a, b), pairs(c, d));
    [
        vreinterpretq_f32_f64(vzip1q_f64(ab_even, cd_even)),
        vreinterpretq_f32_f64(vzip1q_f64(ab_odd, cd_odd)),
        vreinterpretq_f32_f64(vzip2q_f64(ab_even, cd_even)),
        vreinterpretq_f32_f64(vzip2q_f64(ab_odd, cd_odd)),
    ]
}

/// Eight rows of eight bytes as their columns, two in each vector.
#[inline]
#[target_feature(enable = "neon")]
fn byte_columns(rows: [uint8x8_t; 8]) -> [uint8x16_t; 4] {
    let two = |i: usize| {
        vreinterpretq_u16_u8(vcombine_u8(vzip1_u8(rows[i], rows[i + 1]), vzip2_u8(rows[i], rows[i + 1])))
    };
    let four = |a, b| (vreinterpretq_u32_u16(vzip1q_u16(a, b)), vreinterpretq_u32_u16(vzip2q_u16(a, b)));
    let ((low, high), (later_low, later_high)) = (four(two(0), two(2)), four(two(4), two(6)));
    [
        vreinterpretq_u8_u32(vzip1q_u32(low, later_low)),
        vreinterpretq_u8_u32(vzip2q_u32(low, later_low)),
        vreinterpretq_u8_u32(vzip1q_u32(high, later_high)),
        vreinterpretq_u8_u32(vzip2q_u32(high, later_high)),
    ]
}
