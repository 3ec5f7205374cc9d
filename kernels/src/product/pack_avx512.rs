//! Packing with AVX-512 BF16: operands turned into pairs of bfloat16, sixteen words at a time.
//!
//! Numbers too small to be normal become zeros, for which the products' instructions take them anyway.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::prefetch::prefetch;
use super::word::STEPS_AHEAD;

/// Words in a vector.
const LANES: usize = 16;

/// `cols` contiguous values of each of `k` rows, `row_stride` apart, into panels of `width` words a
/// step, a multiple of 16, that are `panel_stride` words apart. Steps up to `steps` beyond `k` are zeros.
///
/// # Safety
/// AVX-512 with BF16 and BW; `src` holds all rows, `dst` all panels.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_cols(
    (src, row_stride): (*const f32, usize),
    (k, cols): (usize, usize),
    steps: usize,
    dst: *mut f32,
    (width, panel_stride): (usize, usize),
) {
    // SAFETY: rows and columns beyond the last one are masked.
    unsafe {
        for step in 0..steps {
            let rows = [2 * step, 2 * step + 1];
            for row in rows {
                // As in the AVX2 form.
                let later = src.wrapping_add((row + 2 * STEPS_AHEAD) * row_stride);
                prefetch(later.cast(), cols * size_of::<f32>());
            }
            for j in (0..cols).step_by(LANES) {
                let live = first_lanes(cols - j);
                let [x, y] = rows.map(|row| {
                    let live = if row < k { live } else { 0 };
                    _mm512_maskz_loadu_ps(live, src.wrapping_add(row * row_stride + j))
                });
                let at = dst.add(j / width * panel_stride + step * width + j % width);
                _mm512_mask_storeu_epi32(at.cast(), live, pairs(x, y));
            }
        }
    }
}

/// `rows` rows of `k` contiguous values, `row_stride` apart, as columns of a panel of `width` words a
/// step, a multiple of 16; columns beyond the last row mean nothing. Steps up to `steps` beyond `k` are zeros.
///
/// # Safety
/// AVX-512 with BF16 and BW; `src` holds all rows, `dst` `steps` steps.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_rows(
    (src, row_stride): (*const f32, usize),
    (rows, k): (usize, usize),
    steps: usize,
    dst: *mut f32,
    width: usize,
) {
    // SAFETY: rows are clamped to the last one, and what lies beyond `k` is masked.
    unsafe {
        for group in (0..rows).step_by(LANES) {
            for step in (0..steps).step_by(LANES) {
                let mut block = [_mm512_setzero_si512(); LANES];
                for (i, words) in block.iter_mut().enumerate() {
                    let row = src.wrapping_add((group + i).min(rows - 1) * row_stride);
                    *words = row_words(row, 2 * step, k);
                }
                let block = transpose(block);
                for (i, &words) in block.iter().enumerate().take(steps - step) {
                    _mm512_storeu_si512(dst.add((step + i) * width + group).cast(), words);
                }
            }
        }
    }
}

/// `rows` rows of `k` contiguous values, `row_stride` apart, row by row in registers of the matrix unit:
/// `[rows / 16, steps / 16, 16, 16]` words. Rows beyond the last one mean nothing.
///
/// # Safety
/// AVX-512 with BF16 and BW; `src` holds all rows, `dst` the registers; `steps` is a multiple of 16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn register_rows(
    (src, row_stride): (*const f32, usize),
    (rows, k): (usize, usize),
    steps: usize,
    dst: *mut f32,
) {
    // SAFETY: what lies beyond `k` is masked.
    unsafe {
        for i in 0..rows {
            let row = src.wrapping_add(i * row_stride);
            let to = dst.add(i / LANES * steps * LANES + i % LANES * LANES);
            for step in (0..steps).step_by(LANES) {
                _mm512_storeu_si512(to.add(step * LANES).cast(), row_words(row, 2 * step, k));
            }
        }
    }
}

