//! Packing with AVX2: operands turned into panels eight words at a time.
//!
//! `W` is one of the words of [`super::word`]: each is compiled apart.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::prefetch::prefetch;
use super::word::{PAIR, ROUNDED, STEPS_AHEAD, last_steps, word};

/// `rows` rows of `k` contiguous values, `row_stride` apart, into a panel of `width`
/// words a step; words beyond the last row are left as they are or overwritten.
///
/// # Safety
/// AVX2; `src` and `dst` hold all rows and steps.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pack_rows<const W: u8>(
    src: *const f32,
    row_stride: usize,
    rows: usize,
    k: usize,
    dst: *mut f32,
    width: usize,
) {
    let each = if W == PAIR { 2 } else { 1 };
    let steps = k / (8 * each) * 8;
    let end = word::<W>().count(k) * width;
    // SAFETY: rows are clamped to the last one and steps to the whole blocks of eight.
    unsafe {
        for group in (0..rows).step_by(8) {
            let live = rows - group;
            let sources: [*const f32; 8] =
                std::array::from_fn(|i| src.add((group + i).min(rows - 1) * row_stride));
            let mut at = dst.add(group);
            // A store may spill over into later steps, which are written later.
            let spills_until = if group == 0 { end.saturating_sub(7) } else { 0 };
            for step in (0..steps).step_by(8) {
                let mut block = [_mm256_setzero_ps(); 8];
                for (row, block) in sources.iter().zip(&mut block) {
                    let row = row.add(step * each);
                    *block = match W {
                        PAIR => pair_neighbours(_mm256_loadu_ps(row), _mm256_loadu_ps(row.add(8))),
                        ROUNDED => rounded(_mm256_loadu_ps(row)),
                        _ => _mm256_loadu_ps(row),
                    };
                }
                for (i, words) in transpose(block).into_iter().enumerate() {
                    if live >= 8 || (step + i) * width < spills_until {
                        _mm256_storeu_ps(at, words);
                    } else if live == 4 {
                        _mm_storeu_ps(at, _mm256_castps256_ps128(words));
                    } else {
                        _mm256_maskstore_ps(at, first_lanes(live), words);
                    }
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
/// AVX2; `src` holds all rows, `dst` all panels.
#[target_feature(enable = "avx2,fma")]
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
    // SAFETY: vectors are read and written only where eight columns are left.
    unsafe {
        for step in 0..word.count(k) {
            let row = src.add(step * each * row_stride);
            let has_next = each == 2 && step * 2 + 1 < k;
            let next = if has_next { row.add(row_stride) } else { row };
            for row in 0..each {
                // Rows are cut short and lie pages apart: nothing foresees where the next one begins.
                let later = src.wrapping_add((step * each + STEPS_AHEAD * each + row) * row_stride);
                prefetch(later.cast(), cols * size_of::<f32>());
            }
            for (panel, first) in (0..cols).step_by(width).enumerate() {
                let at = dst.add(panel * panel_stride + step * width);
                let live = width.min(cols - first);
                let vectors = live / 8 * 8;
                for j in (0..vectors).step_by(8) {
                    let x = _mm256_loadu_ps(row.add(first + j));
                    let words = if W == PAIR {
                        let y =
                            if has_next { _mm256_loadu_ps(next.add(first + j)) } else { _mm256_setzero_ps() };
                        pair(x, y)
                    } else if W == ROUNDED {
                        rounded(x)
                    } else {
                        x
                    };
                    _mm256_storeu_ps(at.add(j), words);
                }
                for j in vectors..live {
                    let second = if has_next { *next.add(first + j) } else { 0.0 };
                    *at.add(j) = word.of(*row.add(first + j), second);
                }
            }
        }
    }
}

/// The sixteen entries of a code book in two registers.
#[derive(Clone, Copy)]
pub(super) struct Codes {
    low: __m256,
    high: __m256,
}

impl Codes {
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn new(table: &[f32; 16]) -> Self {
        // SAFETY: both halves lie inside the table.
        unsafe { Self { low: _mm256_loadu_ps(table.as_ptr()), high: _mm256_loadu_ps(table.as_ptr().add(8)) } }
    }

    /// The entries of codes in the low four bits of each lane.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn of_low(self, bytes: __m256i) -> __m256 {
        // The permutes read three bits; the fourth, moved to the sign, chooses the half.
        let half = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(bytes));
        _mm256_blendv_ps(
            _mm256_permutevar8x32_ps(self.low, bytes),
            _mm256_permutevar8x32_ps(self.high, bytes),
            half,
        )
    }

    /// The entries of codes in bits 4 to 7 of each lane.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn of_high(self, bytes: __m256i) -> __m256 {
        let codes = _mm256_srli_epi32::<4>(bytes);
        let half = _mm256_castsi256_ps(_mm256_slli_epi32::<24>(bytes));
        _mm256_blendv_ps(
            _mm256_permutevar8x32_ps(self.low, codes),
            _mm256_permutevar8x32_ps(self.high, codes),
            half,
        )
    }
}

/// Eight rows of `8 · units` packed bytes under one scale a row: `16 · units` steps of
/// values, into eight columns of a panel of `width` words a step.
///
/// # Safety
/// AVX2; every row holds its bytes, `dst` all steps.
#[target_feature(enable = "avx2,fma")]
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
        let scales = _mm256_loadu_ps(scales.as_ptr());
        for unit in 0..units {
            let load = |i: usize| _mm_loadl_epi64(rows[i].add(8 * unit).cast());
            // Eight rows of eight bytes, transposed: byte column c is half of register c / 2.
            let a = _mm_unpacklo_epi8(load(0), load(1));
            let b = _mm_unpacklo_epi8(load(2), load(3));
            let c = _mm_unpacklo_epi8(load(4), load(5));
            let d = _mm_unpacklo_epi8(load(6), load(7));
            let (ab, ab_high) = (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
            let (cd, cd_high) = (_mm_unpacklo_epi16(c, d), _mm_unpackhi_epi16(c, d));
            let columns = [
                _mm_unpacklo_epi32(ab, cd),
                _mm_unpackhi_epi32(ab, cd),
                _mm_unpacklo_epi32(ab_high, cd_high),
                _mm_unpackhi_epi32(ab_high, cd_high),
            ];
            for two in columns {
                for bytes in [two, _mm_unpackhi_epi64(two, two)] {
                    let bytes = _mm256_cvtepu8_epi32(bytes);
                    let first = _mm256_mul_ps(codes.of_high(bytes), scales);
                    let second = _mm256_mul_ps(codes.of_low(bytes), scales);
                    if W == PAIR {
                        _mm256_storeu_ps(dst, pair(first, second));
                        dst = dst.add(width);
                    } else {
                        let keep = |x| if W == ROUNDED { rounded(x) } else { x };
                        _mm256_storeu_ps(dst, keep(first));
                        _mm256_storeu_ps(dst.add(width), keep(second));
                        dst = dst.add(2 * width);
                    }
                }
            }
        }
    }
}