/// As [`register_rows`] for rows that lie side by side: `rows` contiguous values of each of `k` steps,
/// `step_stride` apart.
///
/// # Safety
/// As [`register_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn register_columns(
    (src, step_stride): (*const f32, usize),
    (rows, k): (usize, usize),
    steps: usize,
    dst: *mut f32,
) {
    // SAFETY: rows and steps beyond the last one are masked.
    unsafe {
        for step in (0..steps).step_by(LANES) {
            for later in 0..2 * LANES {
                let later = src.wrapping_add((2 * (step + LANES) + later) * step_stride);
                prefetch(later.cast(), rows * size_of::<f32>());
            }
            for group in (0..rows).step_by(LANES) {
                let live = first_lanes(rows - group);
                let mut block = [_mm512_setzero_si512(); LANES];
                for (i, words) in block.iter_mut().enumerate() {
                    let [x, y] = [0, 1].map(|second| {
                        let l = 2 * (step + i) + second;
                        let live = if l < k { live } else { 0 };
                        _mm512_maskz_loadu_ps(live, src.wrapping_add(l * step_stride + group))
                    });
                    *words = pairs(x, y);
                }
                let to = dst.add(group * steps + step * LANES);
                for (i, words) in transpose(block).into_iter().enumerate() {
                    _mm512_storeu_si512(to.add(i * LANES).cast(), words);
                }
            }
        }
    }
}

/// The sixteen entries of a code book.
#[derive(Clone, Copy)]
pub(super) struct Codes(__m512);

impl Codes {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(table: &[f32; 16]) -> Self {
        // SAFETY: the table fills a vector.
        Self(unsafe { _mm512_loadu_ps(table.as_ptr()) })
    }

    /// The entries of codes in the low four bits of each lane.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn of(self, codes: __m512i) -> __m512 {
        _mm512_permutexvar_ps(codes, self.0)
    }
}

/// Sixteen rows of `8 · units` packed bytes under one scale a row: `8 · units` steps of pairs, into
/// sixteen columns of a panel of `width` words a step.
///
/// # Safety
/// AVX-512 with BF16 and BW; every row holds its bytes, `dst` all steps.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn unpack_rows(
    codes: Codes,
    rows: [*const u8; 16],
    scales: [f32; 16],
    units: usize,
    mut dst: *mut f32,
    width: usize,
) {
    // SAFETY: as promised above.
    unsafe {
        let scales = _mm512_loadu_ps(scales.as_ptr());
        for unit in 0..units {
            for bytes in transpose_bytes(rows.map(|row| _mm_loadl_epi64(row.add(8 * unit).cast()))) {
                // A byte is a pair: its first value is in the high nibble.
                let bytes = _mm512_cvtepu8_epi32(bytes);
                let first = _mm512_mul_ps(codes.of(_mm512_srli_epi32::<4>(bytes)), scales);
                let second = _mm512_mul_ps(codes.of(bytes), scales);
                _mm512_storeu_si512(dst.cast(), pairs(first, second));
                dst = dst.add(width);
            }
        }
    }
}

/// Sixteen pairs of two rows of packed values, zeros where there is no second.
///
/// # Safety
/// AVX-512 with BF16 and BW; eight bytes of each row are readable and sixteen words of `dst` writable.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(super) unsafe fn unpack_words(
    codes: Codes,
    first: (*const u8, f32),
    second: Option<(*const u8, f32)>,
    dst: *mut f32,
) {
    // SAFETY: as promised above.
    unsafe {
        let x = unpack16(codes, first);
        let y = second.map_or_else(|| _mm512_setzero_ps(), |second| unpack16(codes, second));
        _mm512_storeu_si512(dst.cast(), pairs(x, y));
    }
}

/// The sixteen values of eight packed bytes, in order, under one scale.
///
/// # Safety
/// AVX-512 F; eight bytes are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn unpack16(codes: Codes, (bytes, scale): (*const u8, f32)) -> __m512 {
    // SAFETY: as promised above.
    let bytes = unsafe { _mm_loadl_epi64(bytes.cast()) };
    // What the low nibble of a shifted byte has above it does not matter.
    let in_order = _mm_unpacklo_epi8(_mm_srli_epi16::<4>(bytes), bytes);
    _mm512_mul_ps(codes.of(_mm512_cvtepu8_epi32(in_order)), _mm512_set1_ps(scale))
}

/// The words of a row from value `from`, zeros beyond `k`.
///
/// # Safety
/// AVX-512 with BF16; the row holds `k` values.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn row_words(row: *const f32, from: usize, k: usize) -> __m512i {
    let left = k.saturating_sub(from);
    let at = row.wrapping_add(from);
    // SAFETY: what lies beyond `k` is masked.
    let (x, y) = unsafe {
        (
            _mm512_maskz_loadu_ps(first_lanes(left), at),
            _mm512_maskz_loadu_ps(first_lanes(left.saturating_sub(LANES)), at.wrapping_add(LANES)),
        )
    };
    bits(_mm512_cvtne2ps_pbh(y, x))
}

/// Lane by lane, `first` in the low half and `second` in the high half of a word.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn pairs(first: __m512, second: __m512) -> __m512i {
    // Element 2 i is first's lane i, element 2 i + 1 second's, which lie behind all of first's.
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * LANES) as u16);
    // SAFETY: the order fills a vector.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(second, first)))
}

/// The same bits.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn bits(values: __m512bh) -> __m512i {
    // SAFETY: both are 512 bits without invalid patterns.
    unsafe { std::mem::transmute(values) }
}

/// A mask of the first `n` lanes.
#[inline]
fn first_lanes(n: usize) -> __mmask16 {
    if n >= LANES { u16::MAX } else { (1 << n) - 1 }
}

/// Rows to columns.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Columns 4 l + c of rows 4 g to 4 g + 3 lie in quarter l of `quads[4 g + c]`.
    let mut quads = rows;
    for quad in quads.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *quad;
        let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *quad = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let mut columns = rows;
    for c in 0..4 {
        let [a, b, e, f] = [0, 4, 8, 12].map(|g| quads[g + c]);
        let (even, odd) = (_mm512_shuffle_i32x4::<EVEN>(a, b), _mm512_shuffle_i32x4::<ODD>(a, b));
        let (even_low, odd_low) = (_mm512_shuffle_i32x4::<EVEN>(e, f), _mm512_shuffle_i32x4::<ODD>(e, f));
        columns[c] = _mm512_shuffle_i32x4::<EVEN>(even, even_low);
        columns[4 + c] = _mm512_shuffle_i32x4::<EVEN>(odd, odd_low);
        columns[8 + c] = _mm512_shuffle_i32x4::<ODD>(even, even_low);
        columns[12 + c] = _mm512_shuffle_i32x4::<ODD>(odd, odd_low);
    }
    columns
}

/// Sixteen rows of eight bytes to eight columns of sixteen.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose_bytes(rows: [__m128i; 16]) -> [__m128i; 8] {
    // Halves of four rows each, then of eight, then of sixteen.
    let two: [__m128i; 8] = std::array::from_fn(|i| _mm_unpacklo_epi8(rows[2 * i], rows[2 * i + 1]));
    let four = |i: usize| {
        let (a, b) = (two[2 * i], two[2 * i + 1]);
        [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)]
    };
    let eight = |i: usize| {
        let ([a, a_high], [b, b_high]) = (four(2 * i), four(2 * i + 1));
        [
            _mm_unpacklo_epi32(a, b),
            _mm_unpackhi_epi32(a, b),
            _mm_unpacklo_epi32(a_high, b_high),
            _mm_unpackhi_epi32(a_high, b_high),
        ]
    };
    let (first, second) = (eight(0), eight(1));
    std::array::from_fn(|c| {
        let (a, b) = (first[c / 2], second[c / 2]);
        if c.is_multiple_of(2) { _mm_unpacklo_epi64(a, b) } else { _mm_unpackhi_epi64(a, b) }
    })
}