/// The sixteen values of eight packed bytes, in order, under one scale.
///
/// # Safety
/// AVX2; eight bytes are readable.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn unpack16(codes: Codes, bytes: *const u8, scale: f32) -> [__m256; 2] {
    // SAFETY: as promised above.
    let bytes = unsafe { _mm_loadl_epi64(bytes.cast()) };
    let mask = _mm_set1_epi8(15);
    let low = _mm_and_si128(bytes, mask);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), mask);
    let in_order = _mm_unpacklo_epi8(high, low);
    let scale = _mm256_set1_ps(scale);
    let values = |codes8| _mm256_mul_ps(codes.of_low(_mm256_cvtepu8_epi32(codes8)), scale);
    [values(in_order), values(_mm_unpackhi_epi64(in_order, in_order))]
}

/// Sixteen words of two rows of packed values (the second only for pairs).
///
/// # Safety
/// AVX2; eight bytes of each row are readable and sixteen words of `dst` writable.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn unpack_words<const W: u8>(
    codes: Codes,
    first: (*const u8, f32),
    second: Option<(*const u8, f32)>,
    dst: *mut f32,
) {
    // SAFETY: as promised above.
    unsafe {
        let x = unpack16(codes, first.0, first.1);
        let y = match second {
            Some((bytes, scale)) if W == PAIR => unpack16(codes, bytes, scale),
            _ => [_mm256_setzero_ps(); 2],
        };
        for (i, (x, y)) in x.into_iter().zip(y).enumerate() {
            let words = match W {
                PAIR => pair(x, y),
                ROUNDED => rounded(x),
                _ => x,
            };
            _mm256_storeu_ps(dst.add(8 * i), words);
        }
    }
}

/// Rounded to bfloat16 in the high half of each lane; the low half is anything.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn rounded_high(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    // A NaN is not rounded, which could carry into its sign, but made quiet.
    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
    let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
    _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet), nan))
}

/// Rounded to bfloat16, as f32.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn rounded(x: __m256) -> __m256 {
    let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    _mm256_castsi256_ps(_mm256_and_si256(rounded_high(x), high))
}

/// Lane by lane, `first` in the low half and `second` in the high half of a word.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn pair(first: __m256, second: __m256) -> __m256 {
    let first = _mm256_srli_epi32::<16>(rounded_high(first));
    _mm256_castsi256_ps(_mm256_blend_epi16::<0b1010_1010>(first, rounded_high(second)))
}

/// Sixteen values in a row as eight pairs of neighbours.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn pair_neighbours(x: __m256, y: __m256) -> __m256 {
    let even = _mm256_shuffle_ps::<0b10_00_10_00>(x, y);
    let odd = _mm256_shuffle_ps::<0b11_01_11_01>(x, y);
    _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(pair(even, odd))))
}

/// A mask of the first `n` lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn first_lanes(n: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// Rows to columns.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn transpose(r: [__m256; 8]) -> [__m256; 8] {
    let low = |a, b| _mm256_unpacklo_ps(a, b);
    let high = |a, b| _mm256_unpackhi_ps(a, b);
    let t = [
        low(r[0], r[1]),
        high(r[0], r[1]),
        low(r[2], r[3]),
        high(r[2], r[3]),
        low(r[4], r[5]),
        high(r[4], r[5]),
        low(r[6], r[7]),
        high(r[6], r[7]),
    ];
    let first = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
    let last = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
    let u = [
        first(t[0], t[2]),
        last(t[0], t[2]),
        first(t[1], t[3]),
        last(t[1], t[3]),
        first(t[4], t[6]),
        last(t[4], t[6]),
        first(t[5], t[7]),
        last(t[5], t[7]),
    ];
    let below = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
    let above = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
    [
        below(u[0], u[4]),
        below(u[1], u[5]),
        below(u[2], u[6]),
        below(u[3], u[7]),
        above(u[0], u[4]),
        above(u[1], u[5]),
        above(u[2], u[6]),
        above(u[3], u[7]),
    ]
}
